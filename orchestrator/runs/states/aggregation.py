"""One state for several, and for what a function returned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import GeneratorType
from typing import Any

from orchestrator.runs.states.groups import is_state
from orchestrator.runs.states.named import Cancelled, Completed, Failed, Paused
from orchestrator.runs.states.state import State
from orchestrator.runs.states.types import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED


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

    >>> aggregate_states([Completed(), Failed(), Cancelled()])
    Failed('1 of 3 states failed')

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
        states = settle_states(value)  # whether it is empty is asked of the list: a subclass may say anything
        return Completed(data=value) if not states else aggregate_states(states, _like(value, states))
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
