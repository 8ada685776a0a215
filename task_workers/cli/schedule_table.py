"""A schedule as a row, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.schedules import Schedule
    from orchestrator.scheduling.lookup import NamedSchedule
    from orchestrator.scheduling.record import ScheduleRecord

HEADS = ("SCHEDULE", "WHEN", "NEXT", "LAST", "RUNS", "MISSED", "STATE", "ID")
DROP = ("ID", "RUNS", "LAST", "WHEN", "MISSED")  # on a narrow terminal, in this order


def row_of(one: NamedSchedule, now_ms: int) -> tuple[str, ...]:
    """A schedule as a row."""
    record = one.record
    return (
        one.name,
        when_text(record.schedule) if record.schedule is not None else "?",
        time_text(_next_ms(record, now_ms), record),
        time_text(record.last_tick_ms, record),
        f"{record.fired:,}",
        f"{record.missed:,}",
        state_text(record, one.vanished_from),
        record.id,
    )


def json_of_schedule(one: NamedSchedule, now_ms: int) -> dict[str, Any]:
    """A schedule for programs; moments in UTC."""
    from orchestrator.schedules.spec import spec_of
    from orchestrator.scheduling.record import moment_of

    record = one.record
    next_ms = _next_ms(record, now_ms)
    return {
        "id": record.id,
        "name": one.name,
        "owner": record.owner,
        "schedule": spec_of(record.schedule) if record.schedule is not None else None,
        "active": record.active,
        "state": state_text(record, one.vanished_from),
        "next": moment_of(next_ms).isoformat() if next_ms is not None else None,
        "last": moment_of(record.last_tick_ms).isoformat() if record.last_tick_ms is not None else None,
        "last_run": record.open_run,
        "runs": record.fired,
        "missed": record.missed,
        "overlapped": record.overlapped,
        "route": record.route,
    }


def state_text(record: ScheduleRecord, vanished_from: str = "") -> str:
    """What it does, or why it does nothing; and the module that declares it no longer."""
    state = _state_of(record)
    return f"{state}; no longer declared by {vanished_from}" if vanished_from else state


def _state_of(record: ScheduleRecord) -> str:
    if record.trouble:
        return f"left alone: {record.trouble}"
    if not record.active:
        return f"paused: {record.reason}" if record.reason else "paused"
    return "active" if record.due_ms is not None else "over"


def when_text(schedule: Schedule) -> str:
    """When a schedule is due, in short.

    >>> from orchestrator.schedules import Cron, Interval
    >>> when_text(Cron("0 9 * * *", "Europe/Oslo")), when_text(Interval("PT90M"))
    ('0 9 * * * (Europe/Oslo)', 'every 1:30:00')
    """
    if schedule.interval is not None:
        return f"every {schedule.interval}"
    text = schedule.cron or " ".join((schedule.rrule or "").split())
    return text if schedule.timezone in (None, "UTC") else f"{text} ({schedule.timezone})"


def time_text(moment_ms: int | None, record: ScheduleRecord) -> str:
    """A moment in the zone of a schedule."""
    from orchestrator.scheduling.record import moment_of

    if moment_ms is None:
        return "-"
    zone = record.schedule.zone if record.schedule is not None else None
    return f"{moment_of(moment_ms).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _next_ms(record: ScheduleRecord, now_ms: int) -> int | None:
    from orchestrator.scheduling.edit import upcoming

    coming = upcoming(record, now_ms, 1)
    return coming[0].tick_ms if coming else None
