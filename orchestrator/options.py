"""What a task can be told: one frozen value, checked when the task is decorated.

A new option is one field here, one line in ``checked`` and one keyword of ``@task``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final

from brokers.contract import PRIORITIES
from orchestrator.cache_policies import NO_CACHE, CacheKeyFnPolicy, CachePolicy
from orchestrator.retries import DelayOption, RetryPolicy

QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
Hook = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of one task; times in seconds. ``None`` means: what the settings say, or not at all."""

    name: str = ""
    description: str | None = None
    tags: frozenset[str] = frozenset()
    version: str | None = None
    cache_policy: CachePolicy | None = None
    cache_key_fn: Callable[..., str | None] | None = None
    cache_expiration: timedelta | None = None
    task_run_name: str | Callable[..., str] | None = None
    retries: int | None = None
    retry_delay_seconds: DelayOption = None
    retry_jitter_factor: float | None = None
    retry_condition_fn: Callable[..., Any] | None = None
    persist_result: bool | None = None
    result_serializer: str | None = None
    timeout_seconds: float | None = None
    log_prints: bool = False
    refresh_cache: bool = False
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_running: tuple[Hook, ...] = ()
    queue: str | None = None
    priority: str = "default"
    max_deliveries: int | None = None
    hard_timeout_seconds: float | None = None
    rate_limit: str | float | None = None
    concurrency: int | tuple[str, int] | None = None
    result_ttl: float | timedelta | None = None
    validate_parameters: bool = False
    retry_policy: RetryPolicy | None = field(init=False, default=None, compare=False)

    def __post_init__(self) -> None:
        checked(self)
        if self.retries is not None or self.retry_delay_seconds is not None:
            policy = RetryPolicy.from_options(self.retries or 0, self.retry_delay_seconds, self.retry_jitter_factor)
            object.__setattr__(self, "retry_policy", policy)

    def using(self, **changes: Any) -> TaskOptions:
        """These options with some changed."""
        return replace(self, **changes)

    @property
    def caching(self) -> CachePolicy | None:
        """The policy that applies, ``None`` for no caching: a key function wins over a policy."""
        if self.cache_key_fn is not None:
            return CacheKeyFnPolicy(self.cache_key_fn)
        return None if self.cache_policy is None or self.cache_policy == NO_CACHE else self.cache_policy


FIELDS: Final = frozenset(f.name for f in fields(TaskOptions) if f.init)
ON_SENDING: Final = frozenset(
    ("queue", "priority", "max_deliveries", "rate_limit", "concurrency", "tags", "description")
)
"""Options that only the sending side reads: a call does not carry them to its worker."""


def checked(options: TaskOptions) -> None:
    """Raise TypeError or ValueError, naming the option and the value, when an option is wrong."""
    _check_hooks(options)
    _check_times(options)
    check_queue(options.queue)
    check_priority(options.priority)
    rate_of(options.rate_limit)
    limit_of(options.concurrency, options.name)
    if options.cache_policy is not None and not isinstance(options.cache_policy, CachePolicy):
        raise TypeError(f"cache_policy={options.cache_policy!r}: a CachePolicy from orchestrator.cache_policies")
    for name in ("cache_key_fn", "retry_condition_fn"):
        value = getattr(options, name)
        if value is not None and not callable(value):
            raise TypeError(f"{name}={value!r} must be callable")
    if options.task_run_name is not None and not (
        isinstance(options.task_run_name, str) or callable(options.task_run_name)
    ):
        raise TypeError(f"task_run_name={options.task_run_name!r} must be a template or a callable")
    if options.max_deliveries is not None and (type(options.max_deliveries) is not int or options.max_deliveries < 1):
        raise ValueError(f"max_deliveries={options.max_deliveries!r} must be a whole number, 1 or more")


def _check_hooks(options: TaskOptions) -> None:
    for name in ("on_completion", "on_failure", "on_running"):
        hooks = getattr(options, name)
        if not isinstance(hooks, tuple) or not all(callable(hook) for hook in hooks):
            raise TypeError(f"{name}={hooks!r} must be a list of callables hook(task, task_run, state)")


def _check_times(options: TaskOptions) -> None:
    for name in ("timeout_seconds", "hard_timeout_seconds", "result_ttl", "cache_expiration"):
        value = getattr(options, name)
        if value is None:
            continue
        if isinstance(value, timedelta):
            value = value.total_seconds()
        elif isinstance(value, bool) or not isinstance(value, int | float) or name == "cache_expiration":
            kind = "a timedelta" if name == "cache_expiration" else "seconds (a number or a timedelta)"
            raise TypeError(f"{name}={value!r} must be {kind}")
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}={value!r} must be above zero")


def hooks_from(name: str, value: Any) -> tuple[Hook, ...]:
    """A tuple from what was given for a list of hooks."""
    if value is None:
        return ()
    if callable(value) or isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a list of callables; write {name}=[...]")
    return tuple(value)


def check_queue(queue: str | None) -> None:
    """Raise ValueError when this cannot be a queue's name."""
    if queue is not None and not (isinstance(queue, str) and QUEUE_NAME.fullmatch(queue)):
        raise ValueError(f"queue={queue!r}: 1 to 40 of the characters A-Z a-z 0-9 _ . -")


def check_priority(priority: str) -> None:
    """Raise ValueError when there is no such priority."""
    if priority not in PRIORITIES:
        raise ValueError(f"priority={priority!r}: one of {', '.join(PRIORITIES)}")


def rate_of(rate_limit: str | float | None) -> float | None:
    """Milliseconds between two calls: ``"10/s"``, ``"100/m"``, ``"1000/h"`` (Celery's form) or a number per second.

    >>> rate_of("10/s"), rate_of(2)
    (100.0, 500.0)
    """
    if rate_limit is None:
        return None
    if isinstance(rate_limit, str):
        match = _RATE.fullmatch(rate_limit.strip())
        if match is None or not float(match[1]):
            raise ValueError(f'rate_limit={rate_limit!r}: write it like "10/s", "100/m" or "1000/h"')
        return 1000 * _SECONDS[match[2]] / float(match[1])
    if isinstance(rate_limit, bool) or not isinstance(rate_limit, int | float) or rate_limit <= 0:
        raise ValueError(f"rate_limit={rate_limit!r} must be calls per second above zero, or a text like '100/m'")
    return 1000 / rate_limit


def limit_of(concurrency: int | tuple[str, int] | None, task: str) -> tuple[str, int] | None:
    """Name and size of a concurrency limit; a bare size is a limit of the task's own.

    >>> limit_of(3, "crawl"), limit_of(("database", 5), "crawl")
    (('crawl', 3), ('database', 5))
    """
    if concurrency is None:
        return None
    name, size = (task, concurrency) if isinstance(concurrency, int) else _pair(concurrency)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or not isinstance(name, str) or "|" in name:
        raise ValueError(f"concurrency={concurrency!r}: a size of 1 or more, or a pair (name, size)")
    return name, size


def _pair(value: Any) -> tuple[str, int]:
    try:
        name, size = value
    except (TypeError, ValueError):
        raise ValueError(f"concurrency={value!r}: a size of 1 or more, or a pair (name, size)") from None
    return name, size
