"""What people do to schedules: write, pause, resume, delete, skip a tick. Runs by hand are in ``by_hand``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from brokers.facets.schedules import AS_IT_WAS, NEVER
from brokers.schema import ScheduleField
from orchestrator.client.conflicts import retried_on_conflict
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import tick_run_id
from orchestrator.schedules import Schedule
from orchestrator.schedules.spec import schedule_id as id_of
from orchestrator.scheduling.record import ScheduleRecord, fields_of, moment_of, ms_of, packed_ticks, record_of

_POLICY_FIELDS: Final = (ScheduleField.PAUSES_AFTER,)


class Applied(NamedTuple):
    """What writing a schedule came to; ``what`` is ``created``, ``changed`` or ``unchanged``."""

    id: str
    what: str


class Upcoming(NamedTuple):
    """A tick to come, and the id that its run will have."""

    tick_ms: int
    run_id: str


def apply(
    fleet: Fleet,
    owner: str,
    schedule: Schedule,
    template: bytes,
    route: str,
    *,
    schedule_id: str | None = None,
    active: bool | None = None,
    more: Mapping[str, str | bytes] | None = None,
    may_replace: Callable[[ScheduleRecord], bool] = lambda record: True,
    who: str = "",
) -> Applied:
    """Create a schedule, or change the one with its id. Doing it again, or in several processes at once, is harmless.

    A change of when it is due sets its next tick anew; any other change leaves it. People's pause stays unless
    ``active`` or the schedule itself says otherwise.

    Args:
        fleet: where it is kept.
        owner: ``d:<deployment id>`` or ``t:<name>``.
        schedule: when it is due.
        template: of its calls, see :mod:`orchestrator.scheduling.calls`.
        route: where they are queued.
        schedule_id: its id; default: made of owner and schedule.
        active: whether it fires; ``None``: as it was, or as the schedule says when it is new or says no.
        more: further fields that are kept with it; names of two letters or more.
        may_replace: asked before another one that is there is changed; if it says no, it is ``unchanged``.
        who: for the audit.

    Raises:
        BrokerError: the store does not answer.
    """
    the_id = schedule_id or id_of(owner, schedule)
    fields = {**fields_of(owner, schedule, template, route), **(more or {})}
    wanted = active if active is not None else (None if schedule.active else False)
    return retried_on_conflict(lambda: _apply_once(fleet, the_id, schedule, fields, wanted, may_replace, who))


def _apply_once(
    fleet: Fleet,
    the_id: str,
    schedule: Schedule,
    fields: dict[str, str | bytes],
    active: bool | None,
    may_replace: Callable[[ScheduleRecord], bool],
    who: str,
) -> Applied:
    store = fleet.broker.schedules
    (stored,) = store.read([the_id])
    before = record_of(stored)
    if stored is None or before is None or not stored.fields:
        fires = active is not False
        new = {**fields, ScheduleField.ACTIVE: "1" if fires else "0"}
        due = _first_after(schedule, fleet.broker.ticks.now_ms()) if fires else NEVER
        store.write(the_id, new, due_ms=due, only_new=True, who=who, what="created")
        return Applied(the_id, "created")
    fires = before.active if active is None else active
    unwanted = [name for name in _POLICY_FIELDS if name not in fields and name in stored.fields]
    same = all(stored.fields.get(name) == _bytes(value) for name, value in fields.items())
    if same and not unwanted and fires == before.active:
        return Applied(the_id, "unchanged")
    if not may_replace(before):
        return Applied(the_id, "unchanged")
    timing = stored.fields.get(ScheduleField.SPEC) != _bytes(fields[ScheduleField.SPEC]) or fires != before.active
    due = AS_IT_WAS if not timing else (_first_after(schedule, fleet.broker.ticks.now_ms()) if fires else NEVER)
    changed = {**fields, ScheduleField.ACTIVE: "1" if fires else "0"}
    drop = [*unwanted, *([ScheduleField.REASON, ScheduleField.FAILURES] if fires and not before.active else [])]
    if timing:  # ticks that it had before are no ticks any more
        drop.append(ScheduleField.HELD_SINCE)
    store.write(the_id, changed, due_ms=due, drop=drop, expected=before.generation, who=who)
    return Applied(the_id, "changed")


def read(fleet: Fleet, schedule_ids: Sequence[str]) -> list[ScheduleRecord | None]:
    """Schedules by their ids; ``None`` where there is none. Raises BrokerError."""
    return [record_of(stored) for stored in fleet.broker.schedules.read(schedule_ids)]


def of_owner(fleet: Fleet, owner: str) -> list[ScheduleRecord]:
    """The schedules of a deployment (``d:<id>``) or of a name (``t:<name>``). Raises BrokerError."""
    return [found for found in read(fleet, fleet.broker.schedules.of(owner)) if found is not None]


def newest(fleet: Fleet, first: int = 0, limit: int = 200) -> tuple[int, list[ScheduleRecord]]:
    """How many schedules there are, and some of them, what was written last first. Raises BrokerError."""
    total, ids = fleet.broker.schedules.newest(first, limit)
    return total, [found for found in read(fleet, ids) if found is not None]


def pause(fleet: Fleet, schedule_id: str, reason: str = "paused by hand", *, who: str = "") -> bool:
    """Have a schedule rest until it is resumed; whether there is such a one. Raises BrokerError."""
    (record,) = read(fleet, [schedule_id])
    if record is None:
        return False
    fields = {ScheduleField.ACTIVE: "0", ScheduleField.REASON: reason}
    fleet.broker.schedules.write(schedule_id, fields, due_ms=NEVER, who=who, what="paused")
    return True


def resume(fleet: Fleet, schedule_id: str, *, who: str = "") -> bool:
    """Have a schedule fire again, from its first tick after now on; whether there is such a one.

    Ticks of the pause are not made up for.

    Raises:
        BrokerError: the store does not answer.
        ValueError: the schedule cannot be read here.
    """
    drop = [ScheduleField.REASON, ScheduleField.FAILURES, ScheduleField.HELD_SINCE]
    return _rewrite(fleet, schedule_id, {ScheduleField.ACTIVE: "1"}, drop, who, "resumed")


def skip_past(fleet: Fleet, owner: str) -> int:
    """Pass over the ticks up to now of all schedules of an owner, as after its pause; returns how many it has."""
    records = [record for record in of_owner(fleet, owner) if record.active and record.schedule is not None]
    for record in records:
        _rewrite(fleet, record.id, {}, [ScheduleField.HELD_SINCE], "", "resumed")
    return len(records)


def _rewrite(
    fleet: Fleet, schedule_id: str, fields: Mapping[str, str | bytes], drop: Sequence[str], who: str, what: str
) -> bool:
    """Write fields, and set the next tick to the first after now."""

    def change() -> bool:
        (record,) = read(fleet, [schedule_id])
        if record is None:
            return False
        due = _first_after(_readable(record), fleet.broker.ticks.now_ms())
        fleet.broker.schedules.write(
            schedule_id, fields, due_ms=due, drop=drop, expected=record.generation, who=who, what=what
        )
        return True

    return retried_on_conflict(change)


def delete(fleet: Fleet, schedule_ids: Sequence[str], *, who: str = "") -> int:
    """Forget schedules; their runs stay. Returns how many there were. Raises BrokerError."""
    return fleet.broker.schedules.delete(schedule_ids, who)


def skip(fleet: Fleet, schedule_id: str, tick_ms: int, *, who: str = "") -> bool:
    """Take out a tick to come: it has no run; whether there is such a schedule.

    Raises:
        BrokerError: the store does not answer.
        ValueError: the schedule is not due at that moment, or cannot be read here.
    """

    def change() -> bool:
        (record,) = read(fleet, [schedule_id])
        if record is None:
            return False
        tick, now = moment_of(tick_ms), fleet.broker.ticks.now_ms()
        if tick_ms <= now or next(_readable(record).ticks(tick, tick), None) != tick:
            raise ValueError(f"{tick.isoformat()} is no tick to come of schedule {schedule_id}")
        skipped = tuple(sorted({*(one for one in record.skipped if one > now), tick_ms}))
        fields = {ScheduleField.SKIPPED: packed_ticks(skipped)}
        fleet.broker.schedules.write(schedule_id, fields, expected=record.generation, who=who, what="skipped a tick")
        return True

    return retried_on_conflict(change)


def upcoming(record: ScheduleRecord, now_ms: int, count: int = 10) -> list[Upcoming]:
    """The next ticks of a schedule that will have runs; none of one that is paused or cannot be read here."""
    return list(islice(_upcoming(record, now_ms), count))


def _upcoming(record: ScheduleRecord, now_ms: int) -> Iterator[Upcoming]:
    if record.schedule is None or record.due_ms is None or not record.active:
        return
    most = record.schedule.max_runs
    left = None if most is None else max(0, most - record.fired)
    ticks = (ms_of(tick) for tick in record.schedule.ticks(moment_of(max(record.due_ms, now_ms))))
    wanted = (tick_ms for tick_ms in ticks if tick_ms not in record.skipped)
    for tick_ms in islice(wanted, left):
        yield Upcoming(tick_ms, tick_run_id(record.id, tick_ms))


def _first_after(schedule: Schedule, now_ms: int) -> int:
    tick = schedule.next_after(moment_of(now_ms))
    return NEVER if tick is None else ms_of(tick)


def _readable(record: ScheduleRecord) -> Schedule:
    if record.schedule is None:
        raise ValueError(f"schedule {record.id} is left alone: {record.trouble}")
    return record.schedule


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
