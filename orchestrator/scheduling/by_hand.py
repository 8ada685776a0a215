"""Runs of a schedule that people ask for: one now, or those of a time that has passed."""

from __future__ import annotations

from datetime import datetime
from itertools import count, islice
from typing import Final, NamedTuple

from brokers.messages import FINAL_STATUSES, Envelope, Status
from brokers.schema import Extra
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import new_run_id, tick_run_id
from orchestrator.scheduling.calls import TickRun, calls_for
from orchestrator.scheduling.edit import read
from orchestrator.scheduling.record import ScheduleRecord, ms_of

MAX_BACKFILL: Final = 10_000


def trigger(fleet: Fleet, schedule_id: str) -> str:
    """Make a run of a schedule now, beside its ticks; returns the run id.

    Raises:
        ValueError: there is no such schedule.
        BrokerError, SerializationError: the run cannot be made.
    """
    record = _known(fleet, schedule_id)
    run = TickRun(new_run_id(), fleet.broker.ticks.now_ms(), note="triggered by hand")
    return fleet.calls.send(calls_for(fleet, record, [run]))[0]


def backfill(
    fleet: Fleet,
    schedule_id: str,
    start: datetime,
    end: datetime,
    *,
    concurrency: int | None = None,
    newest_first: bool = False,
    again: bool = False,
) -> list[str]:
    """Make the runs of a time: one for each tick from ``start`` to ``end``, both included. Returns their ids.

    Ticks that had a run are left out, and so are ticks to come: they have their runs when they are due. Repeating it
    makes no second run.

    Args:
        fleet: where the schedule is.
        schedule_id: which.
        start, end: moments with a time zone.
        concurrency: how many of them run at once, at most.
        newest_first: the order in which they are queued.
        again: also make runs for ticks that had one, under other ids.

    Raises:
        ValueError: there is no such schedule, it cannot be read here, a moment has no time zone, ``start`` is later
            than ``end``, or there are more than 10,000 ticks.
        BrokerError, SerializationError: the runs cannot be made.
    """
    record = _known(fleet, schedule_id)
    now_ms = fleet.broker.ticks.now_ms()
    ticks = [tick_ms for tick_ms in _ticks(record, start, end) if tick_ms <= now_ms]
    if not again:
        had = set(fleet.broker.ticks.fired(schedule_id, ms_of(start), ms_of(end)))
        ticks = [tick_ms for tick_ms in ticks if tick_ms not in had]
    runs = [TickRun(_run_id(fleet, schedule_id, tick_ms, again), tick_ms, note="backfill") for tick_ms in ticks]
    calls = calls_for(fleet, record, runs[::-1] if newest_first else runs)
    if concurrency is not None:
        calls = [_limited(call, f"backfill-{schedule_id}|{concurrency}") for call in calls]
    if not calls:
        return []
    made = fleet.calls.send(calls)
    fleet.broker.ticks.note_fired(schedule_id, ticks)
    return list(made)


class CancelledBackfill(NamedTuple):
    """What cancelling a backfill came to: runs that are cancelled, and how many have begun and go on."""

    cancelled: list[str]
    begun: int


def cancel_backfill(fleet: Fleet, schedule_id: str, start: datetime, end: datetime) -> CancelledBackfill:
    """Cancel what has not begun of the runs of a time; what has begun goes on, what is over stays.

    The ticks count as done: a later backfill makes runs for them with ``again=True`` only.

    Args:
        fleet: where the schedule is.
        schedule_id: which.
        start, end: moments with a time zone, as given to :func:`backfill`.

    Raises:
        ValueError: as :func:`backfill`.
        BrokerError: the store does not answer. Repeating it changes nothing.
    """
    run_ids = _runs_there(fleet, schedule_id, _ticks(_known(fleet, schedule_id), start, end))
    before = fleet.broker.runs.cancel(run_ids, "its backfill was cancelled", only_waiting=True)
    waiting = [
        run_id
        for run_id, status in zip(run_ids, before, strict=True)
        if status not in (*FINAL_STATUSES, Status.UNKNOWN, Status.RUNNING)
    ]
    return CancelledBackfill(waiting, before.count(Status.RUNNING))


def _runs_there(fleet: Fleet, schedule_id: str, ticks: list[int]) -> list[str]:
    """The runs of some ticks, those made again among them."""
    found: list[str] = []
    for number in count():
        run_ids = [tick_run_id(schedule_id, tick_ms, number) for tick_ms in ticks]
        records = fleet.broker.records.read(run_ids)
        there = [record.status != Status.UNKNOWN for record in records]
        found += [run_id for run_id, known in zip(run_ids, there, strict=True) if known]
        ticks = [tick_ms for tick_ms, known in zip(ticks, there, strict=True) if known]
        if not ticks:
            return found
    raise AssertionError("unreachable")


def _known(fleet: Fleet, schedule_id: str) -> ScheduleRecord:
    (record,) = read(fleet, [schedule_id])
    if record is None:
        raise ValueError(f"there is no schedule {schedule_id}")
    return record


def _ticks(record: ScheduleRecord, start: datetime, end: datetime) -> list[int]:
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("the moments of a backfill need a time zone")
    if start > end:
        raise ValueError(f"the backfill would begin at {start}, which is later than its end, {end}")
    if record.schedule is None:
        raise ValueError(f"schedule {record.id} is left alone: {record.trouble}")
    ticks = [ms_of(tick) for tick in islice(record.schedule.ticks(start, end), MAX_BACKFILL + 1)]
    if len(ticks) > MAX_BACKFILL:
        raise ValueError(f"there are more than {MAX_BACKFILL:,} ticks between {start} and {end}: take a shorter time")
    return ticks


def _run_id(fleet: Fleet, schedule_id: str, tick_ms: int, again: bool) -> str:
    """The id of the tick's run; the first that is free where there is to be another one."""
    count = 0
    run_id = tick_run_id(schedule_id, tick_ms)
    while again and fleet.broker.records.read([run_id])[0].status != Status.UNKNOWN:
        count += 1
        run_id = tick_run_id(schedule_id, tick_ms, count)
    return run_id


def _limited(call: Envelope, limit: str) -> Envelope:
    extras = dict(call.extras or {})
    extras[Extra.LIMIT] = f"{extras[Extra.LIMIT]}\n{limit}" if Extra.LIMIT in extras else limit
    return call._replace(extras=extras)
