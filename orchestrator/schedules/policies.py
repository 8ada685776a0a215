"""What a schedule does beside being due: ticks that were missed, runs that overlap, starts that are spread, an end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Literal, get_args

Catchup = Literal["latest", "all", "none"]
Overlap = Literal["allow", "skip", "buffer-one", "replace-waiting", "cancel-running"]

CATCHUP_SECONDS: Final = 86_400.0
MAX_CAUGHT_UP: Final = 1_000
_LOOKED_AT: Final = 200  # gaps that are looked at for the shortest


@dataclass(frozen=True, slots=True)
class Policies:
    """The keywords that :class:`orchestrator.schedules.Schedule` has beyond those of Prefect, checked.

    Raises:
        ValueError, TypeError: naming the keyword and the value.

    >>> Policies(catchup="sometimes")
    Traceback (most recent call last):
        ...
    ValueError: catchup='sometimes' is none of 'latest', 'all', 'none'
    """

    catchup: Catchup = "latest"
    catchup_seconds: float = CATCHUP_SECONDS
    overlap: Overlap = "allow"
    jitter: float = 0.0
    until: datetime | None = None
    max_runs: int | None = None
    pause_on_failure: int | None = None

    def __post_init__(self) -> None:
        _check_word("catchup", self.catchup, get_args(Catchup))
        _check_word("overlap", self.overlap, get_args(Overlap))
        _check_seconds("catchup_seconds", self.catchup_seconds)
        _check_seconds("jitter", self.jitter)
        _check_count("max_runs", self.max_runs)
        _check_count("pause_on_failure", self.pause_on_failure)
        if self.until is not None and (not isinstance(self.until, datetime) or self.until.tzinfo is None):
            raise ValueError(f"until={self.until!r} must be a datetime with a time zone")


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, words))}")


def _check_seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise ValueError(f"{name}={value!r} must be a number of seconds, at least 0")


def _check_count(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name}={value!r} must be a number of at least 1, or None")


def check_jitter(jitter: float, next_after: Callable[[datetime], datetime | None]) -> None:
    """Refuse a spread that could put a tick behind the next one.

    Raises:
        ValueError: the jitter is not below the shortest gap (of the first ticks from 2026 on).
    """
    if not jitter:
        return
    ticks = [datetime(2026, 1, 1, tzinfo=UTC)]
    while len(ticks) <= _LOOKED_AT and (tick := next_after(ticks[-1])) is not None:
        ticks.append(tick)
    gaps = [later - earlier for earlier, later in pairwise(ticks[1:])]
    if gaps and timedelta(seconds=jitter) >= min(gaps):
        raise ValueError(f"jitter={jitter!r} must be below the shortest gap, {min(gaps).total_seconds():g} seconds")


def jitter_ms(schedule_id: str, tick_ms: int, jitter: float) -> int:
    """By how many milliseconds the start of a tick's run is put off: the same in every process.

    >>> jitter_ms("a", 1_767_225_600_000, 0.0)
    0
    >>> 0 <= jitter_ms("a", 1_767_225_600_000, 2.5) < 2_500
    True
    """
    if jitter <= 0:
        return 0
    digest = hashlib.blake2b(f"{schedule_id} {tick_ms}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % max(1, round(jitter * 1000))
