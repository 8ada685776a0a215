"""How pages say moments, spans of time, sizes and states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from orchestrator.runs.run_ids import default_run_name, short_name

TONES: Final = frozenset(
    ("completed", "failed", "crashed", "running", "pending", "scheduled", "cancelled", "cancelling", "paused")
)
ENDED: Final = frozenset(("COMPLETED", "FAILED", "CANCELLED", "CRASHED"))
_ORDER: Final = (
    "COMPLETED",
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "CANCELLING",
    "FAILED",
    "CRASHED",
    "CANCELLED",
    "NOT READY",
)
_STEPS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def tone(state_type: str) -> str:
    """The colour and the shape of a state's type.

    >>> tone("FAILED"), tone("something new")
    ('failed', 'unknown')
    """
    name = "cancelled" if state_type in ("NOT READY", "NotReady") else str(state_type).lower()
    return name if name in TONES else "unknown"


def span(seconds: float | None) -> str:
    """A span of time in at most two units.

    >>> span(0.0042), span(1.5), span(75), span(90_061), span(None)
    ('4 ms', '1.5 s', '1 min 15 s', '1 d 1 h', '–')
    """
    if seconds is None:
        return "–"
    if 0 < seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next(at for at, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def ago(moment: datetime, now: datetime) -> str:
    """How far a moment is from now, in one unit.

    >>> now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> ago(datetime(2026, 1, 1, 11, 58, tzinfo=UTC), now), ago(datetime(2026, 1, 1, 15, tzinfo=UTC), now)
    ('2 min ago', 'in 3 h')
    """
    seconds = (now - _aware(moment)).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "just now"
    step, unit = next((step for step in _STEPS if size >= step[0]), (1.0, "s"))
    text = f"{int(size // step)} {unit}"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def utc(moment: datetime) -> str:
    """A moment to the second, with its zone.

    >>> utc(datetime(2026, 1, 1, 12, tzinfo=UTC))
    '2026-01-01 12:00:00 UTC'
    """
    return _aware(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def from_ms(milliseconds: float | None) -> datetime | None:
    """A moment from unix milliseconds; ``None`` for none, and for one that no calendar has.

    >>> from_ms(1_767_225_600_000).isoformat(), from_ms(0)
    ('2026-01-01T00:00:00+00:00', None)
    """
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds and milliseconds > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def in_zone(moment: datetime, zone: tzinfo | None = None) -> str:
    """A moment by the clocks of a zone; its own unless one is given.

    >>> from zoneinfo import ZoneInfo
    >>> in_zone(datetime(2026, 7, 1, 12, tzinfo=UTC), ZoneInfo("Europe/Oslo"))
    'Wed 2026-07-01 14:00:00 CEST'
    """
    return (_aware(moment) if zone is None else _aware(moment).astimezone(zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def clock(moment: datetime, zone: tzinfo | None = None) -> str:
    """The time of day by the clocks of a zone; UTC unless one is given.

    >>> clock(datetime(2026, 7, 1, 12, 5, tzinfo=UTC))
    '12:05'
    """
    return _aware(moment).astimezone(zone or UTC).strftime("%H:%M")


def iso(moment: datetime) -> str:
    """A moment for ``<time datetime>``."""
    return _aware(moment).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def took(run: Any, now: datetime) -> str:
    """How long a run's last attempt took, or takes until now."""
    if run.started is None or (run.ended is None and run.state_type in ENDED):
        return "–"
    return span(max(0.0, ((run.ended or now) - run.started).total_seconds()))


def called(run: Any) -> str:
    """What a run is called in lists: the name it was given, else its task's, else the task's key."""
    if run.name and run.name != default_run_name(run.task_name, run.id):
        return str(run.name)
    return named(run) or "(no name)"


def named(run: Any) -> str:
    """What its task is called: ``@task(name=...)``, else the task's key."""
    return str(run.task if run.task_name in ("", short_name(run.task)) else run.task_name)


def task_named(task: Any) -> str:
    """What a task is called in a table: the name it was given, else its key."""
    return str(task.task if task.name in ("", short_name(task.task)) else task.name) or "(no name)"


def share(part: float | None) -> str:
    """A share in percent, with as many digits as say something.

    >>> share(0.5), share(0.0312), share(0.0004), share(0.0), share(None)
    ('50 %', '3.1 %', '<0.1 %', '0 %', '–')
    """
    if part is None:
        return "–"
    percent = 100 * part
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def in_order(states: Mapping[str, int]) -> list[tuple[str, int]]:
    """Counts of states in the order in which a run goes through them, without those that are zero.

    >>> in_order({"FAILED": 1, "COMPLETED": 59, "RUNNING": 0})
    [('COMPLETED', 59), ('FAILED', 1)]
    """
    known = [(kind, states[kind]) for kind in _ORDER if states.get(kind)]
    return known + [(kind, number) for kind, number in states.items() if number and kind not in _ORDER]


def brief(run_id: str) -> str:
    """The end of an id, which differs most between ids of the same hour.

    >>> brief("0199aaaa-0000-7000-8000-00000000beef")
    '…0000beef'
    """
    return run_id if len(run_id) <= 12 else f"…{run_id[-8:]}"


def size(count: float | None) -> str:
    """Bytes for people.

    >>> size(1536), size(3 * 1024**3), size(None)
    ('1.5 KiB', '3.0 GiB', '–')
    """
    if count is None:
        return "–"
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def count(number: float | None) -> str:
    """A number with its thousands apart.

    >>> count(50000), count(None)
    ('50,000', '–')
    """
    return "–" if number is None else f"{number:,.0f}"


def rate(per_second: float | None) -> str:
    """Runs per second, with as many digits as say something.

    >>> rate(1234.5), rate(12.34), rate(0.25)
    ('1,234', '12.3', '0.25')
    """
    if per_second is None:
        return "–"
    return (
        f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2g}"
    )
