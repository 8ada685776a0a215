"""Damage to schedules and limits costs only what it describes, and keeps nobody busy; nothing waits for a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokers.facets.schedules import Outcome, PlannedRun, Tick
from brokers.messages import Envelope
from brokers.redis.broker import RedisBroker
from orchestrator import task
from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import cancel_waiting, declare
from orchestrator.maintenance.ticker import Ticker
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Interval, Schedule
from orchestrator.schedules.spec import schedule_id
from orchestrator.scheduling import edit
from orchestrator.scheduling.calls import task_template
from orchestrator.scheduling.planning import decision_for
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.settings import Settings
from orchestrator.submission.call_options import NO_OPTIONS
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

LONG_AGO = 1_000_000


@task
def report() -> None:
    """Nobody runs it here: what counts is that it was queued."""


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        made.broker.ticks.due()  # somebody looks from now on
        yield made


def write(fleet: Fleet, name: str, schedule: Schedule, the_id: str | None = None) -> str:
    owner = f"t:{name}"
    the_id = the_id or schedule_id(owner, schedule)
    template, route = task_template(fleet, report, the_id, (), {}, NO_OPTIONS)
    return edit.apply(fleet, owner, schedule, template, route, schedule_id=the_id).id


def due_schedule(fleet: Fleet, name: str) -> str:
    """One that is due since a second."""
    the_id = write(fleet, name, Interval(3600))
    fleet.broker.schedules.write(the_id, {}, due_ms=fleet.broker.ticks.now_ms() - 1000)
    return the_id


def record(fleet: Fleet, the_id: str) -> ScheduleRecord:
    (found,) = edit.read(fleet, [the_id])
    assert found is not None
    return found


def command(fleet: Fleet, *parts: Any) -> None:
    broker = fleet.broker
    assert isinstance(broker, RedisBroker)
    broker.wires.commands([(parts[0], broker.keys.prefix + parts[1], *parts[2:])])


def damage_generation(fleet: Fleet, the_id: str) -> None:
    command(fleet, "HSET", f"sched:{the_id}", "g", "x")


def damage_generation_a_little(fleet: Fleet, the_id: str) -> None:
    command(fleet, "HSET", f"sched:{the_id}", "g", "2.5")


def due_between_milliseconds(fleet: Fleet, the_id: str) -> None:
    command(fleet, "ZADD", "due", LONG_AGO + 0.5, the_id)


def due_before_all_time(fleet: Fleet, the_id: str) -> None:
    command(fleet, "ZADD", "due", "-inf", the_id)


@pytest.mark.parametrize(
    "damage", [damage_generation, damage_generation_a_little, due_between_milliseconds, due_before_all_time]
)
def test_a_schedule_with_damaged_numbers_keeps_no_ticker_busy(
    fleet: Fleet, damage: Callable[[Fleet, str], None]
) -> None:
    bad, good = due_schedule(fleet, "bad"), due_schedule(fleet, "good")
    damage(fleet, bad)
    ticker = Ticker(fleet)
    rests = [ticker.run_once() for _ in range(4)]
    assert record(fleet, good).fired == 1
    assert rests[-1] > 0


def test_an_error_that_nobody_has_thought_of_costs_one_schedule(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = due_schedule(fleet, "bad"), due_schedule(fleet, "good")

    def odd(record: ScheduleRecord, *moments: int) -> Any:
        if record.id == bad:
            raise RuntimeError("odd")
        return decision_for(record, *moments)

    monkeypatch.setattr("orchestrator.maintenance.ticker.decision_for", odd)
    ticker = Ticker(fleet)
    ticker.run_once()
    assert (record(fleet, good).fired, record(fleet, bad).fired) == (1, 0)
    assert ticker._reported == {(bad, "odd")}


def test_what_was_held_of_other_ticks_is_forgotten_with_them(fleet: Fleet) -> None:
    the_id = write(fleet, "a", Interval(3600))
    fleet.broker.schedules.write(the_id, {"h": str(LONG_AGO)})
    write(fleet, "a", Interval(7200), the_id)
    assert record(fleet, the_id).held_since_ms is None


def test_of_the_ticks_that_had_runs_the_newest_are_known_also_after_a_large_backfill(fleet: Fleet) -> None:
    the_id = due_schedule(fleet, "a")
    fleet.broker.ticks.note_fired(the_id, range(1, 10_051))
    Ticker(fleet).run_once()
    known = fleet.broker.ticks.fired(the_id, 0, 10**14)
    assert (len(known), known[0], record(fleet, the_id).last_tick_ms) == (10_000, 52, known[-1])


def test_a_round_that_takes_long_is_no_break(broker: RedisBroker) -> None:
    first = broker.ticks.due()
    broker.wires.commands([("HSET", broker.keys.prefix + "ticker", "seen", first.now_ms - 90_000)])
    assert broker.ticks.tick([Tick("gone", 1, 1, 2, 0, 0, "allow", b"", [])], 10)[0].what == Outcome.MOVED
    assert broker.ticks.due().back_ms == first.back_ms


def test_a_deployment_that_has_moved_to_a_work_pool_is_not_held_for_whoever_served_it(broker: RedisBroker) -> None:
    broker.documents.write("deployment", "dep", {"p": "0"})
    broker.schedules.write("s", {"o": "d:dep", "a": "1", "q": "s-0123456789ab:ds"}, due_ms=LONG_AGO)
    run_id = tick_run_id("s", LONG_AGO)
    call = Envelope(run_id, "app.task", "p-0123abcd-1:ds", b"body", None, None, None, None)
    row = Tick("s", LONG_AGO, 1, LONG_AGO + 1000, 0, 0, "allow", b"", [PlannedRun(LONG_AGO, 0, call)])
    assert broker.ticks.tick([row], 10)[0].runs == [(LONG_AGO, run_id, "F")]


def test_whoever_cancels_what_waits_asks_once_for_a_run_whose_record_was_lost(fleet: Fleet) -> None:
    declare(fleet, "db", limit=0)
    command(fleet, "SADD", "lines:db", "1*db|")
    command(fleet, "ZADD", "line:1*db|", 1, "lost")
    assert cancel_waiting(fleet, "db", "its deployment was deleted") == 0


def test_flow_runs_whose_children_are_to_be_cancelled_are_seen_to_whatever_the_clock_says(broker: RedisBroker) -> None:
    broker.wires.commands([("ZADD", broker.keys.prefix + "orphaned", "+inf", "nobody")])
    broker.runs.move_due()
    assert broker.runs.move_due() is None, "it would be asked again and again without a pause"
