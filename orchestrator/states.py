"""Where a run stands, said as a value, and the moves between such values.

The nine types, and the moves that a run may make (the same table as :data:`ALLOWED_MOVES`)::

    SCHEDULED  -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    PENDING    -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    RUNNING    -> SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
    PAUSED     -> SCHEDULED PENDING RUNNING PAUSED CANCELLING FAILED CANCELLED CRASHED
    CANCELLING -> CANCELLING COMPLETED FAILED CANCELLED CRASHED
    COMPLETED  -> (end)
    FAILED     -> (end)
    CANCELLED  -> (end)
    CRASHED    -> (end)

Why the less obvious ones: RUNNING -> SCHEDULED is a retry that waits, RUNNING -> PENDING a call handed back by its
worker, PENDING -> COMPLETED a cache hit, PENDING -> FAILED a deadline that passed in the queue, and CANCELLING ->
COMPLETED a run that was done before it heard that it should stop. Names refine types: ``AwaitingRetry`` is SCHEDULED,
``NotReady`` PENDING, ``Retrying`` RUNNING, ``Cached`` COMPLETED, ``TimedOut`` FAILED, ``Expired`` CANCELLED.

Types, names and predicates follow Prefect 3 (``prefect.states`` and ``prefect.client.schemas.objects``);
``Expired`` is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import GeneratorType
from typing import Any, Final, Generic, Literal, NoReturn, TypeGuard, TypeVar, overload

from orchestrator.errors import MissingResult, RunCancelled, RunCrashed, RunFailed, UpstreamTaskError

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class StateType(StrEnum):
    """The kind of a state. Compares equal to its name: ``StateType.FAILED == "FAILED"``."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


SCHEDULED: Final = StateType.SCHEDULED
PENDING: Final = StateType.PENDING
RUNNING: Final = StateType.RUNNING
COMPLETED: Final = StateType.COMPLETED
FAILED: Final = StateType.FAILED
CANCELLED: Final = StateType.CANCELLED
CRASHED: Final = StateType.CRASHED
PAUSED: Final = StateType.PAUSED
CANCELLING: Final = StateType.CANCELLING

TERMINAL: Final = frozenset((COMPLETED, FAILED, CANCELLED, CRASHED))
"""The types in which a run has ended."""
TERMINAL_STATES: Final = TERMINAL  # the name Prefect uses

_ENDS: Final = frozenset((COMPLETED, FAILED, CANCELLED, CRASHED))
_OPEN: Final = frozenset((SCHEDULED, PENDING, RUNNING, PAUSED, CANCELLING))

ALLOWED_MOVES: Final[dict[StateType, frozenset[StateType]]] = {
    SCHEDULED: _OPEN | _ENDS,
    PENDING: _OPEN | _ENDS,
    RUNNING: _OPEN | _ENDS,
    PAUSED: (_OPEN | _ENDS) - {COMPLETED},
    CANCELLING: _ENDS | {CANCELLING},
    COMPLETED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
    CRASHED: frozenset(),
}
"""From each type, the types that may follow."""


def may_move(before: StateType | State[Any] | None, after: StateType | State[Any]) -> bool:
    """Whether a run in ``before`` may go to ``after``; ``None`` is a run that has no state yet and may go anywhere.

    >>> may_move(StateType.RUNNING, StateType.COMPLETED), may_move(StateType.COMPLETED, StateType.RUNNING)
    (True, False)
    """
    if before is None:
        return True
    return _type_of(after) in ALLOWED_MOVES[_type_of(before)]


def _type_of(value: StateType | State[Any]) -> StateType:
    return value.type if isinstance(value, State) else value


NAMES: Final = {kind: kind.value.capitalize() for kind in StateType}
_now: Final = datetime.now


class State(Generic[R_co]):
    """Where a run stands. A value: to change one, make another with :meth:`copy`.

    Fields:
        type: what kind of state it is.
        name: a finer word for it; the type's own word unless given.
        message: one sentence for people, or ``None``.
        timestamp: when the run came to this state (aware, UTC).
        data: what a Completed run returned, the exception of a Failed or Crashed one, else ``None``.
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
        _set_name(self, name or NAMES[type])
        _set_message(self, message)
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

    def is_scheduled(self) -> bool:
        return self.type is SCHEDULED

    def is_pending(self) -> bool:
        return self.type is PENDING

    def is_running(self) -> bool:
        return self.type is RUNNING

    def is_completed(self) -> bool:
        return self.type is COMPLETED

    def is_failed(self) -> bool:
        return self.type is FAILED

    def is_crashed(self) -> bool:
        return self.type is CRASHED

    def is_cancelled(self) -> bool:
        return self.type is CANCELLED

    def is_cancelling(self) -> bool:
        return self.type is CANCELLING

    def is_paused(self) -> bool:
        return self.type is PAUSED

    def is_final(self) -> bool:
        """Whether the run has ended: Completed, Failed, Cancelled or Crashed."""
        return self.type in TERMINAL

    def is_settled(self) -> bool:
        """Whether nothing more will happen to the run: it has ended, or is NotReady and will never start (ours)."""
        return self.type in TERMINAL or self.is_not_ready()

    def is_not_ready(self) -> bool:
        """Whether the run will never start because an upstream did not complete (ours)."""
        return self.type is PENDING and self.name == "NotReady"

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
            MissingResult: it has not ended. Raised whatever ``raise_on_failure`` is.

        >>> Completed(data=[1, 2]).result()
        [1, 2]
        >>> Failed(data=ValueError("no")).result(raise_on_failure=False)
        ValueError('no')

        Follows Prefect 3 (``State.result``), except that a Completed run that returned ``None`` gives ``None``.
        """
        if self.type is COMPLETED:
            return self.data  # type: ignore[no-any-return]
        error = self.error()
        if error is None:
            raise MissingResult(f"the run is {self.name}: it has no result yet")
        if raise_on_failure:
            raise error
        return error

    async def aresult(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """:meth:`result` for those who write ``await``; it never blocks."""
        return self.result(raise_on_failure)

    def error(self) -> BaseException | None:
        """The exception that says why the run did not complete; ``None`` if it did, or has not ended (ours).

        >>> Cancelled(message="not needed any more").error()
        RunCancelled('not needed any more')
        """
        tell = _ERRORS.get(self.type)
        return None if tell is None else tell(self)

    def copy(self, **changes: Any) -> State[R_co]:
        """Another state with some fields changed; a new ``type`` brings its own name unless one is given.

        >>> Failed(message="x", run_count=2).copy(message="y")
        Failed('y')

        Raises:
            TypeError: a field of that name does not exist.
        """
        fields = {field: getattr(self, field) for field in self.__slots__}
        if "type" in changes:
            fields["name"] = None
        return self.__class__(**(fields | changes))

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


def _failure(state: State[Any]) -> BaseException:
    found = _exception_within(state.data)
    return found if found is not None else RunFailed(_text(state), state)


def _exception_within(data: Any) -> BaseException | None:
    """The exception that a failed state's data is or holds: itself, an inner state's, the first failed one's."""
    if isinstance(data, BaseException):
        return data
    if isinstance(data, State):
        return data.error()
    if is_state_iterable(data):
        return next((error for error in (state.error() for state in data) if error is not None), None)
    return None


def _crash(state: State[Any]) -> BaseException:
    if isinstance(state.data, RunCrashed):
        return state.data
    error = RunCrashed(_text(state), state)
    if isinstance(state.data, BaseException):
        error.__cause__ = state.data
    return error


def _cancellation(state: State[Any]) -> BaseException:
    return state.data if isinstance(state.data, RunCancelled) else RunCancelled(_text(state), state)


def _not_ready(state: State[Any]) -> BaseException | None:
    if not state.is_not_ready():
        return None
    if isinstance(state.data, UpstreamTaskError):
        return state.data
    upstream = state.data if isinstance(state.data, str) else None
    return UpstreamTaskError(state.message or "an upstream run did not complete", upstream)


def _text(state: State[Any]) -> str | None:
    return state.message or (state.data if isinstance(state.data, str) else None)


_ERRORS: Final[dict[StateType, Callable[[State[Any]], BaseException | None]]] = {
    FAILED: _failure,
    CRASHED: _crash,
    CANCELLED: _cancellation,
    PENDING: _not_ready,
}


def Completed(*, message: str | None = None, data: Any = None, name: str = "Completed", **fields: Any) -> State[Any]:
    """The run returned ``data``. ``fields`` are further fields of :class:`State`, here and below."""
    return State(COMPLETED, name, message, None, data, **fields)


def Cached(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Completed with an earlier run's result, without being called."""
    return State(COMPLETED, "Cached", message, None, data, **fields)


def Failed(*, message: str | None = None, data: Any = None, name: str = "Failed", **fields: Any) -> State[Any]:
    """The run raised ``data``, or says in ``message`` why it did not work."""
    return State(FAILED, name, message, None, data, **fields)


def TimedOut(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Failed because it ran longer than it may."""
    return State(FAILED, "TimedOut", message, None, data, **fields)


def Crashed(*, message: str | None = None, data: Any = None, name: str = "Crashed", **fields: Any) -> State[Any]:
    """The infrastructure failed: a worker died, a record was lost. Never the user's exception."""
    return State(CRASHED, name, message, None, data, **fields)


def Cancelled(*, message: str | None = None, data: Any = None, name: str = "Cancelled", **fields: Any) -> State[Any]:
    """Someone asked the run to stop, and it has."""
    return State(CANCELLED, name, message, None, data, **fields)


def Expired(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Cancelled because it was still queued when its ``expires`` had passed (ours)."""
    return State(CANCELLED, "Expired", message, None, data, **fields)


def Cancelling(*, message: str | None = None, data: Any = None, name: str = "Cancelling", **fields: Any) -> State[Any]:
    """Someone asked the running run to stop; it has not yet."""
    return State(CANCELLING, name, message, None, data, **fields)


def Pending(*, message: str | None = None, data: Any = None, name: str = "Pending", **fields: Any) -> State[Any]:
    """Accepted and waiting for a worker, or for the runs it depends on."""
    return State(PENDING, name, message, None, data, **fields)


def NotReady(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Will never run: an upstream did not complete. ``data`` may be that upstream's run id."""
    return State(PENDING, "NotReady", message, None, data, **fields)


def Running(*, message: str | None = None, data: Any = None, name: str = "Running", **fields: Any) -> State[Any]:
    """A worker is executing it."""
    return State(RUNNING, name, message, None, data, **fields)


def Retrying(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Running again after an attempt that failed."""
    return State(RUNNING, "Retrying", message, None, data, **fields)


def Paused(*, message: str | None = None, data: Any = None, name: str = "Paused", **fields: Any) -> State[Any]:
    """Stands still until someone resumes it."""
    return State(PAUSED, name, message, None, data, **fields)


def Scheduled(
    *,
    scheduled_time: datetime | timedelta | None = None,
    message: str | None = None,
    data: Any = None,
    name: str = "Scheduled",
    **fields: Any,
) -> State[Any]:
    """To be run at ``scheduled_time``: an aware datetime, or a timedelta from now (default: now).

    Raises:
        ValueError: the datetime has no time zone.
    """
    when = _moment(scheduled_time)
    return State(SCHEDULED, name, message, None, data, scheduled_time=when, **fields)


def AwaitingRetry(
    *,
    scheduled_time: datetime | timedelta | None = None,
    message: str | None = None,
    data: Any = None,
    **fields: Any,
) -> State[Any]:
    """An attempt failed; the next one is at ``scheduled_time``."""
    return Scheduled(scheduled_time=scheduled_time, message=message, data=data, name="AwaitingRetry", **fields)


def _moment(value: datetime | timedelta | None) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"scheduled_time={value!r} has no time zone: write datetime.now(UTC) or tzinfo=...")
        return value
    return _now(UTC) + (value or timedelta(0))


def is_state(value: object) -> TypeGuard[State[Any]]:
    """Whether ``value`` is a :class:`State`."""
    return isinstance(value, State)


def is_state_iterable(value: object) -> TypeGuard[list[State[Any]] | tuple[State[Any], ...] | set[State[Any]]]:
    """Whether ``value`` is a list, tuple or set with at least one member, and all of them states.

    >>> is_state_iterable([Completed(), Failed()]), is_state_iterable([]), is_state_iterable([Completed(), 1])
    (True, False, False)
    """
    return isinstance(value, list | tuple | set | frozenset) and bool(value) and all(map(is_state, value))


def settle_states(values: Iterable[Any]) -> list[State[Any]] | None:
    """The states of these states and futures, in order, once the futures have ended; ``None`` if one is neither.

    A future is anything with a ``state`` and a ``wait()``. Nothing is waited for when something else is among them.

    >>> settle_states([Completed(), Failed()])
    [Completed(), Failed()]
    >>> settle_states([Completed(), 3]) is None
    True
    """
    members = list(values)
    if not all(is_state(member) or _is_future(member) for member in members):
        return None
    return [member if is_state(member) else _state_of(member) for member in members]


def _is_future(value: object) -> bool:
    return callable(getattr(type(value), "wait", None)) and hasattr(value, "state")


def _state_of(future: Any) -> State[Any]:
    future.wait()
    state: State[Any] = future.state
    return state


def aggregate_states(states: Sequence[State[Any]], data: Any = None) -> State[Any]:
    """The one state that sums up several: where a flow stands that returned them. ``data`` becomes its data.

    All completed: Completed. Else any failed or crashed: Failed. Else any cancelled: Cancelled. Else any paused:
    Paused. Else (some are NotReady or have not ended): Failed. The message counts them.

    >>> aggregate_states([Completed(), Failed(), Crashed()])
    Failed('2 of 3 states failed')

    Follows Prefect 3 (``prefect.states.return_value_to_state``), where Cancelled wins over Failed.
    """
    total = len(states)
    failed = sum(state.type is FAILED or state.type is CRASHED for state in states)
    completed = sum(state.type is COMPLETED for state in states)
    cancelled = sum(state.type is CANCELLED for state in states)
    paused = sum(state.type is PAUSED for state in states)
    if completed == total:
        return Completed(message=f"all {total} states completed", data=data)
    if failed:
        return Failed(message=f"{failed} of {total} states failed", data=data)
    if cancelled:
        return Cancelled(message=f"{cancelled} of {total} states cancelled", data=data)
    if paused:
        return Paused(message=f"{paused} of {total} states paused", data=data)
    return Failed(message=f"{total - completed} of {total} states did not complete", data=data)


def return_value_to_state(value: Any) -> State[Any]:
    """The state of a run whose function returned ``value``.

    - A State is that state. A single future is the state it ends in.
    - A list, tuple or set of nothing but states and futures: :func:`aggregate_states`, its data the states in a list,
      tuple or set again.
    - A generator is emptied into a list.
    - Anything else, an exception included, is a plain value: Completed with it as data.

    Futures are waited for; whoever may not block resolves them first.

    >>> return_value_to_state([Completed(), Failed()])
    Failed('1 of 2 states failed')
    >>> return_value_to_state(ValueError("just a value")).data
    ValueError('just a value')

    Follows Prefect 3 (``prefect.states.return_value_to_state``), except that a State that belongs to another run
    is passed on as it is instead of being wrapped.
    """
    if isinstance(value, State):
        return value
    if isinstance(value, GeneratorType):
        value = list(value)
        return Completed(data=value)
    if isinstance(value, list | tuple | set | frozenset):
        states = settle_states(value) if value else None
        return Completed(data=value) if states is None else aggregate_states(states, _like(value, states))
    if _is_future(value):
        return _state_of(value)
    return Completed(data=value)


def _like(collection: Any, states: list[State[Any]]) -> Any:
    """The states in the kind of collection that the futures came in (a future list becomes a plain list)."""
    if isinstance(collection, list):
        return states
    if isinstance(collection, set | frozenset):
        return set(states)
    return tuple(states)
