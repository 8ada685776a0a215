"""What makes two calls the same call: policies that compute a cache key, or ``None`` for "do not cache".

>>> policy = INPUTS - "verbose" + TASK_SOURCE
>>> policy.compute_key(None, {}, {}) is None
True

``A + B`` combines, ``INPUTS - "name"`` leaves an argument out, ``DEFAULT`` is ``INPUTS + TASK_SOURCE + RUN_ID``, and
``NO_CACHE`` (``NONE``) never makes a key. Names and meaning follow Prefect 3 (``prefect.cache_policies``) but for two
things: ours writes values down canonically before hashing (see :mod:`orchestrator.caching.hashing`), and the key of
``INPUTS`` covers the task too, so that two tasks with equal arguments do not get each other's results.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Self, TypeAlias

from orchestrator.caching.hashing import name_of_unhashable, stable_hash
from orchestrator.caching.source import code_of, plain_values_around, source_of
from orchestrator.errors import CacheKeyError

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CompoundCachePolicy",
    "FlowParameters",
    "Inputs",
    "NoCache",
    "RunId",
    "TaskSource",
    "stable_hash",
    "task_input_hash",
]

Isolation: TypeAlias = Literal["serializable", "read_committed"]
ISOLATIONS: Final = ("serializable", "read_committed")


class CachePolicy(ABC):
    """Computes the key under which a call's result is found again. Subclass it and write :meth:`compute_key`.

    ``isolation`` says what happens to a call whose key is being computed by another call right now:
    ``"serializable"`` waits for that one and takes its result, ``"read_committed"`` (also ``None``) runs as well.
    ``lock`` is kept for scripts that pass a lock manager; the lock that is used is the store's, which the whole
    fleet shares.

    >>> class PerCustomer(CachePolicy):
    ...     def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
    ...         return stable_hash(inputs["customer"])
    >>> (PerCustomer() + NO_CACHE).compute_key(None, {"customer": 7}, {}) == stable_hash(7)
    True
    """

    isolation: Isolation | None = None
    lock: Any = None

    @abstractmethod
    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key, or ``None`` for a call that is not to be cached.

        Args:
            task_ctx: the running call: ``.task`` (with ``.fn`` and ``.task_key``), ``.run_id``, ``.flow_run_id``,
                ``.parent_task_run_id``, ``.parameters``, ``.task_run`` (as hooks get it).
            inputs: the call's arguments by parameter name.
            flow_parameters: the flow's arguments by parameter name; empty outside a flow.

        Raises:
            CacheKeyError: an argument has no stable content.
        """

    @staticmethod
    def from_cache_key_fn(cache_key_fn: CacheKeyFn) -> CacheKeyFnPolicy:
        """The policy that asks ``cache_key_fn(context, parameters)``."""
        return CacheKeyFnPolicy(cache_key_fn)

    def configure(
        self,
        *,
        isolation: str | None = None,
        lock: Any = None,
        isolation_level: Any = None,
        lock_manager: Any = None,
        key_storage: Any = None,
    ) -> Self:
        """The same policy with another isolation or lock. ``isolation_level`` and ``lock_manager`` are Prefect's names.

        Raises:
            ValueError: the isolation is neither "serializable" nor "read_committed" (in any case), or a
                ``key_storage`` is given: keys live in the store that the fleet shares.

        >>> INPUTS.configure(isolation="serializable").isolation
        'serializable'
        """
        if key_storage is not None:
            raise ValueError("key_storage cannot be chosen: cache keys live in the store that all workers share")
        changed = copy.copy(self)
        wanted = isolation if isolation is not None else isolation_level
        locked = lock if lock is not None else lock_manager
        if wanted is not None:
            object.__setattr__(changed, "isolation", _checked_isolation(wanted))
        if locked is not None:
            object.__setattr__(changed, "lock", locked)
        return changed

    def __add__(self, other: CachePolicy) -> CachePolicy:
        """Both together: the key changes when either's does.

        Raises:
            ValueError: the two are configured with different isolations or locks.
        """
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if isinstance(self, NoCache):
            return other
        if isinstance(other, NoCache):
            return self
        settings = {"isolation": _agreed(self, other, "isolation"), "lock": _agreed(self, other, "lock")}
        return CompoundCachePolicy([self, other]).configure(**settings)

    def __sub__(self, name: str) -> CachePolicy:
        """Without the argument of this name; the policy itself where arguments play no part."""
        _check_name(name)
        return self

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({given})"


class NoCache(CachePolicy):
    """Never a key: the call is always made."""

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> None:
        return None


class Inputs(CachePolicy):
    """Calls of one task are the same when their arguments have the same content; ``exclude`` names those left out."""

    def __init__(self, exclude: Iterable[str] = ()) -> None:
        self.exclude = tuple(sorted(set(exclude)))

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        if not inputs:
            return None
        task_key = getattr(getattr(task_ctx, "task", None), "task_key", None)
        kept = {name: value for name, value in inputs.items() if name not in self.exclude}
        try:
            return stable_hash("inputs", task_key, kept)
        except CacheKeyError as error:
            name = name_of_unhashable(kept)
            raise CacheKeyError(
                f"no cache key can be computed from argument {name!r}: {error}. Leave it out with "
                f'cache_policy=INPUTS - "{name}", give a cache_key_fn, or use NO_CACHE'
            ) from error

    def __sub__(self, name: str) -> Inputs:
        _check_name(name)
        changed = copy.copy(self)
        changed.exclude = tuple(sorted({*self.exclude, name}))
        return changed


class TaskSource(CachePolicy):
    """Calls are the same while the task's own source text is the same (not that of functions it calls).

    The plain values (numbers, text, ...) that the function takes from around it, from a closure or as global names,
    count too, as they are when the call is made; other values of a closure count as they were when the task was
    defined. What the function itself assigns, such as a counter, does not. Where there is no source file (an
    interactive session), the compiled code takes its place. Prefect looks at the text only.
    """

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        task = getattr(task_ctx, "task", None)
        if task is None:
            return None
        source = getattr(task, "source_code", None) or source_of(task.fn)
        if source is None:
            return None
        # A digest of its closure, see orchestrator.runnables.identity.
        held = getattr(task, "task_key", "").partition("#")[2]
        around = plain_values_around(task.fn)
        return stable_hash("source", source, held, around) if held or around else stable_hash("source", source)


class FlowParameters(CachePolicy):
    """Calls are the same when they are made in flow runs with the same parameters."""

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        return stable_hash("flow parameters", flow_parameters) if flow_parameters else None


class RunId(CachePolicy):
    """Calls are the same only within one run: the flow run, else the task run that made the call, else the call."""

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        if task_ctx is None:
            return None
        run_id = task_ctx.flow_run_id or getattr(task_ctx, "parent_task_run_id", None) or task_ctx.run_id
        return str(run_id)


CacheKeyFn: TypeAlias = Callable[[Any, dict[str, Any]], str | None]


class CacheKeyFnPolicy(CachePolicy):
    """The key is what ``cache_key_fn(context, parameters)`` says: a text, or ``None`` for no caching.

    Raises:
        TypeError: it is not callable, or (when a key is computed) it returns something else.
    """

    def __init__(self, cache_key_fn: CacheKeyFn) -> None:
        if not callable(cache_key_fn):
            raise TypeError(f"cache_key_fn must be callable, got {cache_key_fn!r}")
        self.cache_key_fn = cache_key_fn

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        key: object = self.cache_key_fn(task_ctx, inputs)
        if key is not None and not isinstance(key, str):
            raise TypeError(f"cache_key_fn must return a text or None, it returned {key!r}")
        return key


class CompoundCachePolicy(CachePolicy):
    """Several policies together, in any order. Those that make no key are passed over; if none does, there is none.

    Nested compounds are flattened, and several :class:`Inputs` are joined to one that leaves out what any leaves out.
    """

    def __init__(self, policies: Iterable[CachePolicy]) -> None:
        flat = [part for policy in policies for part in (getattr(policy, "policies", None) or [policy])]
        inputs = [part for part in flat if isinstance(part, Inputs)]
        joined = [Inputs(name for part in inputs for name in part.exclude)] if inputs else []
        self.policies: tuple[CachePolicy, ...] = (*joined, *(part for part in flat if not isinstance(part, Inputs)))

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        keys = [
            (type(policy).__qualname__, key)
            for policy in self.policies
            if (key := policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs)) is not None
        ]
        return stable_hash(*sorted(keys)) if keys else None

    def __sub__(self, name: str) -> CompoundCachePolicy:
        _check_name(name)
        changed = copy.copy(self)
        changed.policies = tuple(part - name if isinstance(part, Inputs) else part for part in self.policies)
        return changed


def task_input_hash(context: Any, arguments: dict[str, Any]) -> str | None:
    """A ``cache_key_fn``: the task, its compiled code and all its arguments; ``None`` if one has no stable content.

    Args:
        context: the running call, as in :meth:`CachePolicy.compute_key`.
        arguments: by parameter name.

    Follows Prefect 3 (``prefect.tasks.task_input_hash``).
    """
    try:
        return stable_hash(context.task.task_key, code_of(context.task.fn), arguments)
    except CacheKeyError:
        return None


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"only the name of an argument can be subtracted from a cache policy, got {name!r}")


def _checked_isolation(value: Any) -> Isolation:
    text = str(getattr(value, "name", value)).lower()
    if text == "serializable":
        return "serializable"
    if text == "read_committed":
        return "read_committed"
    raise ValueError(f"isolation must be one of {', '.join(map(repr, ISOLATIONS))}, got {value!r}")


def _agreed(one: CachePolicy, other: CachePolicy, setting: str) -> Any:
    first, second = getattr(one, setting), getattr(other, setting)
    if first is not None and second is not None and first != second:
        raise ValueError(f"the two cache policies have different values of {setting}: {first!r} and {second!r}")
    return first if first is not None else second


INPUTS: Final = Inputs()
TASK_SOURCE: Final = TaskSource()
FLOW_PARAMETERS: Final = FlowParameters()
RUN_ID: Final = RunId()
NO_CACHE: Final = NoCache()
NONE: Final = NO_CACHE
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
