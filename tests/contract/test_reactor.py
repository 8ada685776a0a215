"""Reactors look at real events on every server: each counts once and each firing has its calls, however many race."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from brokers.facets.reactions import ACTION_QUEUE, Move
from brokers.messages import Delivery, Status, routes_of
from brokers.schema import ACTION_CALL
from orchestrator.automations.automation import Automation
from orchestrator.automations.causes import MOST_IN_WINDOW, mark_as_caused
from orchestrator.automations.deliveries import firings_of
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerConflict, BrokerUnavailable
from orchestrator.events import emit_event
from orchestrator.events.actions import CancelFlowRun, DoNothing
from orchestrator.events.schemas.automations import EventTrigger, Posture, SequenceTrigger
from orchestrator.maintenance.reactor import Reactor
from orchestrator.settings import Settings
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

FAILED = "prefect.flow-run.Failed"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        yield made


def automation(name: str = "a", actions: Sequence[Any] | None = None, **trigger: Any) -> Automation:
    trigger.setdefault("expect", {"shop.*"})
    made = Automation(name=name, trigger=EventTrigger(**trigger), actions=list(actions or [DoNothing()]))
    return made.create()


def settle(*reactors: Reactor) -> None:
    """Until nothing is left that could be looked at now."""
    for reactor in reactors:
        while reactor.run_once() < 0.1:
            pass


def next_millisecond(fleet: Fleet) -> None:
    """What is of the same one counts as later."""
    now = fleet.broker.ticks.now_ms()
    while fleet.broker.ticks.now_ms() == now:
        pass


def tell(fleet: Fleet, name: str, count: int = 1, resource: str = "shop.1") -> None:
    for _ in range(count):
        emit_event(name, {"prefect.resource.id": resource})


def fail(fleet: Fleet, count: int) -> list[str]:
    """So many flow runs fail, as their processes report it."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    facts = {"flow": "etl", "name": "x", "type": "FAILED", "state": "Failed"}
    fleet.broker.flow_runs.note([(run_id, facts, False) for run_id in ids])
    return ids


def firings(fleet: Fleet, made: Automation) -> int:
    return firings_of(fleet, str(made.id))[0]


def taken(fleet: Fleet) -> list[Delivery]:
    return fleet.broker.deliveries.fetch("me", routes_of([ACTION_QUEUE], "s"), 10_000)[0]


def test_an_event_has_the_actions_done_once(fleet: Fleet) -> None:
    made = automation(actions=[DoNothing(), DoNothing()])
    tell(fleet, "shop.sold")
    settle(Reactor(fleet), Reactor(fleet))
    assert firings(fleet, made) == 1
    calls = taken(fleet)
    assert [call.task for call in calls] == [ACTION_CALL] * 2
    assert len({call.run_id for call in calls}) == 2


def test_a_thousand_failures_fire_once_a_minute_however_many_reactors_race(fleet: Fleet) -> None:
    made = automation(expect={FAILED}, threshold=5, within=MINUTE)
    each = automation("each", expect={FAILED}, threshold=5)
    reactors = [Reactor(fleet) for _ in range(4)]
    done = threading.Event()

    def react(reactor: Reactor) -> None:
        while not done.is_set():
            reactor.run_once()
        settle(reactor)

    threads = [threading.Thread(target=react, args=(reactor,)) for reactor in reactors]
    for thread in threads:
        thread.start()
    for _ in range(100):
        fail(fleet, 10)
    done.set()
    for thread in threads:
        thread.join()
    settle(Reactor(fleet))
    assert firings(fleet, made) == 1
    assert firings(fleet, each) == 200
    assert len({call.run_id for call in taken(fleet)}) == 201


def test_one_entry_with_more_firings_than_a_script_should_write_is_looked_at_in_parts(fleet: Fleet) -> None:
    made = automation(expect={FAILED})
    fail(fleet, 500)
    reactor = Reactor(fleet)
    version = fleet.broker.reactions.look().version
    settle(reactor)
    assert firings(fleet, made) == 500
    assert fleet.broker.reactions.look().version >= version + 3
    assert fleet.broker.reactions.look().partly == ""


def test_without_automations_nothing_is_written(fleet: Fleet) -> None:
    tell(fleet, "shop.sold", 3)
    assert Reactor(fleet).run_once() >= 1
    assert fleet.broker.reactions.look().version == 0


def test_what_happened_before_an_automation_or_while_it_was_disabled_is_not_made_up_for(fleet: Fleet) -> None:
    tell(fleet, "shop.sold")
    next_millisecond(fleet)
    made = automation()
    reactor = Reactor(fleet)
    settle(reactor)
    made.disable()
    tell(fleet, "shop.sold")
    next_millisecond(fleet)
    made.enable()
    settle(reactor)
    assert firings(fleet, made) == 0
    tell(fleet, "shop.sold")
    settle(reactor)
    assert firings(fleet, made) == 1


def test_a_reactor_goes_on_where_another_one_died(fleet: Fleet) -> None:
    made = automation(threshold=3)
    tell(fleet, "shop.sold", 2)
    settle(Reactor(fleet))
    tell(fleet, "shop.sold", 4)
    settle(Reactor(fleet))
    assert firings(fleet, made) == 2


@pytest.mark.parametrize("beats", [False, True])
def test_what_does_not_come_in_time_fires_when_its_time_is_over(fleet: Fleet, beats: bool) -> None:
    made = automation(posture=Posture.Proactive, expect={"shop.beat"}, within=timedelta(hours=1))
    if beats:
        tell(fleet, "shop.beat")
    since = fleet.broker.ticks.now_ms() - 3_600_000 + 200  # as if it had been made so long ago, while nobody looked
    fleet.broker.documents.write("automation", str(made.id), {"since": str(since)})
    reactor = Reactor(fleet)
    wait_until(lambda: reactor.run_once() >= 0 and not _is_due_within(fleet, 1_000_000))
    assert firings(fleet, made) == (0 if beats else 1)


def _is_due_within(fleet: Fleet, ms: int) -> bool:
    there = fleet.broker.reactions.look()
    return bool(there.due) or there.next_ms is None or there.next_ms - there.now_ms < ms


def test_a_damaged_automation_is_left_alone_and_stops_no_other(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    damaged, made = automation("damaged"), automation("well")
    fleet.broker.documents.write("automation", str(damaged.id), {"d": b"nonsense"})
    reactor = Reactor(fleet)
    with caplog.at_level(logging.WARNING, "orchestrator.automations"):
        for _ in range(3):
            tell(fleet, "shop.sold")
            settle(reactor)
    assert firings(fleet, made) == 3
    assert caplog.text.count(str(damaged.id)) == 1
    assert "left alone" in caplog.text


def test_damaged_cursors_and_counts_begin_anew(fleet: Fleet, server: ServerProcess, namespace: str) -> None:
    made = automation(threshold=2)
    settle(Reactor(fleet))
    for damage in ("x", "9-9-9", ""):
        server.client().hset(f"{{{namespace}}}:reactor", mapping={"j": damage, "e": damage, "v": damage, "p": "gone"})
        before = firings(fleet, made)
        for key in server.client().scan_iter(match=f"{{{namespace}}}:count:*"):
            server.client().set(key, "nonsense")
        settle(Reactor(fleet))
        tell(fleet, "shop.sold", 2)
        settle(Reactor(fleet))
        assert firings(fleet, made) > before


def test_an_automation_that_sets_itself_off_comes_to_an_end_with_one_warning(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    made, other = automation("loops"), automation("other")
    mark_as_caused(fleet.broker, "shop.1", [str(made.id)])
    reactor = Reactor(fleet)
    with caplog.at_level(logging.WARNING, "orchestrator.automations"):
        for _ in range(15):
            tell(fleet, "shop.sold")
            settle(reactor)
    assert firings(fleet, other) == 15
    assert firings(fleet, made) == MOST_IN_WINDOW + 1  # the last one says that it is held back
    _, shown = firings_of(fleet, str(made.id))
    assert [one.held for one in shown] == [True] + [False] * MOST_IN_WINDOW
    assert caplog.text.count("is set off by what it does itself") == 1


def test_another_trigger_begins_to_count_anew(fleet: Fleet) -> None:
    made = automation(threshold=2)
    reactor = Reactor(fleet)
    tell(fleet, "shop.sold")
    settle(reactor)
    made.trigger = EventTrigger(expect={"shop.*"}, threshold=2, within=MINUTE)
    made.update()
    tell(fleet, "shop.sold")
    settle(reactor)
    assert firings(fleet, made) == 0
    made.description = "for people"
    made.update()
    tell(fleet, "shop.sold")
    settle(reactor)
    assert firings(fleet, made) == 1


def test_a_sequence_over_two_streams(fleet: Fleet) -> None:
    first, second = EventTrigger(expect={"shop.opened"}), EventTrigger(expect={FAILED})
    trigger = SequenceTrigger(triggers=[first, second], within=MINUTE)
    made = Automation(name="a", trigger=trigger, actions=[CancelFlowRun()]).create()
    fail(fleet, 1)
    tell(fleet, "shop.opened")
    settle(Reactor(fleet))
    assert firings(fleet, made) == 0
    fail(fleet, 1)
    settle(Reactor(fleet))
    assert firings(fleet, made) == 1


def test_a_reply_that_is_lost_counts_nothing_twice(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    made, reactions = automation(threshold=2), fleet.broker.reactions
    move = reactions.move

    def lose(step: Move) -> bool:
        move(step)
        raise BrokerUnavailable("the reply was lost")

    tell(fleet, "shop.sold", 2)
    monkeypatch.setattr(reactions, "move", lose)
    reactor = Reactor(fleet)
    with pytest.raises(BrokerUnavailable):
        reactor.run_once()
    monkeypatch.undo()
    settle(reactor)
    assert firings(fleet, made) == 1
    assert len(taken(fleet)) == 1


def test_a_name_is_taken_once_and_the_same_automation_may_be_made_again(fleet: Fleet) -> None:
    made = automation()
    assert automation().id == made.id
    made.disable()
    assert automation().id == made.id
    with pytest.raises(BrokerConflict, match="already exists"):
        automation(threshold=2)
    assert made.delete()
    assert automation().id != made.id


def test_firings_are_calls_that_wait_in_a_queue_of_the_store(fleet: Fleet) -> None:
    automation()
    tell(fleet, "shop.sold")
    settle(Reactor(fleet))
    (call,) = taken(fleet)
    (record,) = fleet.broker.records.read([call.run_id])
    assert record.status in (Status.QUEUED, Status.RUNNING)
    assert call.ticket.startswith(f"{ACTION_QUEUE}:ds ")
