"""A schedule as the store keeps it, read whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgpack

from brokers.facets.schedules import StoredSchedule
from brokers.schema import ScheduleField
from brokers.stored import number, text, text_or_none, whole
from orchestrator.schedules import Schedule
from orchestrator.schedules.spec import schedule_from, spec_of

_KNOWN: Final = frozenset(value for name, value in vars(ScheduleField).items() if name.isupper())
_EARLIEST, _LATEST = 0, 253_402_300_799_000  # the calendar of Python ends with the year 9999


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule. Moments are unix milliseconds by the server's clock.

    Attributes:
        id: made of its owner and its slug, or of what it says.
        owner: ``d:<deployment id>`` or ``t:<name of a schedule of a task>``.
        schedule: when it is due; ``None``: that cannot be read here, ``trouble`` says why.
        trouble: why it is left alone here; empty: it is not.
        active: whether it fires; people's wish, or that of ``pause_on_failure``.
        reason: why it is paused.
        generation: counts what people wrote.
        template: of the calls that it makes.
        route: where they are queued.
        due_ms: its next tick; ``None``: never, or paused.
        last_tick_ms: the last one that had a run.
        open_run: the last run, which may be over.
        fired, missed, overlapped: how many ticks had a run; had none because nobody was there, or because another run
            was not over.
        failures: how many runs in a row have failed.
        skipped: ticks that people have taken out.
        held_since_ms: the first tick at which nobody served its deployment.
        more: further fields, of whoever wrote it.
    """

    id: str
    owner: str
    schedule: Schedule | None = None
    trouble: str = ""
    active: bool = True
    reason: str = ""
    generation: int = 0
    template: bytes = b""
    route: str = ""
    due_ms: int | None = None
    last_tick_ms: int | None = None
    open_run: str | None = None
    fired: int = 0
    missed: int = 0
    overlapped: int = 0
    failures: int = 0
    skipped: tuple[int, ...] = ()
    held_since_ms: int | None = None
    more: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_of_deployment(self) -> bool:
        return self.owner.startswith("d:")


def record_of(stored: StoredSchedule | None) -> ScheduleRecord | None:
    """The record of a schedule; ``None`` where there is none. Never raises: what cannot be read is in ``trouble``."""
    if stored is None:
        return None
    fields = stored.fields
    schedule, trouble = _schedule(fields)
    return ScheduleRecord(
        stored.id,
        text(fields.get(ScheduleField.OWNER)),
        schedule,
        trouble,
        active=fields.get(ScheduleField.ACTIVE) != b"0",
        reason=text(fields.get(ScheduleField.REASON)),
        generation=whole(fields.get(ScheduleField.GENERATION)),
        template=fields.get(ScheduleField.TEMPLATE, b""),
        route=text(fields.get(ScheduleField.ROUTE)),
        due_ms=stored.due_ms,
        last_tick_ms=_moment_ms(fields.get(ScheduleField.LAST_TICK)),
        open_run=text_or_none(fields.get(ScheduleField.OPEN_RUN)),
        fired=whole(fields.get(ScheduleField.FIRED)),
        missed=whole(fields.get(ScheduleField.MISSED)),
        overlapped=whole(fields.get(ScheduleField.OVERLAPPED)),
        failures=whole(fields.get(ScheduleField.FAILURES)),
        skipped=_ticks(fields.get(ScheduleField.SKIPPED)),
        held_since_ms=_moment_ms(fields.get(ScheduleField.HELD_SINCE)),
        more={name: value for name, value in fields.items() if name not in _KNOWN},
    )


def fields_of(owner: str, schedule: Schedule, template: bytes, route: str) -> dict[str, str | bytes]:
    """The fields that say what a schedule is: what people write; the rest is what became of it."""
    fields: dict[str, str | bytes] = {
        ScheduleField.OWNER: owner,
        ScheduleField.SPEC: msgpack.packb(spec_of(schedule)),
        ScheduleField.TEMPLATE: template,
        ScheduleField.ROUTE: route,
    }
    if schedule.pause_on_failure is not None:
        fields[ScheduleField.PAUSES_AFTER] = str(schedule.pause_on_failure)
    return fields


def packed_ticks(ticks: tuple[int, ...]) -> bytes:
    """Ticks as the field ``x`` keeps them."""
    packed: bytes = msgpack.packb(list(ticks)) if ticks else b""
    return packed


def moment_of(tick_ms: int) -> datetime:
    """A tick as a moment.

    >>> moment_of(1_767_225_600_000).isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(tick_ms / 1000, UTC)


def ms_of(moment: datetime) -> int:
    """A moment in milliseconds."""
    return round(moment.timestamp() * 1000)


def _schedule(fields: Mapping[str, bytes]) -> tuple[Schedule | None, str]:
    try:
        spec = msgpack.unpackb(fields.get(ScheduleField.SPEC, b""))
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return None, "its record is damaged: there is no spec in it"
    if not isinstance(spec, dict):
        return None, "its record is damaged: its spec is none"
    try:
        return schedule_from(spec, active=fields.get(ScheduleField.ACTIVE) != b"0"), ""
    except Exception as error:  # whatever somebody wrote into it
        return None, str(error) or type(error).__name__


def _moment_ms(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and _EARLIEST < found < _LATEST else None


def _ticks(packed: bytes | None) -> tuple[int, ...]:
    try:
        found = msgpack.unpackb(packed) if packed else []
    except Exception:
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(tick for tick in found if type(tick) is int and _EARLIEST < tick < _LATEST)
