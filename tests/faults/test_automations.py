"""The store is restarted between an event and what is done about it, and reactors die: one message for each firing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
from orchestrator.automations.automation import Automation
from orchestrator.automations.deliveries import firings_of
from orchestrator.blocks.notifications import SlackWebhook
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.events import emit_event
from orchestrator.events.actions import SendNotification
from orchestrator.events.schemas.automations import EventTrigger
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.mover import Mover
from orchestrator.maintenance.reactor import Reactor
from orchestrator.settings import Settings
from orchestrator.slots.action_runner import ActionRunner
from tests.support.fleets import fleet_of
from tests.support.receivers import Receiver
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs_server]
WAIT_SECONDS = 40.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def store(own_server: Callable[..., ServerProcess]) -> ServerProcess:
    return own_server("--appendonly", "yes")  # it keeps what it has said that it has


@pytest.fixture
def fleet(store: ServerProcess, namespace: str, receiver: Receiver) -> Iterator[Fleet]:
    settings = Settings(
        redis_url=store.url, namespace=namespace, encryption_key="e" * 40, action_retry_seconds=0.1,
        lease_seconds=2.5, beat_seconds=0.4,
    )  # fmt: skip
    with fleet_of(settings) as made:
        SlackWebhook(url=f"http://127.0.0.1:{receiver.port}/hook", allow_private_urls=True).save("alerts")
        yield made


def automation(**trigger: Any) -> Automation:
    action = SendNotification(block_document_id="slack-webhook/alerts", body="{{ event.resource.id }}")
    return Automation(name="a", trigger=EventTrigger(expect={"shop.*"}, **trigger), actions=[action]).create()


def restart(store: ServerProcess) -> None:
    store.kill()
    store.start()


def work(fleet: Fleet) -> list[Chore]:
    reactor = Reactor(fleet)
    chores = [reactor, ActionRunner(fleet, reactor), Mover(fleet)]
    for chore in chores:
        chore.start()
    return chores


def look_until(fleet: Fleet, reactor: Reactor, made: Automation, count: int) -> None:
    def is_done() -> bool:
        with suppress(BrokerError):
            reactor.run_once()
            return firings_of(fleet, str(made.id))[0] == count
        return False

    wait_until(is_done, WAIT_SECONDS, "it fires")


@pytest.mark.parametrize("restarted", ["after the event", "after the firing", "before both"])
def test_a_restart_of_the_store_costs_no_message_and_doubles_none(
    fleet: Fleet, store: ServerProcess, receiver: Receiver, restarted: str
) -> None:
    made = automation()
    if restarted == "before both":
        restart(store)
    emit_event("shop.sold", {"prefect.resource.id": "shop.1"})
    if restarted == "after the event":
        restart(store)
    look_until(fleet, Reactor(fleet), made, 1)
    if restarted == "after the firing":
        restart(store)
    chores = work(fleet)
    try:
        wait_until(lambda: len(receiver.requests) == 1, WAIT_SECONDS, "the message")
        emit_event("shop.sold", {"prefect.resource.id": "shop.2"})
        wait_until(lambda: len(receiver.requests) == 2, WAIT_SECONDS, "the next message")
    finally:
        for chore in chores:
            chore.stop()
    assert ["shop.1" in request.body.decode() for request in receiver.requests] == [True, False]
    assert firings_of(fleet, str(made.id))[0] == 2


def test_events_of_many_threads_while_the_store_is_restarted_count_once_each(
    fleet: Fleet, store: ServerProcess
) -> None:
    made = automation(threshold=5)
    reactors = [Reactor(fleet) for _ in range(3)]
    done = threading.Event()

    def react(reactor: Reactor) -> None:
        while not done.is_set():
            with suppress(BrokerError):
                reactor.run_once()

    threads = [threading.Thread(target=react, args=(reactor,)) for reactor in reactors]
    for thread in threads:
        thread.start()
    for number in range(60):
        emit_event("shop.sold", {"prefect.resource.id": f"shop.{number}"})  # waits in this process while there is none
        if number in (20, 40):
            restart(store)
    wait_until(lambda: _count(fleet, made) >= 12, WAIT_SECONDS, "all have been looked at")
    done.set()
    for thread in threads:
        thread.join()
    assert _count(fleet, made) == 12


def _count(fleet: Fleet, made: Automation) -> int:
    try:
        return firings_of(fleet, str(made.id))[0]
    except BrokerError:
        return 0
