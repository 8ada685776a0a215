"""When a failed attempt is tried again. Decides, does not wait: a waiting retry is an entry in the store.

Follows Prefect 3 (``retries``, ``retry_delay_seconds`` and ``retry_jitter_factor`` of ``@task``).
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from brokers.spans import LONGEST_SECONDS

Delay: TypeAlias = float | int | timedelta
DelayOption: TypeAlias = Delay | Sequence[Delay] | Callable[[int], Sequence[Delay]] | None

MAX_DELAYS: Final = 50
"""How many delays a task may list; later retries repeat the last one."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed call is tried again, and after how long.

    Args:
        retries: how many attempts may follow the first (0: none).
        delays: seconds before the first, second, ... retry; the last one is repeated, none means at once.
        jitter_factor: how far delays are spread, see :meth:`delay_before`; ``None`` or 0 for not at all.

    Raises:
        TypeError: a value has a wrong type; the message names the option of ``@task``.
        ValueError: a value is negative, infinite, or there are more than 50 delays.

    >>> policy = RetryPolicy(retries=4, delays=(1, 5))
    >>> [policy.delay_before(n) for n in range(policy.retries)]
    [1.0, 5.0, 5.0, 5.0]
    """

    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter_factor: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "retries", _checked_retries(self.retries))
        object.__setattr__(self, "delays", _checked_delays(self.delays))
        object.__setattr__(self, "jitter_factor", _checked_jitter(self.jitter_factor))

    @classmethod
    def from_options(
        cls,
        retries: int = 0,
        retry_delay_seconds: DelayOption = None,
        retry_jitter_factor: float | None = None,
    ) -> RetryPolicy:
        """The policy that these options of ``@task`` and ``@flow`` describe.

        Args:
            retries: how many attempts may follow the first.
            retry_delay_seconds: seconds (number or timedelta), a list of them, or a callable that makes the list from
                the number of retries, as :func:`exponential_backoff` does.
            retry_jitter_factor: 0 or more, see :meth:`delay_before`.

        Raises:
            TypeError, ValueError: as for the class; also when the callable returns no list.

        >>> RetryPolicy.from_options(3, exponential_backoff(10)).delays
        (10.0, 20.0, 40.0)
        """
        retries = _checked_retries(retries)
        return cls(retries, _listed(retry_delay_seconds, retries), retry_jitter_factor)

    def allows(self, retries_so_far: int) -> bool:
        """Whether one more attempt may follow after ``retries_so_far`` retries."""
        return retries_so_far < self.retries

    def delay_before(self, attempt_index: int, random: _random.Random | None = None) -> float:
        """Seconds to wait before retry number ``attempt_index`` (0 is the first retry).

        Without jitter: ``delays[min(attempt_index, len(delays) - 1)]``. With a jitter factor ``j``, a random time in
        its place: the delay ``d`` is drawn from the exponential distribution with mean ``d``, as gaps between
        independent events are, cut off at ``(1 + j) * d`` above and at ``-log2(1 - 2 ** -(1 + j)) * d`` below. The
        two cuts keep the average near ``d``; ``j = 1`` gives 0.42 d to 2 d.

        Args:
            attempt_index: how many retries there have been already.
            random: where chance comes from; the process's own generator unless given.

        >>> RetryPolicy(1, (10,), jitter_factor=0.5).delay_before(0, _random.Random(1)) < 15
        True
        """
        if not self.delays or _skipping:
            return 0.0
        delay = self.delays[min(attempt_index, len(self.delays) - 1)]
        return _spread(delay, self.jitter_factor, random or _shared) if self.jitter_factor else delay


_skipping = 0


@contextmanager
def without_delays() -> Iterator[None]:
    """Inside the block, in the whole process, retries follow at once: tests have no time to wait.

    >>> with without_delays():
    ...     RetryPolicy(1, (60,)).delay_before(0)
    0.0
    """
    global _skipping
    _skipping += 1
    try:
        yield
    finally:
        _skipping -= 1


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double with each retry: ``backoff_factor`` seconds, twice that, four times that, ...

    Give the result to ``@task(retry_delay_seconds=...)``. At most 50 delays are made; later retries repeat the last.

    Raises:
        TypeError: ``backoff_factor`` is not a number.
        ValueError: it is negative or not finite.

    >>> exponential_backoff(0.5)(4)
    [0.5, 1.0, 2.0, 4.0]

    Follows Prefect 3 (``prefect.tasks.exponential_backoff``).
    """
    factor = _seconds("backoff_factor", backoff_factor)
    return _Doubling(factor)


@dataclass(frozen=True, slots=True)
class _Doubling:
    """A class, not a closure, so that a task which carries it can be pickled."""

    factor: float

    def __call__(self, retries: int) -> list[float]:
        return [self.factor * 2**n for n in range(min(retries, MAX_DELAYS))]


_shared: Final = _random.Random()


def _spread(delay: float, jitter: float, random: _random.Random) -> float:
    highest = 1 + jitter
    lowest = -math.log2(1 - 2**-highest)
    return -delay * math.log(random.uniform(math.exp(-highest), math.exp(-lowest)))


def _listed(option: Any, retries: int) -> tuple[float, ...]:
    """The option as a tuple of what may be delays; checked later."""
    if callable(option):
        made = option(retries)
        if not isinstance(made, Sequence) or isinstance(made, str | bytes):
            raise TypeError(f"retry_delay_seconds: the callable must return a list of seconds, it returned {made!r}")
        return tuple(made)
    if option is None:
        return ()
    if isinstance(option, Sequence) and not isinstance(option, str | bytes):
        return tuple(option)
    return (option,)


def _checked_retries(retries: Any) -> int:
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries must be a whole number, got {retries!r}")
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, got {retries}")
    return retries


def _checked_delays(delays: Any) -> tuple[float, ...]:
    if not isinstance(delays, Sequence) or isinstance(delays, str | bytes):
        raise TypeError(f"retry_delay_seconds must be seconds or a list of seconds, got {delays!r}")
    if len(delays) > MAX_DELAYS:
        raise ValueError(f"retry_delay_seconds may list at most {MAX_DELAYS} delays, got {len(delays)}")
    return tuple(_seconds("retry_delay_seconds", delay) for delay in delays)


def _checked_jitter(jitter: Any) -> float | None:
    return None if jitter is None else _seconds("retry_jitter_factor", jitter)


def _seconds(option: str, value: Any) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{option} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{option} must be finite and 0 or more, got {value!r}")
    return min(float(value), LONGEST_SECONDS)  # exponential_backoff goes beyond, after 30 retries that nobody sees
