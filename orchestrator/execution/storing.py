"""The steps of a run that look for its result in a storage, and keep it there; of tasks and of flows.

The file is written before the outcome is: a process that is killed in between leaves a file that no record names.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from orchestrator import serializers
from orchestrator.errors import BrokerError, PayloadTooLarge
from orchestrator.execution import runtime_values
from orchestrator.execution.drivers import drive
from orchestrator.execution.step import Driven, Step, goes_through
from orchestrator.execution.verdicts import state_of_error
from orchestrator.result_storage.choice import (
    Around,
    Keeping,
    around,
    default_place,
    default_serializer,
    default_storage,
    keeping_of,
)
from orchestrator.runnables.binding import Signature
from orchestrator.runnables.options import RunnableOptions
from orchestrator.runs.stored_result import StoredResult
from orchestrator.states import Completed, State

log = logging.getLogger("orchestrator.results")
_NEVER_LARGE: Final = frozenset((bool, int, float, type(None)))


class Stored(Driven, Protocol):
    """A run whose result may be kept in a storage."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of the call."""


class Plan(NamedTuple):
    """What becomes of the result."""

    keeping: Keeping
    key: str | None  # of the template; None: a name of its own


class Storing:
    """How the result of one run is kept.

    Args:
        task: the task or flow; another one's file of the same name is not taken for its own.
        options: its options.
        outer: what the flow around it says.
        above: results of more bytes go to the setting's storage, whatever the options say; ``None``: none do.

    Attributes:
        stored: the reference to the result of the attempt that completed, if it is in a storage.
    """

    __slots__ = ("_above", "_name", "_options", "_outer", "_plan", "_signature", "stored")

    def __init__(self, task: Any, options: RunnableOptions, outer: Around | None, above: int | None) -> None:
        self._name = getattr(task, "task_key", "") or task.name
        self._signature: Signature = task.signature
        self._options, self._outer, self._above = options, outer, above
        self._plan: Plan | None = None
        self.stored: StoredResult | None = None

    def of(self, task: Any) -> Storing:
        """The same for the flow that a run turns out to be one of."""
        return Storing(task, task.options, self._outer, self._above)

    def begin_steps(self, run: Stored) -> Generator[Step, Any, State[Any] | None]:
        """Before anything of the user is called: whether the storage can be used, and whether the result is there.

        Returns:
            how the run ends without being called, or ``None``.
        """
        self.stored = None
        if self._outer is None and not self._options.keeps_in_storage:
            return None
        try:
            self._plan = yield Step(self._made_plan, (run,), None, True)
            if self._plan is None or self._plan.key is None or not self._finds_by_key():
                return None
            return (yield from self._look_up_steps(self._plan.keeping, self._plan.key))
        except BrokerError:
            raise  # a worker hands the call back
        except BaseException as error:
            if goes_through(error, run):
                raise
            return state_of_error(error)

    def _made_plan(self, run: Stored) -> Plan | None:
        from orchestrator.result_storage.keys import rendered, without_secrets
        from orchestrator.result_storage.places import check_place

        keeping = keeping_of(self._options, self._outer)
        if keeping is None:
            return None
        check_place(keeping.place)
        template = self._options.result_storage_key
        if template is None:
            return Plan(keeping, None)
        values = {
            "parameters": without_secrets(run.parameters, self._signature.secret_names),
            "flow_run": runtime_values.flow_run,
            "task_run": runtime_values.task_run,
            "deployment": runtime_values.deployment,
        }
        return Plan(keeping, rendered(template, values))

    def _finds_by_key(self) -> bool:
        """Whether a file of that name is the result: for tasks, unless a cache policy says what is."""
        options: Any = self._options
        if not hasattr(options, "cache_policy") or options.refreshes:
            return False
        return options.cache_policy is None and options.cache_key_fn is None

    def _look_up_steps(self, keeping: Keeping, key: str) -> Generator[Step, Any, State[Any] | None]:
        from orchestrator.result_storage.files import find_result

        found = yield Step(find_result, (keeping.place, key, keeping.in_memory), None, True)
        if found is None:
            return None
        stored, head, value = found
        if head.is_expired() or head.task != self._name:
            return None
        self.stored = stored
        data = value if keeping.in_memory else stored
        return Completed(name="Cached", message=f"found at {stored.where}", data=data)

    def keep_steps(self, run: Stored, state: State[Any]) -> Generator[Step, Any, State[Any]]:
        """The function has completed: its result is written, if it belongs into a storage. How the run ends then."""
        if self._plan is None and self._above is None:
            return state
        try:
            self.stored = yield Step(self._written, (run.run_id, state.data), None, True)
        except BaseException as error:
            if goes_through(error, run):
                raise
            return state_of_error(error)
        if self.stored is not None and not self._options.cache_result_in_memory:
            return state.copy(data=self.stored)
        return state

    def _written(self, run_id: str, value: Any) -> StoredResult | None:
        from orchestrator.result_storage.files import write_result
        from orchestrator.result_storage.keys import new_key

        if self._plan is not None:
            keeping, key = self._plan
        elif self._above is not None and _is_larger(value, self._above, self._options.result_serializer):
            place = default_place()
            if not place:
                return None
            serializer = self._options.result_serializer or default_serializer()
            keeping, key = Keeping(place, serializer, self._options.cache_result_in_memory), None
        else:
            return None
        return write_result(
            keeping.place,
            key or new_key(run_id),
            value,
            run_id=run_id,
            task=self._name,
            serializer=keeping.serializer,
            expires=self._expires() if key is not None else None,
            in_memory=keeping.in_memory,
        )

    def _expires(self) -> datetime | None:
        expiration = getattr(self._options, "cache_expiration", None)
        return datetime.now(UTC) + expiration if isinstance(expiration, timedelta) else None


def _is_larger(value: Any, limit: int, serializer: str | None) -> bool:
    """Whether a record would not take it."""
    if type(value) in _NEVER_LARGE or (isinstance(value, str | bytes) and len(value) * 4 < limit):
        return False
    limits = serializers.PayloadLimits(compress_above_bytes=1 << 40, max_bytes=limit)
    try:
        serializers.pack_value(value, context=tuple, limits=limits, serializer=serializer or "msgpack", enclosed=True)
    except PayloadTooLarge:
        return True
    except Exception:  # of which its ack will say
        return False
    return False


def storing_for(task: Any, options: RunnableOptions, outer: Around | None, above: int | None = None) -> Storing | None:
    """How a run's result is kept in a storage; ``None``: whatever it is, in its record.

    Args:
        task: the task or flow.
        options: its options.
        outer: what is around the call.
        above: see :class:`Storing`.
    """
    if outer is None and above is None and not options.keeps_in_storage:
        return None
    return Storing(task, options, outer, above)


def state_of_large(attempt: Any, value: Any, above: int) -> State[Any]:
    """How an attempt ends whose value is too large for a record, where no steps were made for it; in this thread."""
    attempt.storing = storing = Storing(attempt.task, attempt.options, None, above)
    return drive(storing.keep_steps(attempt, Completed(data=value)), attempt)


def storing_of_flow(flow: Any, parent: Any) -> Storing | None:
    """The same for a run of a flow in the process that called it; ``parent``: the flow run around it."""
    return storing_for(flow, flow.options, around(parent) or outer_by_setting())


def outer_by_setting() -> Around | None:
    """What the settings say for all runs: persisted, into their storage."""
    from orchestrator.settings import current

    settings = current()
    return Around(default_storage()) if settings.persist_result and settings.default_result_storage else None
