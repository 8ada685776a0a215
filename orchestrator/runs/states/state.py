"""The value that says where a run stands."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, NoReturn, TypeVar, overload
from uuid import UUID, uuid5

from orchestrator.errors import UnfinishedRun
from orchestrator.runs.awaiting import is_awaited_by_caller
from orchestrator.runs.states.details import StateDetails, as_json, as_text, uuid_or_none
from orchestrator.runs.states.exceptions import exception_of
from orchestrator.runs.states.predicates import StatePredicates
from orchestrator.runs.states.types import COMPLETED, NAMES, StateType
from orchestrator.runs.stored_result import StoredResult

R_co = TypeVar("R_co", covariant=True)

_now: Final = datetime.now
_STATE_IDS: Final = UUID("5d4f5d0e-8f0c-4c9c-9d0f-6a1f4d1b7f5e")


class State(StatePredicates, Generic[R_co]):
    """Where a run stands. A value: to change one, make another with :meth:`copy`.

    Fields:
        type: what kind of state it is.
        name: a finer word for it; the type's own word unless given. What is no text becomes text.
        message: one sentence for people, or ``None``. What is no text becomes text.
        timestamp: when the run came to this state (aware, UTC).
        data: what a Completed run returned, the exception of a Failed or Crashed one, else ``None``. Of a result that
            is kept in a storage, read from a record: where it is, and :meth:`result` reads it.
        task_run_id, flow_run_id: whose state this is, when known.
        run_count: how often the run has been started so far.
        scheduled_time: when a Scheduled run is to start (aware), or ``None``.

    >>> state = Completed(data=42)
    >>> state, state.is_final(), state.result()
    (Completed(), True, 42)
    >>> Failed(message="no more tea")
    Failed('no more tea')

    The meaning follows Prefect 3 (``prefect.client.schemas.objects.State``); being immutable is ours.
    """

    __slots__ = (
        "data",
        "flow_run_id",
        "message",
        "name",
        "run_count",
        "scheduled_time",
        "task_run_id",
        "timestamp",
        "type",
    )

    type: StateType
    name: str
    message: str | None
    timestamp: datetime
    data: Any
    task_run_id: str | None
    flow_run_id: str | None
    run_count: int
    scheduled_time: datetime | None

    def __init__(
        self,
        type: StateType,
        name: str | None = None,
        message: str | None = None,
        timestamp: datetime | None = None,
        data: Any = None,
        task_run_id: str | None = None,
        flow_run_id: str | None = None,
        run_count: int = 0,
        scheduled_time: datetime | None = None,
    ) -> None:
        if type.__class__ is not StateType:
            type = StateType(type)
        _set_type(self, type)
        _set_name(self, NAMES[type] if not name else name if name.__class__ is str else as_text(name))
        _set_message(self, message if message is None or message.__class__ is str else as_text(message))
        _set_timestamp(self, timestamp or _now(UTC))
        _set_data(self, data)
        _set_task_run_id(self, task_run_id)
        _set_flow_run_id(self, flow_run_id)
        _set_run_count(self, run_count)
        _set_scheduled_time(self, scheduled_time)

    def __setattr__(self, field: str, value: object) -> NoReturn:
        raise AttributeError(f"a State does not change: use state.copy({field}=...) to make another one")

    def __delattr__(self, field: str) -> NoReturn:
        raise AttributeError(f"a State does not change: {field!r} cannot be deleted")

    @overload
    def result(self, raise_on_failure: Literal[True] = True) -> R_co: ...

    @overload
    def result(self, raise_on_failure: bool) -> R_co | BaseException: ...

    def result(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """What the run returned.

        With ``raise_on_failure=False`` the error of a run that did not complete is returned instead of raised.

        Raises:
            BaseException: the exception that a Failed run ended with, as its own type.
            RunFailed: it ended Failed without one; carries the message.
            RunCancelled, RunCrashed: it ended so. A Crashed run's exception, if any, is the ``__cause__``.
            UpstreamTaskError: it will never run because another one did not complete.
            UnfinishedRun: it has not ended. Raised whatever ``raise_on_failure`` is.
            MissingResult, ResultStorageError: it was kept in a storage, and cannot be read there any more, or now.

        >>> Completed(data=[1, 2]).result()
        [1, 2]
        >>> Failed(data=ValueError("no")).result(raise_on_failure=False)
        ValueError('no')

        Follows Prefect 3 (``State.result``), except that a Completed run that returned ``None`` gives ``None``. In
        async code ``await state.result()`` gives the same as ``state.result()``.
        """
        if is_awaited_by_caller():
            return self.aresult(raise_on_failure)  # type: ignore[return-value]
        return self.outcome(raise_on_failure)

    def outcome(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """:meth:`result` for code that never awaits it; a little quicker (ours)."""
        if self.type is COMPLETED:
            return self.data.load() if type(self.data) is StoredResult else self.data  # type: ignore[no-any-return]
        error = self.error()
        if error is None:
            raise UnfinishedRun(f"the run is {self.name}: it has no result yet")
        if raise_on_failure:
            raise error
        return error

    async def aresult(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """:meth:`result` for those who write ``await``; it never blocks."""
        if type(self.data) is StoredResult:
            return await asyncio.to_thread(self.outcome, raise_on_failure)
        return self.outcome(raise_on_failure)

    def error(self) -> BaseException | None:
        """The exception that says why the run did not complete; ``None`` if it did, or has not ended (ours).

        >>> Cancelled(message="not needed any more").error()
        RunCancelled('not needed any more')
        """
        return exception_of(self)

    def copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False, **changes: Any) -> State[R_co]:
        """Another state with some fields changed; a new ``type`` brings its own name unless one is given.

        With ``update`` or ``deep``, which pydantic's ``copy`` has, it is :meth:`model_copy`.

        >>> Failed(message="x", run_count=2).copy(message="y")
        Failed('y')

        Raises:
            TypeError: a field of that name does not exist.
        """
        if update is not None or deep:
            return self.model_copy(update={**(update or {}), **changes}, deep=deep)
        fields = {field: getattr(self, field) for field in State.__slots__}
        if "type" in changes:
            fields["name"] = None
        return self.__class__(**(fields | changes))

    @property
    def id(self) -> UUID:
        """A number of this state: the same wherever the state is read, another one for any other state."""
        parts = (self.task_run_id, self.flow_run_id, self.type.value, self.name, self.timestamp.isoformat())
        return uuid5(_STATE_IDS, "\0".join(map(repr, (*parts, self.run_count, self.message))))

    @property
    def state_details(self) -> StateDetails:
        """What else is known of it, under Prefect's names."""
        return StateDetails(
            flow_run_id=uuid_or_none(self.flow_run_id),
            task_run_id=uuid_or_none(self.task_run_id),
            scheduled_time=self.scheduled_time,
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> State[R_co]:
        """:meth:`copy` under pydantic's name. ``deep``: the data is copied as well.

        >>> Failed(message="x").model_copy(update={"message": "y"})
        Failed('y')

        Raises:
            TypeError: a field of that name does not exist.
        """
        fields = dict(update or {})
        if deep and "data" not in fields:
            fields["data"] = copy.deepcopy(self.data)
        if "type" not in fields:
            return self.copy(**fields)
        return self.copy(**({"name": self.name} | fields))

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False) -> dict[str, Any]:
        """The state as a dict, with Prefect's keys. In the mode "json" ids, moments and the type are text.

        >>> Completed(data=1).model_dump()["name"]
        'Completed'
        """
        dumped: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "name": self.name,
            "timestamp": self.timestamp,
            "message": self.message,
            "state_details": dataclasses.asdict(self.state_details),
            "data": self.data,
        }
        if mode == "json":
            dumped = as_json(dumped)
        if exclude_none:
            dumped = {key: value for key, value in dumped.items() if value is not None}
        return dumped

    def __repr__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self is other or self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.type, self.name, self.timestamp, self.task_run_id, self.flow_run_id))

    def _fields(self) -> tuple[Any, ...]:
        return (
            self.type,
            self.name,
            self.message,
            self.timestamp,
            self.data,
            self.task_run_id,
            self.flow_run_id,
            self.run_count,
            self.scheduled_time,
        )

    def __reduce__(self) -> tuple[Callable[..., State[Any]], tuple[Any, ...]]:
        return self.__class__, self._fields()


# The slots' own setters, because a State refuses `state.x = ...`: twice as fast as object.__setattr__.
_set_type = State.__dict__["type"].__set__
_set_name = State.__dict__["name"].__set__
_set_message = State.__dict__["message"].__set__
_set_timestamp = State.__dict__["timestamp"].__set__
_set_data = State.__dict__["data"].__set__
_set_task_run_id = State.__dict__["task_run_id"].__set__
_set_flow_run_id = State.__dict__["flow_run_id"].__set__
_set_run_count = State.__dict__["run_count"].__set__
_set_scheduled_time = State.__dict__["scheduled_time"].__set__
