"""The options of a task: one frozen value, checked when the task is decorated. A flow's: ``flow_options.py``.

A new option is one field here, one line in ``checked`` and one keyword of ``@task``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, ClassVar, Final, Self

from brokers.messages import PRIORITIES
from brokers.spans import LONGEST_SECONDS
from orchestrator.cache_policies import NO_CACHE, CacheKeyFnPolicy, CachePolicy
from orchestrator.runnables.result_options import check_result_options, serializer_named
from orchestrator.runnables.retries import DelayOption, RetryPolicy

QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
Hook = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class RunnableOptions:
    """The options that tasks and flows have in common; times in seconds.

    ``None`` means: what the settings say, or not at all.
    """

    name: str = ""
    description: str | None = None
    tags: frozenset[str] = frozenset()
    version: str | None = None
    retries: int | None = None
    retry_delay_seconds: DelayOption = None
    timeout_seconds: float | None = None
    persist_result: bool | None = None
    # a file system, "slug/name" of one, or a folder; None: that of the flow around it
    result_storage: Any = field(default=None, hash=False)
    result_storage_key: str | None = None  # a template
    result_serializer: str | None = None
    cache_result_in_memory: bool = True
    log_prints: bool | None = None  # None: as the flow or task around the call
    validate_parameters: bool = False
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_running: tuple[Hook, ...] = ()
    retry_policy: RetryPolicy | None = field(init=False, default=None, compare=False)

    HOOKS: ClassVar[tuple[str, ...]] = ("on_completion", "on_failure", "on_running")
    IGNORED: ClassVar[frozenset[str]] = frozenset()

    @property
    def keeps_in_storage(self) -> bool:
        """Whether results go to a storage, if there is one: they are persisted, or where they go is an option.

        >>> RunnableOptions(result_storage="./results").keeps_in_storage, RunnableOptions().keeps_in_storage
        (True, False)
        """
        if self.persist_result is not None:
            return self.persist_result
        return self.result_storage is not None or self.result_storage_key is not None

    def using(self, **changes: Any) -> Self:
        """These options with some changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class TaskOptions(RunnableOptions):
    """The options of one task, beside those it shares with flows."""

    cache_policy: CachePolicy | None = None
    cache_key_fn: Callable[..., str | None] | None = None
    cache_expiration: timedelta | None = None
    task_run_name: str | Callable[..., str] | None = None
    retry_jitter_factor: float | None = None
    retry_condition_fn: Callable[..., Any] | None = None
    refresh_cache: bool | None = None  # None: as the setting says
    queue: str | None = None
    priority: str = "default"
    max_deliveries: int | None = None
    hard_timeout_seconds: float | None = None
    rate_limit: str | float | None = None
    concurrency: int | tuple[str, int] | None = None
    result_ttl: float | timedelta | None = None
    on_commit: tuple[Hook, ...] = ()
    on_rollback: tuple[Hook, ...] = ()
    viz_return_value: Any = field(default=None, hash=False)  # stands for the result where a flow is drawn

    HOOKS: ClassVar[tuple[str, ...]] = (*RunnableOptions.HOOKS, "on_commit", "on_rollback")

    # Options of Prefect that have no meaning here; scripts that give them go on working.
    IGNORED: ClassVar[frozenset[str]] = frozenset(("asset_deps",))

    def __post_init__(self) -> None:
        if self.timeout_seconds == 0 and not isinstance(self.timeout_seconds, bool):  # as in Prefect
            object.__setattr__(self, "timeout_seconds", None)
        checked(self)
        if self.retries is not None or self.retry_delay_seconds is not None:
            policy = RetryPolicy.from_options(self.retries or 0, self.retry_delay_seconds, self.retry_jitter_factor)
            object.__setattr__(self, "retry_policy", policy)
        elif self.retry_jitter_factor is not None:
            RetryPolicy(jitter_factor=self.retry_jitter_factor)  # raises where it is wrong

    @property
    def refreshes(self) -> bool:
        """Whether it is run though its result may be cached."""
        if self.refresh_cache is not None:
            return self.refresh_cache
        from orchestrator.settings import current

        return current().refresh_cache

    @property
    def caching(self) -> CachePolicy | None:
        """The policy that applies, ``None`` for no caching: a key function wins over a policy."""
        if self.cache_key_fn is not None:
            return CacheKeyFnPolicy(self.cache_key_fn)
        return None if self.cache_policy is None or self.cache_policy == NO_CACHE else self.cache_policy


def names_of(options_type: type[RunnableOptions]) -> frozenset[str]:
    """The names of the options that can be given."""
    return frozenset(f.name for f in fields(options_type) if f.init)


def checked_names(noun: str, options_type: type[RunnableOptions], options: Mapping[str, Any]) -> dict[str, Any]:
    """What was given for options, made ready. Raises TypeError for a name that is none."""
    known = names_of(options_type)
    for name in options:
        if name not in known and name not in options_type.IGNORED:
            raise TypeError(f"a {noun} has no option {name!r}; it has: {', '.join(sorted(known))}")
    changed = {name: value for name, value in options.items() if name in known}
    if (serializer := changed.get("result_serializer")) is not None:
        changed["result_serializer"] = serializer_named(serializer)
    for name in options_type.HOOKS:
        if name in changed:
            changed[name] = hooks_from(name, changed[name])
    for name in ("name", "description", "version"):
        if not isinstance(changed.get(name, ""), str | None):
            raise TypeError(f"{name}={changed[name]!r} must be a text")
    if "tags" in changed:
        changed["tags"] = tags_from(changed["tags"])
    return changed


def tags_from(value: str | Iterable[str] | None) -> frozenset[str]:
    """A set of tags from what was given for one; a text is one tag, not one for each letter.

    >>> sorted(tags_from(["etl", "nightly"])), sorted(tags_from("etl"))
    (['etl', 'nightly'], ['etl'])
    """
    found = frozenset([value] if isinstance(value, str) else value or ())
    if not all(isinstance(tag, str) for tag in found):
        raise TypeError(f"tags={value!r} must be a list of texts")
    return found


def check_run_name(option: str, value: Any) -> None:
    """Raise TypeError when nothing can make a run's name."""
    if value is not None and not isinstance(value, str) and not callable(value):
        raise TypeError(f"{option}={value!r} must be a template or a callable")


ON_SENDING: Final = frozenset(
    ("queue", "priority", "max_deliveries", "rate_limit", "concurrency", "tags", "description", "viz_return_value")
)
"""Options that only the sending side reads: a call does not carry them to its worker."""


def checked(options: TaskOptions) -> None:
    """Raise TypeError or ValueError, naming the option and the value, when an option is wrong."""
    _check_hooks(options)
    _check_times(options)
    check_result_options(options)
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
    check_run_name("task_run_name", options.task_run_name)
    if options.max_deliveries is not None and (type(options.max_deliveries) is not int or options.max_deliveries < 1):
        raise ValueError(f"max_deliveries={options.max_deliveries!r} must be a whole number, 1 or more")


def _check_hooks(options: TaskOptions) -> None:
    for name in options.HOOKS:
        hooks = getattr(options, name)
        if not isinstance(hooks, tuple) or not all(callable(hook) for hook in hooks):
            given = "transaction" if name in ("on_commit", "on_rollback") else "task, task_run, state"
            raise TypeError(f"{name}={hooks!r} must be a list of callables hook({given})")


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
        if value > LONGEST_SECONDS and name != "cache_expiration":
            raise ValueError(f"{name}={value!r} must be 100 years at most ({LONGEST_SECONDS:.0f} seconds)")


def hooks_from(name: str, value: Any) -> tuple[Hook, ...]:
    """A tuple from what was given for a list of hooks."""
    if value is None:
        return ()
    if callable(value) or isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a list of callables; write {name}=[...]")
    if not isinstance(value, Iterable):
        raise TypeError(f"{name}={value!r} must be a list of callables")
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
        return _gap_ms(_SECONDS[match[2]] / float(match[1]), rate_limit)
    if isinstance(rate_limit, bool) or not isinstance(rate_limit, int | float) or rate_limit <= 0:
        raise ValueError(f"rate_limit={rate_limit!r} must be calls per second above zero, or a text like '100/m'")
    return _gap_ms(1 / rate_limit, rate_limit)


def _gap_ms(seconds: float, rate_limit: str | float) -> float:
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"rate_limit={rate_limit!r} lets less than one call begin in 100 years")
    return 1000 * seconds


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
