"""Messages of flows that fail and of flows whose processes are killed, sent by whichever process is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.automations import Automation
from orchestrator.automations.deliveries import firings_of
from orchestrator.blocks.notifications import SlackWebhook
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.events.actions import SendNotification
from orchestrator.events.schemas.automations import EventTrigger
from tests.support.apps import notifying_flows
from tests.support.receivers import Receiver, status
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

SETTINGS = {
    "lease_seconds": 2.5,
    "beat_seconds": 0.4,
    "max_deliveries": 1,
    "encryption_key": "e" * 40,
    "action_retry_seconds": 0.1,
}
SECONDS = 40.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Answers 500 twice."""
    with Receiver(status(500), status(500), status(200)) as made:
        yield made


@pytest.fixture
def serving(fleet: Fleet, receiver: Receiver) -> Iterator[ServingProcess]:
    url = f"http://127.0.0.1:{receiver.port}/hook"
    SlackWebhook(url=url, allow_private_urls=True).save("alerts", overwrite=True)
    process = ServingProcess(fleet.settings, "-m", notifying_flows.__name__)
    process.wait_output("being served")
    yield process
    process.close()


@pytest.mark.usefixtures("serving")
def test_a_flow_that_raises_sends_one_message_though_the_receiver_fails_twice(receiver: Receiver) -> None:
    run = run_deployment("fails/served", parameters={"reason": "no such file"}, timeout=SECONDS)
    assert run.state.is_failed()
    wait_until(lambda: len(receiver.requests) == 3, SECONDS, "the third try")
    assert len({request.body for request in receiver.requests}) == 1
    assert f"Flow run {run.name} of flow fails is Failed." in receiver.requests[-1].json()["text"]
    assert "no such file" in receiver.requests[-1].json()["text"]


@pytest.mark.usefixtures("serving")
def test_a_flow_whose_process_is_killed_sends_messages_by_its_hook_and_by_an_automation(
    fleet: Fleet, receiver: Receiver
) -> None:
    made = Automation(
        name="crashes",
        trigger=EventTrigger(expect={"prefect.flow-run.Crashed"}, match_related={"prefect.resource.name": "is-killed"}),
        actions=[
            SendNotification(
                block_document_id="slack-webhook/alerts",
                subject="{{ flow.name }}",
                body="of {{ deployment.full_name }}: {{ flow_run.state.name }} by {{ automation.name }}",
            )
        ],
    ).create()
    run = run_deployment("is-killed/served", timeout=SECONDS)
    assert run.state.is_crashed()
    wanted = {
        "of is-killed/served: Crashed by crashes",
        f"Flow run {run.name} of flow is-killed is Crashed.",
    }

    def texts() -> set[str]:
        """Of this run: a message of an earlier test whose process ended before its ack may come again."""
        return {text for request in receiver.requests if "is-killed" in (text := request.json()["text"])}

    def have_come() -> bool:
        return all(any(one in text for text in texts()) for one in wanted)

    wait_until(have_come, SECONDS, "both messages")
    assert len(texts()) == 2
    assert firings_of(fleet, str(made.id))[0] == 1
