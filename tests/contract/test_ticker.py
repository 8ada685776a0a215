"""The chore that fires schedules, and what people do to them, on every server; nothing waits for a clock here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgpack
import pytest

from brokers.errors import BrokerConflict
from brokers.facets.schedules import Tick, Ticked
from brokers.messages import Delivery, Status, routes_of
from brokers.schema import CallMeta, ScheduleField
from orchestrator import task
from orchestrator.client.fleet import Fleet
from orchestrator.execution.attempt import Attempt
from orchestrator.maintenance.ticker import Ticker
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Cron, Interval, RRule, Schedule
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.by_hand import backfill, cancel_backfill, trigger
from orchestrator.scheduling.calls import task_template
from orchestrator.scheduling.record import ScheduleRecord, moment_of, ms_of
from orchestrator.settings import Settings
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.submission.call_options import NO_OPTIONS
from task_workers.cli.run_facts import facts_of
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

KEY = "0123456789abcdef0123456789abcdef"


@task
def report(city: str = "Oslo") -> str:
    return city


@pytest.fixture(params=["plain", "signed"])
def fleet(request: pytest.FixtureRequest, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    keys = {"secret_key": KEY, "require_signature": True} if request.param == "signed" else {}
    with fleet_of(Settings(redis_url=server.url, namespace=namespace, **keys)) as made:
        made.broker.ticks.due()  # somebody looks from now on
        yield made


def declare(fleet: Fleet, name: str, schedule: Schedule, *, ago_seconds: float | None = None) -> str:
    """A schedule of the task; its next tick is the first after so many seconds ago."""
    owner = f"t:{name}"
    the_id = schedule_id(owner, schedule)
    template, route = task_template(fleet, report, the_id, (), {"city": name}, NO_OPTIONS)
    assert edit.apply(fleet, owner, schedule, template, route).what == "created"
    if ago_seconds is not None:
        move_due(fleet, the_id, schedule, ago_seconds)
    return the_id


def move_due(fleet: Fleet, the_id: str, schedule: Schedule, ago_seconds: float) -> int:
    begin = datetime.fromtimestamp(fleet.broker.ticks.now_ms() / 1000 - ago_seconds, UTC)
    tick = schedule.next_after(begin)
    assert tick is not None
    fleet.broker.schedules.write(the_id, {}, due_ms=ms_of(tick))
    return ms_of(tick)


def record(fleet: Fleet, the_id: str) -> ScheduleRecord:
    (found,) = edit.read(fleet, [the_id])
    assert found is not None
    return found


def taken(fleet: Fleet) -> list[Delivery]:
    return fleet.broker.deliveries.fetch("me", routes_of(["default"], "s"), 1_000)[0]


def test_a_due_schedule_makes_the_call_that_it_was_given(fleet: Fleet) -> None:
    the_id = declare(fleet, "Rome", Interval(3600), ago_seconds=3600)
    due_ms = record(fleet, the_id).due_ms
    assert due_ms is not None
    assert Ticker(fleet).run_once() == 0.0
    (call,) = taken(fleet)
    assert (call.run_id, call.task) == (tick_run_id(the_id, due_ms), report.task_key)
    assert CallMeta.unpack(call.meta).scheduled == [the_id, due_ms, 0]
    attempt = AttemptBuilder(fleet).attempt(call)
    assert isinstance(attempt, Attempt)
    assert attempt.kwargs == {"city": "Rome"}
    assert record(fleet, the_id).due_ms == due_ms + 3_600_000


def test_two_tickers_fire_each_tick_once(fleet: Fleet) -> None:
    ids = [declare(fleet, f"n{at}", Interval(1, catchup="all"), ago_seconds=5) for at in range(20)]
    first, second = Ticker(fleet), Ticker(fleet)
    stale = fleet.broker.ticks.due()
    first.run_once()
    second._fire(stale.due, stale)
    second.run_once()
    runs = [call.run_id for call in taken(fleet)]
    assert len(runs) == len(set(runs))
    fired = [tick for the_id in ids for tick in fleet.broker.ticks.fired(the_id, 0, 10**14)]
    assert len(runs) == len(fired) >= 20 * 4


def test_what_cannot_be_read_here_is_left_alone_and_reported_once(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    newer, damaged, good = (declare(fleet, name, Interval(3600), ago_seconds=3600) for name in ("a", "b", "c"))
    due_ms = record(fleet, newer).due_ms
    fleet.broker.schedules.write(newer, {"s": msgpack.packb({"v": 1, "moon": "full"})})
    fleet.broker.schedules.write(damaged, {"b": b"\xc1"})
    ticker = Ticker(fleet)
    with caplog.at_level(logging.WARNING, "orchestrator.schedules"):
        assert ticker.run_once() == 0.0
        assert ticker.run_once() > 0
        ticker._left_alone.clear()  # half a minute later
        ticker.run_once()
    assert len(taken(fleet)) == record(fleet, good).fired == 1
    assert record(fleet, newer).due_ms == due_ms, "who does not understand it does not move it"
    assert "newer version" in record(fleet, newer).trouble
    assert sorted(line.getMessage().split(" ")[1] for line in caplog.records) == sorted([newer, damaged])


def test_a_rule_that_takes_too_much_work_is_paused_with_that_reason(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_id = declare(fleet, "a", RRule("FREQ=HOURLY"), ago_seconds=3600)
    monkeypatch.setattr("orchestrator.schedules.decisions.EFFORT_SECONDS", 0.0)
    Ticker(fleet).run_once()
    found = record(fleet, the_id)
    assert (found.active, found.due_ms) == (False, None)
    assert "of work" in found.reason


def test_after_a_break_the_newest_missed_tick_has_a_run_that_knows_of_the_others(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orchestrator.schedules")
    the_id = declare(fleet, "nightly", Interval(10), ago_seconds=90)
    fleet.broker.wires.commands([("HSET", fleet.broker.keys.prefix + "ticker", "seen", 1)])  # type: ignore[attr-defined]
    Ticker(fleet).run_once()
    (call,) = taken(fleet)
    tick = CallMeta.unpack(call.meta).tick
    assert tick is not None
    assert tick.missed == record(fleet, the_id).missed == 8
    assert caplog.messages[0] == f"schedule nightly ({the_id}): 8 ticks were missed"
    assert caplog.messages[1].startswith(f"schedule nightly ({the_id}): run {call.run_id} for 2")
    facts = facts_of(fleet, call.run_id)
    assert (facts["message"], facts["schedule"]) == ("8 earlier ticks missed", "nightly")
    assert facts["tick"] == moment_of(tick.tick_ms).isoformat()
    edit.delete(fleet, [the_id])
    assert facts_of(fleet, call.run_id)["schedule"] == f"{the_id}, which is deleted"


def test_a_pause_is_not_made_up_for(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Interval(10), ago_seconds=90)
    assert edit.pause(fleet, the_id, "moving house")
    Ticker(fleet).run_once()
    assert (taken(fleet), record(fleet, the_id).reason) == ([], "moving house")
    assert edit.resume(fleet, the_id)
    Ticker(fleet).run_once()
    found = record(fleet, the_id)
    assert (taken(fleet), found.active, found.reason, found.missed) == ([], True, "", 0)
    assert found.due_ms is not None
    assert found.due_ms > fleet.broker.ticks.now_ms() - 1000
    assert not edit.pause(fleet, "nobody")
    assert not edit.resume(fleet, "nobody")


def test_applying_again_changes_nothing_and_a_pause_of_people_stays(fleet: Fleet) -> None:
    schedule = Interval(3600)
    the_id = declare(fleet, "a", schedule)
    due_ms = record(fleet, the_id).due_ms
    edit.pause(fleet, the_id)
    template, route = task_template(fleet, report, the_id, (), {"city": "Bergen"}, NO_OPTIONS)

    def apply(schedule: Schedule, active: bool | None = None) -> str:
        return edit.apply(fleet, "t:a", schedule, template, route, schedule_id=the_id, active=active).what

    assert [apply(schedule), apply(schedule)] == ["changed", "unchanged"]
    assert (record(fleet, the_id).active, record(fleet, the_id).due_ms) == (False, None)
    assert apply(schedule, active=True) == "changed"
    assert (record(fleet, the_id).active, record(fleet, the_id).due_ms) == (True, due_ms)
    assert apply(Interval(7200, pause_on_failure=3)) == "changed"
    assert apply(Interval(7200)) == "changed"
    (stored,) = fleet.broker.schedules.read([the_id])
    assert stored is not None
    assert ScheduleField.PAUSES_AFTER not in stored.fields


def test_an_edit_of_the_arguments_leaves_the_next_tick_where_it_is(fleet: Fleet) -> None:
    schedule = Interval(3600)
    the_id = declare(fleet, "a", schedule, ago_seconds=3600)
    due_ms = record(fleet, the_id).due_ms
    template, route = task_template(fleet, report, the_id, (), {"city": "Bergen"}, NO_OPTIONS)
    edit.apply(fleet, "t:a", schedule, template, route, schedule_id=the_id)
    assert record(fleet, the_id).due_ms == due_ms


def test_somebody_who_writes_at_the_same_moment_is_asked_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    the_id = declare(fleet, "a", Interval(3600))
    write, failures = fleet.broker.schedules.write, iter([True, True, False])

    def busy(*args: object, **more: object) -> int:
        if next(failures):
            raise BrokerConflict("changed")
        return write(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(fleet.broker.schedules, "write", busy)
    assert edit.resume(fleet, the_id)


def test_a_tick_to_come_can_be_taken_out(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Interval(3600))
    now_ms = fleet.broker.ticks.now_ms()
    first, second, third = edit.upcoming(record(fleet, the_id), now_ms, 3)
    assert second.run_id == tick_run_id(the_id, second.tick_ms)
    assert edit.skip(fleet, the_id, second.tick_ms)
    assert edit.upcoming(record(fleet, the_id), now_ms, 2) == [first, third]
    with pytest.raises(ValueError, match="no tick to come"):
        edit.skip(fleet, the_id, second.tick_ms + 1)


def test_what_is_paused_or_over_has_nothing_to_come(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Interval(3600, max_runs=2))
    now_ms = fleet.broker.ticks.now_ms()
    assert len(edit.upcoming(record(fleet, the_id), now_ms)) == 2
    edit.pause(fleet, the_id)
    assert edit.upcoming(record(fleet, the_id), now_ms) == []


def test_a_run_can_be_made_now(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("@yearly"))
    run_id = trigger(fleet, the_id)
    assert [call.run_id for call in taken(fleet)] == [run_id]
    with pytest.raises(ValueError, match="no schedule"):
        trigger(fleet, "nobody")


def test_a_backfill_makes_one_run_for_each_tick_and_none_the_second_time(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("@daily"))
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)
    made = backfill(fleet, the_id, start, end, newest_first=True)
    assert len(made) == 10
    assert made[0] == tick_run_id(the_id, ms_of(end))
    assert backfill(fleet, the_id, start, end) == []
    with pytest.raises(ValueError, match="later than its end"):
        backfill(fleet, the_id, end, start)
    again = backfill(fleet, the_id, start, start + timedelta(days=1), again=True)
    assert len(set(again) - set(made)) == 2
    assert len(taken(fleet)) == 12


def test_a_backfill_runs_so_many_at_once(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("@daily"))
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)
    made = backfill(fleet, the_id, start, end, concurrency=2)
    assert len(taken(fleet)) == 2
    waiting = [one.status for one in fleet.broker.records.read(made)].count(Status.LIMITED)
    assert waiting == 8


def test_of_a_cancelled_backfill_what_has_begun_goes_on(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("@daily"))
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)
    made = backfill(fleet, the_id, start, end, concurrency=2)
    again = backfill(fleet, the_id, end, end, again=True)
    begun = {call.run_id for call in taken(fleet)}
    assert len(begun) == 3
    cancelled = cancel_backfill(fleet, the_id, start, end)
    assert (set(cancelled.cancelled), cancelled.begun) == ({*made, *again} - begun, 3)
    assert {one.status for one in fleet.broker.records.read(cancelled.cancelled)} == {Status.CANCELLED}
    assert cancel_backfill(fleet, the_id, start, end) == ([], 3)
    assert cancel_backfill(fleet, the_id, end + timedelta(days=1), end + timedelta(days=9)) == ([], 0)
    assert backfill(fleet, the_id, start, end) == []


def test_a_backfill_leaves_out_ticks_to_come(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("@daily"))
    now = datetime.fromtimestamp(fleet.broker.ticks.now_ms() / 1000, UTC)
    assert backfill(fleet, the_id, now + timedelta(minutes=1), now + timedelta(days=9)) == []
    assert len(backfill(fleet, the_id, now - timedelta(days=2), now + timedelta(days=9))) == 2


def test_a_backfill_of_a_century_of_minutes_is_refused(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Cron("* * * * *"))
    with pytest.raises(ValueError, match="shorter time"):
        backfill(fleet, the_id, datetime(1926, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="time zone"):
        backfill(fleet, the_id, datetime(2026, 1, 1), datetime(2026, 1, 2))


def test_the_arguments_of_a_schedule_hold_no_future(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="future"):
        task_template(fleet, report, "s", (), {"city": report.delay()}, NO_OPTIONS)


def test_many_schedules_of_one_moment_are_fired_in_a_few_scripts(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(250):
        declare(fleet, f"n{at}", Interval(3600), ago_seconds=3600)
    scripts: list[int] = []
    fire = fleet.broker.ticks.tick

    def counting(ticks: Sequence[Tick], silent_seconds: float) -> list[Ticked]:
        scripts.append(len(ticks))
        return fire(ticks, silent_seconds)

    monkeypatch.setattr(fleet.broker.ticks, "tick", counting)
    Ticker(fleet).run_once()
    assert sorted(scripts) == [50, 100, 100]
    assert fleet.broker.ticks.due().due == []


def test_a_worker_that_knows_no_flow_makes_runs_of_deployments_too(fleet: Fleet) -> None:
    the_id = declare(fleet, "a", Interval(3600), ago_seconds=3600)
    fleet.broker.schedules.write(the_id, {"o": "d:gone"})
    ticker = Ticker(fleet)
    ticker.run_once()
    assert ticker._reported == {(the_id, "its deployment gone has been deleted")}
