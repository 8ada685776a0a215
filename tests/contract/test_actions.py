"""What actions do, on every server, and what becomes of their calls: tried again, given up, replayed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from brokers.facets.reactions import ACTION_QUEUE
from brokers.messages import Envelope, Route, Status
from brokers.schema import ACTION_CALL
from orchestrator import flow, task
from orchestrator.automations import here
from orchestrator.automations.automation import Automation
from orchestrator.automations.by_hand import fire_by_hand
from orchestrator.automations.deliveries import Delivery, deliveries_of, firings_of
from orchestrator.automations.firing_calls import action_call
from orchestrator.automations.lookup import find_automation
from orchestrator.automations.notifying import notify
from orchestrator.automations.record import all_automations
from orchestrator.blocks.notifications import EmailNotification, NotificationBlock, SlackWebhook
from orchestrator.blocks.webhook import Webhook
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.editing import delete_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.errors import ObjectNotFound
from orchestrator.events import actions as kinds
from orchestrator.events import emit_event
from orchestrator.events.schemas.automations import EventTrigger
from orchestrator.events.schemas.deployment_triggers import DeploymentEventTrigger
from orchestrator.inspection import retry_runs
from orchestrator.maintenance.mover import Mover
from orchestrator.maintenance.reactor import Reactor
from orchestrator.runs.run_ids import new_run_id
from orchestrator.settings import Settings
from orchestrator.slots.action_runner import ActionRunner
from orchestrator.work_pools.editing import create_pool
from orchestrator.work_pools.lookup import find_pool
from tests.support.fleets import fleet_of
from tests.support.mail_servers import MailServer
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

KEYS = {"secret_key": "s" * 32, "require_signature": True, "encryption_key": "e" * 40}


UNSAFE = "url automation event flow_run block settings fleet self config request namespace cycler joiner lipsum"


@pytest.fixture
def fleet(server: ServerProcess, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet with what does actions; they are tried again at once."""
    with fleet_of(Settings(redis_url=server.url, namespace=namespace, action_retry_seconds=0.01, **KEYS)) as made:
        monkeypatch.setattr("orchestrator.maintenance.reactor.IDLE_SECONDS", 0.02)
        reactor = Reactor(made)
        chores = [reactor, ActionRunner(made, reactor), Mover(made)]
        for chore in chores:
            chore.start()
        yield made
        here.finish()
        for chore in chores:
            chore.stop()


class Receiver:
    """Answers with these codes, then with 200; keeps what it was sent."""

    def __init__(self, *codes: int) -> None:
        self.bodies: list[str] = []
        left = list(codes)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["content-length"] or 0)).decode())
                self.send_response(left.pop(0) if left else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *parts: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def run(fleet: Fleet, action: kinds.Action, flow_run_id: str | None = None, **trigger: Any) -> Delivery:
    """Fire an automation with this action, and wait for what comes of it."""
    trigger.setdefault("expect", {"prefect.flow-run.Failed"})
    name = f"does {action.type} {new_run_id()}"
    Automation(name=name, trigger=EventTrigger(**trigger), actions=[action]).create()  # type: ignore[list-item]
    (call,) = fire_by_hand(fleet, find_automation(fleet.broker, name), flow_run_id)
    return ended(fleet, call)


def ended(fleet: Fleet, call: tuple[str, str]) -> Delivery:
    wait_until(lambda: deliveries_of(fleet, [call])[0].ended is not None, 40)
    return deliveries_of(fleet, [call])[0]


@flow
def etl(day: int = 0, name: str = "") -> None: ...


@flow
def login(user: str, days: list[float], api_token: str, more: dict[str, str]) -> None: ...


def test_a_deployment_is_run_once_with_parameters_of_the_event(fleet: Fleet) -> None:
    etl.to_deployment("nightly").apply()
    record = find_deployment(fleet.broker, "etl/nightly")
    given = {"day": "{{ event.payload.day }}", "name": "day {{ event.payload.day }}"}
    made = Automation(
        name="runs",
        trigger=EventTrigger(expect={"shop.closed"}),
        actions=[kinds.RunDeployment(deployment_id=record.id, parameters=given)],
    ).create()
    emit_event("shop.closed", {"prefect.resource.id": "shop.1"}, payload={"day": 3})
    wait_until(lambda: firings_of(fleet, str(made.id))[0] == 1)
    _, (firing,) = firings_of(fleet, str(made.id))
    call = firing.deliveries[0]
    ended(fleet, (call.id, call.action))
    total, ids = fleet.broker.flow_runs.listed(record.id)
    assert total == 1
    from orchestrator.deployments.flow_run_value import read_flow_run

    run = read_flow_run(fleet, ids[0])
    assert run.parameters == {"day": 3, "name": "day 3"}
    assert run.tags == (f"automation:{made.id}",)
    assert retry_runs(fleet, [call.id]) == [call.id]  # its process died before it could say so
    ended(fleet, (call.id, call.action))
    assert fleet.broker.flow_runs.listed(record.id)[0] == 1


NAMED = (
    ("deployment", "etl/nightly"),
    ("work-pool", "pool"),
    ("work-queue", "pool/default"),
    ("automation", "other"),
)


def test_deployments_pools_and_automations_are_paused_and_resumed(fleet: Fleet) -> None:
    etl.to_deployment("nightly").apply()
    create_pool(fleet, "pool", "process")
    other = Automation(name="other", trigger=EventTrigger(), actions=[kinds.DoNothing()], enabled=False).create()

    def states() -> tuple[bool, bool, bool, bool]:
        pool = find_pool(fleet.broker, "pool")
        record, automation = find_deployment(fleet.broker, "etl/nightly"), find_automation(fleet.broker, other.id)
        return record.paused, pool.paused, pool.queues[0].paused, not automation.enabled

    for word, wanted in (("pause", True), ("pause", True), ("resume", False)):
        for kind, reference in NAMED:
            action = next(one for one in kinds.ACTIONS if one.model_fields["type"].default == f"{word}-{kind}")
            field = next(name for name in action.model_fields if name.endswith("_id"))
            assert run(fleet, action(**{field: reference})).state == "Completed"
        assert states() == (wanted,) * 4


def test_a_flow_run_of_the_event_is_cancelled(fleet: Fleet) -> None:
    etl.to_deployment("nightly").apply()
    from orchestrator.deployments.running import run_deployment

    made = run_deployment("etl/nightly", timeout=0)
    assert run(fleet, kinds.CancelFlowRun(), str(made.id)).state == "Completed"
    assert fleet.broker.records.read([str(made.id)])[0].status == Status.CANCELLED
    assert run(fleet, kinds.ChangeFlowRunState(state="SCHEDULED"), str(made.id)).state == "Completed"
    assert fleet.broker.records.read([str(made.id)])[0].status == Status.QUEUED


def test_a_template_sees_parameters_of_the_flow_run_as_the_values_that_they_are(fleet: Fleet) -> None:
    receiver = Receiver()
    Webhook(url=receiver.url, allow_private_urls=True).save("hook")
    login.to_deployment("nightly").apply()
    from orchestrator.deployments.running import run_deployment

    given = {"user": "ann", "days": [1, 2.5], "api_token": "s3cret", "more": {"city": "Oslo"}}
    made = run_deployment("login/nightly", parameters=given, timeout=0)
    text = "{{ flow_run.parameters.user }} {{ flow_run.parameters.days[1] + 1 }} {{ flow_run.parameters.more.city }}"
    payload = {"text": text, "all": "{{ flow_run.parameters }}"}
    done = run(fleet, kinds.CallWebhook(block_document_id="webhook/hook", payload=payload), str(made.id))
    assert done.state == "Completed"
    sent = json.loads(receiver.bodies[0])
    assert sent["text"] == "ann 3.5 Oslo"
    assert "s3cret" not in sent["all"]
    receiver.close()


def test_what_can_never_be_done_is_given_up_at_once_and_shown_with_the_reason(fleet: Fleet) -> None:
    delivery = run(fleet, kinds.PauseDeployment(source="inferred"))
    assert (delivery.state, delivery.tries) == ("Crashed", 1)
    assert "there is no deployment in the event" in delivery.message
    assert delivery.id in fleet.broker.dead_letters.newest(10)
    assert delivery.may_be_replayed


def test_something_that_is_named_and_not_there_is_found_when_the_automation_is_made(fleet: Fleet) -> None:
    for action in (
        kinds.SendNotification(block_document_id="slack-webhook/none", body=""),
        kinds.RunDeployment(deployment_id="etl/none"),
        kinds.PauseWorkPool(work_pool_id="none"),
        kinds.PauseAutomation(automation_id="none"),
    ):
        with pytest.raises(ObjectNotFound, match="not found"):
            Automation(name="a", trigger=EventTrigger(), actions=[action]).create()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(500, 500)
    yield made
    made.close()


def test_a_message_that_is_refused_twice_is_sent_once_and_shown_with_its_tries(
    fleet: Fleet, receiver: Receiver
) -> None:
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")
    delivery = run(
        fleet,
        kinds.SendNotification(block_document_id="slack-webhook/alerts", subject="{{ what }}", body="{{ oops.no }}"),
    )
    assert (delivery.state, delivery.tries) == ("Completed", 3)
    assert len(receiver.bodies) == 3
    assert "Failed to render template" in receiver.bodies[-1]  # instead of no message
    assert "oops" in receiver.bodies[-1]


def test_a_message_that_is_never_taken_is_a_dead_letter_and_is_sent_when_it_is_replayed(fleet: Fleet) -> None:
    receiver = Receiver(*[500] * 6)
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")
    delivery = run(fleet, kinds.SendNotification(block_document_id="slack-webhook/alerts", body="x"))
    assert (delivery.state, delivery.tries, len(receiver.bodies)) == ("Crashed", 6, 6)
    assert "500" in delivery.message
    assert receiver.url not in delivery.message  # whoever knows it may post to it
    assert retry_runs(fleet, [delivery.id]) == [delivery.id]
    wait_until(lambda: deliveries_of(fleet, [(delivery.id, "")])[0].state == "Completed", 40)
    assert len(receiver.bodies) == 7
    receiver.close()


@pytest.mark.parametrize("code", [302, 404])
def test_what_is_refused_for_good_is_not_tried_again(fleet: Fleet, code: int) -> None:
    receiver = Receiver(code)
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")
    Webhook(url=receiver.url, allow_private_urls=True).save("hook")
    delivery = run(fleet, kinds.SendNotification(block_document_id="slack-webhook/alerts", body="x"))
    assert (delivery.tries, delivery.may_be_replayed, str(code) in delivery.message) == (1, True, True)
    assert len(receiver.bodies) == 1
    receiver.close()
    receiver = Receiver(code)
    Webhook(url=receiver.url, allow_private_urls=True).save("hook", overwrite=True)
    delivery = run(fleet, kinds.CallWebhook(block_document_id="webhook/hook", payload="x"))
    assert (delivery.tries, delivery.may_be_replayed, str(code) in delivery.message) == (1, True, True)
    receiver.close()


def test_the_mail_of_a_failed_flow_has_the_runs_values_in_its_subject(fleet: Fleet) -> None:
    with MailServer() as server:
        EmailNotification(
            email_server_credentials={"smtp_server": "127.0.0.1", "smtp_type": "INSECURE", "smtp_port": server.port},
            to="ann@example.org, bob@example.org",
            from_="etl@example.org",
        ).save("on-call")
        subject = "{{ flow.name }} is {{ state.name }}: {{ state.message }}"

        @flow(on_failure=[notify("email-notification/on-call", subject=subject)])
        def weather() -> None:
            raise ValueError("it is 31 °C\nBcc: eve@example.org")

        with pytest.raises(ValueError, match="31"):
            weather()
        wait_until(lambda: server.mails, 40)
    (mail,), (recipients,) = server.mails, server.recipients
    assert mail["Subject"].startswith("weather is Failed: ")
    assert "it is 31 °C Bcc: eve@example.org" in mail["Subject"]
    assert mail["Bcc"] is None
    assert recipients == ["ann@example.org", "bob@example.org"]


class LoudBlock(NotificationBlock):
    """Its ``notify`` is a coroutine function, as users may write it."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        sent_aloud.append((subject, body))


sent_aloud: list[tuple[str | None, str]] = []


def test_a_block_whose_notify_is_a_coroutine_function_sends(fleet: Fleet) -> None:
    LoudBlock().save("loud")
    delivery = run(fleet, kinds.SendNotification(block_document_id="loudblock/loud", subject="s", body="coroutine"))
    assert (delivery.state, sent_aloud) == ("Completed", [("s", "coroutine")])
    sent_aloud.clear()


def test_a_webhook_is_called_with_what_its_template_makes(fleet: Fleet) -> None:
    receiver = Receiver()
    Webhook(url=receiver.url, allow_private_urls=True).save("hook")
    payload = {"who": "{{ automation.name[:4] }}", "event": "{{ event.event }}"}
    assert run(fleet, kinds.CallWebhook(block_document_id="webhook/hook", payload=payload)).state == "Completed"
    assert json.loads(receiver.bodies[0]) == {"who": "does", "event": "prefect.flow-run.Failed"}
    receiver.close()


def test_secrets_are_out_of_reach_of_templates(fleet: Fleet) -> None:
    receiver = Receiver()
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")
    names = UNSAFE.split()
    body = "".join(f"[{{{{ {name} }}}}]" for name in names) + "{{ automation.__class__ }}"
    delivery = run(fleet, kinds.SendNotification(block_document_id="slack-webhook/alerts", body=body))
    assert delivery.state == "Completed"
    (sent,) = receiver.bodies
    assert not [secret for secret in (receiver.url, "e" * 40, "s" * 32) if secret in sent]
    receiver.close()


def test_the_hook_of_a_flow_that_fails_sends_one_message(fleet: Fleet, receiver: Receiver) -> None:
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")

    @flow(on_failure=[notify("slack-webhook/alerts")])
    def nightly() -> None:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        nightly()
    wait_until(lambda: len(receiver.bodies) == 3)
    assert "of flow nightly is Failed" in receiver.bodies[-1]
    assert "no such file" in receiver.bodies[-1]


def test_the_hook_of_a_task_sends_a_message(fleet: Fleet) -> None:
    receiver = Receiver()
    SlackWebhook(url=receiver.url, allow_private_urls=True).save("alerts")

    @task(
        on_failure=[notify("slack-webhook/alerts", subject="{{ name }}", body="{{ state.name }}: {{ state.message }}")]
    )
    def load() -> None:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        load()
    wait_until(lambda: len(receiver.bodies) == 1)
    assert "Failed: ValueError: no such file" in receiver.bodies[0]
    receiver.close()


def test_triggers_of_a_deployment_are_automations_that_run_it_and_go_with_it(fleet: Fleet) -> None:
    first = DeploymentEventTrigger(name="after the shop", expect={"shop.closed"}, parameters={"day": 1})
    etl.to_deployment("nightly", triggers=[first, {"expect": ["shop.opened"]}]).apply()
    names = ["after the shop", "etl/nightly__automation_2"]
    there = all_automations(fleet.broker)
    assert [one.name for one in there] == names
    ids = [one.id for one in there]
    etl.to_deployment("nightly").apply()
    etl.to_deployment("nightly", triggers=[first, {"expect": ["shop.opened"]}]).apply()
    assert [one.id for one in all_automations(fleet.broker)] == ids
    emit_event("shop.closed", {"prefect.resource.id": "shop.1"})
    record = find_deployment(fleet.broker, "etl/nightly")
    wait_until(lambda: fleet.broker.flow_runs.listed(record.id)[0] == 1)
    etl.to_deployment("nightly", triggers=[first]).apply()
    assert [one.id for one in all_automations(fleet.broker)] == ids[:1]
    delete_deployment(fleet, "etl/nightly")
    assert all_automations(fleet.broker) == []
    with pytest.raises(ValueError, match="metric triggers"):
        etl.to_deployment("nightly", triggers=[{"posture": "Metric"}])


def test_the_call_of_an_action_is_taken_from_its_own_queue_only(fleet: Fleet) -> None:
    from orchestrator.slots import Slots, SlotsOptions

    one = action_call(fleet, new_run_id(), kinds.DoNothing(), {})
    elsewhere = Envelope(*one[:2], str(Route("default", "default", "s")), *one[3:])
    fleet.calls.send([elsewhere])
    fleet.broker.consumers.beat(["other"], 60)
    slots = Slots(fleet, SlotsOptions(("default",), 1, consumer="other"))
    slots.start()
    delivery = ended(fleet, (one.run_id, "do-nothing"))
    slots.stop(5)
    assert delivery.state == "Crashed"
    assert ACTION_QUEUE in delivery.message or "was sent to the queue" in delivery.message


def test_a_call_of_nonsense_costs_itself(fleet: Fleet) -> None:
    one = action_call(fleet, new_run_id(), kinds.DoNothing(), {"action": {"type": "explode"}})
    fleet.calls.send([one._replace(body=b"nonsense"), action_call(fleet, new_run_id(), kinds.DoNothing(), {})])
    assert ended(fleet, (one.run_id, "x")).state == "Crashed"
    assert run(fleet, kinds.DoNothing()).state == "Completed"


def test_its_key_is_known_to_every_worker() -> None:
    from orchestrator.runnables import registry

    assert registry.is_built_in(ACTION_CALL)


def test_a_hook_that_notifies_names_a_block_and_templates_that_can_be() -> None:
    with pytest.raises(ValueError, match="slug/name"):
        notify("alerts")
    with pytest.raises(ValueError, match="cannot be read"):
        notify("slack-webhook/alerts", body="{{ unclosed")
    assert repr(notify("slack-webhook/alerts")) == "notify('slack-webhook/alerts')"
