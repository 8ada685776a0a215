"""Schedules: a tick moves on and gets its run in one step, once, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import pytest

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.facets.schedules import NEVER, Outcome, PlannedRun, Tick, Ticked
from brokers.messages import FINAL_STATUSES, AckKind, Envelope, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import ScheduleField
from orchestrator.runs.run_ids import tick_run_id
from tests.support.carriage import Calls

OWNER = {"o": "t:nightly", "a": "1"}
LONG_AGO = 1_000_000
SERVED = "s-0123456789ab:ds"


def planned(tick_ms: int, schedule_id: str = "s", not_before_ms: int = 0, route: str = "q:ds") -> PlannedRun:
    call = Envelope(tick_run_id(schedule_id, tick_ms), "app.task", route, b"body", None, None, None, None)
    return PlannedRun(tick_ms, not_before_ms, call)


def tick(broker: Broker, due_ms: int = LONG_AGO, *, ticks: Sequence[int] | None = None, generation: int = 1,
         next_ms: int | None = None, missed: int = 0, most: int = 0, overlap: str = "allow", schedule_id: str = "s",
         not_before_ms: int = 0, route: str = "q:ds") -> Ticked:  # fmt: skip
    runs = [planned(one, schedule_id, not_before_ms, route) for one in ([due_ms] if ticks is None else ticks)]
    following = due_ms + 1000 if next_ms is None else next_ms
    return broker.ticks.tick([Tick(schedule_id, due_ms, generation, following, missed, most, overlap, b"", runs)], 10)[
        0
    ]


def field(broker: Broker, name: str, schedule_id: str = "s") -> bytes | None:
    (found,) = broker.schedules.read([schedule_id])
    assert found is not None
    return found.fields.get(name)


def due_of(broker: Broker, schedule_id: str = "s") -> int | None:
    (found,) = broker.schedules.read([schedule_id])
    return found.due_ms if found else None


def test_a_schedule_is_there_with_its_next_tick_as_soon_as_it_is_written(any_broker: Broker) -> None:
    assert any_broker.schedules.write("s", {**OWNER, "s": b"spec"}, due_ms=LONG_AGO) == 1
    assert any_broker.schedules.of("t:nightly") == ["s"]
    assert any_broker.schedules.newest() == (1, ["s"])
    found = any_broker.ticks.due()
    assert found.due == [("s", LONG_AGO)]
    assert abs(any_broker.ticks.now_ms() - found.now_ms) < 60_000
    assert field(any_broker, "s") == b"spec"
    assert any_broker.schedules.delete(["s", "another"]) == 1
    assert (any_broker.schedules.of("t:nightly"), any_broker.ticks.due().due) == ([], [])


def test_two_who_change_it_at_once_do_not_undo_each_other(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER)
    any_broker.schedules.write("s", {"s": b"mine"}, expected=1)
    with pytest.raises(BrokerConflict, match="changed since"):
        any_broker.schedules.write("s", {"s": b"yours"}, expected=1)
    with pytest.raises(BrokerConflict, match="already"):
        any_broker.schedules.write("s", OWNER, only_new=True)
    assert field(any_broker, "s") == b"mine"


def test_a_tick_has_one_run_however_many_fire_it(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    run_id = tick_run_id("s", LONG_AGO)
    assert tick(any_broker) == Ticked(Outcome.FIRED, [(LONG_AGO, run_id, "F")])
    assert tick(any_broker).what == Outcome.MOVED
    assert any_broker.records.read([run_id])[0].status == Status.QUEUED
    assert (due_of(any_broker), field(any_broker, ScheduleField.OPEN_RUN)) == (LONG_AGO + 1000, run_id.encode())
    assert any_broker.ticks.fired("s", 0, LONG_AGO) == [LONG_AGO]


def test_who_has_read_an_older_version_of_it_comes_too_late(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    any_broker.schedules.write("s", {"s": b"edited"})
    assert tick(any_broker, generation=1).what == Outcome.MOVED
    assert tick(any_broker, generation=2).what == Outcome.FIRED


def test_several_ticks_are_made_up_for_and_the_others_counted(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    done = tick(any_broker, ticks=[LONG_AGO, LONG_AGO + 10], missed=7, next_ms=LONG_AGO + 20)
    assert [how for _, _, how in done.runs] == ["F", "F"]
    assert (field(any_broker, "m"), field(any_broker, "n")) == (b"7", b"2")


def test_a_tick_that_had_a_run_before_is_passed_over(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    any_broker.ticks.note_fired("s", [LONG_AGO])
    assert tick(any_broker).runs == [(LONG_AGO, "", "K")]
    assert due_of(any_broker) == LONG_AGO + 1000


def test_it_is_over_after_its_last_run_or_its_last_tick(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    assert [how for _, _, how in tick(any_broker, ticks=[1, 2, 3], most=2).runs] == ["F", "F", "S"]
    assert due_of(any_broker) is None
    any_broker.schedules.write("s2", OWNER, due_ms=LONG_AGO)
    tick(any_broker, schedule_id="s2", next_ms=NEVER)
    assert due_of(any_broker, "s2") is None


def test_a_run_is_skipped_while_the_last_one_is_not_over(any_broker: Broker) -> None:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    assert [how for _, _, how in tick(any_broker, ticks=[1, 2], overlap="skip").runs] == ["F", "S"]
    any_broker.runs.cancel([tick_run_id("s", 1)])
    assert [how for _, _, how in tick(any_broker, LONG_AGO + 1000, overlap="skip").runs] == ["F"]


@pytest.fixture
def any_due(any_broker: Broker) -> Broker:
    any_broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    return any_broker


def calls_of(broker: Broker) -> Calls:
    return Calls(cast(RedisBroker, broker))  # what is used of it here, every broker has


def statuses(broker: Broker, *ticks: int) -> list[bytes]:
    return [record.status for record in broker.records.read([tick_run_id("s", one) for one in ticks])]


def test_buffer_one_lets_one_wait_for_the_running_one(any_due: Broker) -> None:
    calls = calls_of(any_due)
    tick(any_due, ticks=[1], overlap="buffer-one")
    running = calls.take_one()
    done = tick(any_due, LONG_AGO + 1000, ticks=[2, 3], overlap="buffer-one")
    assert [how for _, _, how in done.runs] == ["F", "S"]
    assert (calls.take(), field(any_due, ScheduleField.OVERLAPPED)) == ([], b"1")
    assert calls.end(running, AckKind.FAILED)
    assert calls.take_one().run_id == tick_run_id("s", 2)


def test_replace_waiting_leaves_the_newest_one_waiting_and_names_the_others_superseded(any_due: Broker) -> None:
    calls = calls_of(any_due)
    tick(any_due, ticks=[1, 2], overlap="replace-waiting")
    assert statuses(any_due, 1, 2) == [Status.CANCELLED, Status.QUEUED]
    assert "later run" in calls.text(tick_run_id("s", 1))
    running = calls.take_one()
    tick(any_due, LONG_AGO + 1000, ticks=[3, 4], overlap="replace-waiting")
    assert statuses(any_due, 2, 3, 4) == [Status.QUEUED, Status.CANCELLED, Status.PARKED]
    assert calls.end(running)
    assert calls.take_one().run_id == tick_run_id("s", 4)


def test_cancel_running_asks_the_running_one_to_stop_and_runs_when_it_has(any_due: Broker) -> None:
    calls = calls_of(any_due)
    tick(any_due, ticks=[1], overlap="cancel-running")
    running = calls.take_one()
    any_due.deliveries.started([(running.ticket, running.run_id)])
    tick(any_due, LONG_AGO + 1000, ticks=[2], overlap="cancel-running")
    assert statuses(any_due, 1, 2) == [Status.CANCELLING, Status.PARKED]
    assert calls.end(running, AckKind.CANCELLED)
    assert calls.take_one().run_id == tick_run_id("s", 2)


def test_what_waits_is_cancelled_and_what_has_begun_is_left_alone(any_broker: Broker) -> None:
    calls = calls_of(any_broker)
    runs = calls.submit_many(4)
    taken, tried = calls.take(2)
    any_broker.deliveries.started([(taken.ticket, taken.run_id)])
    assert calls.end(tried, AckKind.RETRY)
    before = any_broker.runs.cancel([*runs, "nobody"], only_waiting=True)
    assert before == [Status.RUNNING, Status.RUNNING, Status.QUEUED, Status.QUEUED, Status.UNKNOWN]
    assert calls.end(taken)
    assert [calls.status(run) for run in runs] == [calls.status(run) for run in (taken.run_id, tried.run_id)] + [
        Status.CANCELLED,
        Status.CANCELLED,
    ]
    assert calls.status(tried.run_id) not in FINAL_STATUSES
    assert any_broker.runs.cancel([runs[0]], only_waiting=True) == [Status.COMPLETED]


# -- what only a server does ------------------------------------------------------------------------------------------


@pytest.fixture
def due(broker: RedisBroker) -> RedisBroker:
    broker.schedules.write("s", OWNER, due_ms=LONG_AGO)
    return broker


def test_a_start_that_is_put_off_waits_for_its_moment(due: RedisBroker, calls: Calls) -> None:
    tick(due, not_before_ms=due.ticks.now_ms() + 60_000)
    assert statuses(due, LONG_AGO) == [Status.DELAYED]
    assert due.runs.run_now([tick_run_id("s", LONG_AGO)])
    assert calls.take_one().run_id == tick_run_id("s", LONG_AGO)


def test_it_pauses_itself_after_so_many_failures_in_a_row(due: RedisBroker, calls: Calls) -> None:
    due.schedules.write("s", {ScheduleField.PAUSES_AFTER: "2"})
    for at, how in enumerate([AckKind.FAILED, AckKind.COMPLETED, AckKind.FAILED, AckKind.CANCELLED, AckKind.FAILED]):
        assert tick(due, LONG_AGO + 1000 * at, generation=2).what == Outcome.FIRED
        assert calls.end(calls.take_one(), how)
    assert (field(due, "a"), field(due, "why"), due_of(due)) == (b"0", b"2 runs in a row failed", None)
    assert field(due, "g") == b"3"


def test_the_run_of_a_tick_that_is_repeated_after_the_server_lost_its_last_second_is_the_same(
    due: RedisBroker, calls: Calls
) -> None:
    tick(due)
    due.schedules.write("s", {}, due_ms=LONG_AGO)  # as it was before
    due.wires.commands([("DEL", due.keys.fired("s"))])
    assert tick(due, generation=2).runs == [(LONG_AGO, tick_run_id("s", LONG_AGO), "F")]
    assert len(calls.take()) == 1


def test_a_paused_deployment_is_passed_over(broker: RedisBroker) -> None:
    broker.documents.write("deployment", "dep", {"p": "1"})
    broker.schedules.write("s", {"o": "d:dep", "a": "1", "q": "q:ds"}, due_ms=LONG_AGO)
    assert tick(broker).what == Outcome.PAUSED
    assert (due_of(broker), statuses(broker, LONG_AGO)) == (LONG_AGO + 1000, [Status.UNKNOWN])


def served(broker: RedisBroker) -> None:
    broker.documents.write("deployment", "dep", {"p": "0"})
    broker.schedules.write("s", {"o": "d:dep", "a": "1", "q": SERVED}, due_ms=LONG_AGO)


def test_ticks_of_a_deployment_that_nobody_serves_are_held_until_somebody_does(broker: RedisBroker) -> None:
    served(broker)
    assert tick(broker, route=SERVED).what == Outcome.HELD
    assert tick(broker, LONG_AGO + 1000, route=SERVED).what == Outcome.HELD
    assert (due_of(broker), field(broker, ScheduleField.HELD_SINCE)) == (LONG_AGO + 2000, b"%d" % LONG_AGO)
    broker.documents.touch("deployment", ["dep"], "st")
    assert broker.ticks.release("d:dep") == 1
    assert (due_of(broker), broker.ticks.release("d:dep")) == (LONG_AGO, 0)
    assert tick(broker, route=SERVED).what == Outcome.FIRED


def test_what_was_held_is_due_again_even_if_nobody_releases_it(broker: RedisBroker) -> None:
    served(broker)
    tick(broker, route=SERVED)
    broker.documents.touch("deployment", ["dep"], "st")
    assert tick(broker, LONG_AGO + 1000, route=SERVED).what == Outcome.MOVED
    assert due_of(broker) == LONG_AGO


def damage_hash(broker: RedisBroker) -> None:
    broker.wires.commands([("DEL", broker.keys.schedule("bad")), ("SET", broker.keys.schedule("bad"), "x")])


def damage_numbers(broker: RedisBroker) -> None:
    broker.schedules.write("bad", {"n": "x", "m": "y", "k": "z", "u": b"\xff", "w": "?", "h": "soon"})


def damage_fired(broker: RedisBroker) -> None:
    broker.wires.commands([("SET", broker.keys.fired("bad"), "x")])


def damage_limits(broker: RedisBroker) -> None:
    broker.wires.commands([("SET", broker.keys.prefix + "ticker", "x"), ("SET", broker.keys.schedules, "x")])


@pytest.mark.parametrize("damage", [damage_hash, damage_numbers, damage_fired, damage_limits])
def test_a_damaged_schedule_stops_no_other(broker: RedisBroker, damage: Callable[[RedisBroker], None]) -> None:
    for schedule_id in ("bad", "s"):
        broker.schedules.write(schedule_id, OWNER, due_ms=LONG_AGO)
    damage(broker)
    assert sorted(broker.ticks.due().due) == [("bad", LONG_AGO), ("s", LONG_AGO)]
    rows = [
        Tick(
            one, LONG_AGO, 1 + (damage is damage_numbers and one == "bad"), NEVER, 0, 0, "skip", b"", [planned(1, one)]
        )
        for one in ("bad", "s")
    ]
    bad, good = broker.ticks.tick(rows, 10)
    assert good.what == Outcome.FIRED
    assert bad.what in (Outcome.FIRED, Outcome.MOVED, Outcome.REFUSED)
    broker.schedules.read(["bad", "s"])
    broker.schedules.write("bad", OWNER, due_ms=LONG_AGO)
    assert broker.schedules.delete(["bad"]) == 1


def test_a_break_in_which_nobody_looked_is_noticed(broker: RedisBroker) -> None:
    first = broker.ticks.due()
    assert first.back_ms == first.now_ms, "nobody has looked before"
    assert broker.ticks.due().back_ms == first.back_ms
    broker.wires.commands([("HSET", broker.keys.prefix + "ticker", "seen", first.now_ms - 90_000)])
    assert broker.ticks.due().back_ms >= first.now_ms


def test_a_clock_of_the_server_that_jumped_back_does_not_stop_it(broker: RedisBroker) -> None:
    now = broker.ticks.due().now_ms
    broker.wires.commands([("HSET", broker.keys.prefix + "ticker", "seen", now + 10**9, "back", now - 10**6)])
    assert broker.ticks.due().back_ms == now - 10**6
    assert broker.ticks.due().back_ms == now - 10**6


def test_where_calls_are_carried_the_runs_of_ticks_go_to_the_outbox(broker: RedisBroker) -> None:
    carried = RedisBroker(broker.wires, broker.keys.prefix[1:-2], result_ttl_seconds=60, external_carrier=True)
    carried.schedules.write("s", OWNER, due_ms=LONG_AGO)
    tick(carried)
    (entry,) = carried.wires.commands([("XRANGE", carried.keys.outbox, "-", "+")])[0]
    assert tick_run_id("s", LONG_AGO).encode() in entry[1]


def test_schedules_are_in_the_audit(due: RedisBroker) -> None:
    due.schedules.write("s", {"a": "0"}, due_ms=NEVER, who="ann", what="paused")
    line = due.documents.audit(1)[0]
    assert (line.who, line.what, line.kind, line.id) == ("ann", "paused", "schedule", "s")
