"""The exception that stands for a state: why its run did not complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from orchestrator.errors import RunCancelled, RunCrashed, RunFailed, UpstreamTaskError
from orchestrator.runs.states.predicates import StatePredicates
from orchestrator.runs.states.types import CANCELLED, CRASHED, FAILED, PENDING, StateType


def exception_of(state: StatePredicates) -> BaseException | None:
    """The exception of a state that did not complete; ``None`` if it completed, or has not ended."""
    find = _EXCEPTIONS.get(state.type)
    return None if find is None else find(state)


def _failure(state: StatePredicates) -> BaseException:
    found = _exception_within(state.data)
    return found if found is not None else RunFailed(_text(state), state)


def _exception_within(data: Any) -> BaseException | None:
    """The exception that a failed state's data is or holds: itself, an inner state's, the first failed one's."""
    if isinstance(data, BaseException):
        return data
    members = data if isinstance(data, list | tuple | set | frozenset) else (data,)
    if not all(isinstance(member, StatePredicates) for member in members):
        return None
    return next((error for error in map(exception_of, members) if error is not None), None)


def _crash(state: StatePredicates) -> BaseException:
    if isinstance(state.data, RunCrashed):
        return state.data
    error = RunCrashed(_text(state), state)
    if isinstance(state.data, BaseException):
        error.__cause__ = state.data
    return error


def _cancellation(state: StatePredicates) -> BaseException:
    return state.data if isinstance(state.data, RunCancelled) else RunCancelled(_text(state), state)


def _not_ready(state: StatePredicates) -> BaseException | None:
    if not state.is_not_ready():
        return None
    if isinstance(state.data, UpstreamTaskError):
        return state.data
    upstream = state.data if isinstance(state.data, str) else None
    return UpstreamTaskError(state.message or "an upstream run did not complete", upstream)


def _text(state: StatePredicates) -> str | None:
    return state.data if isinstance(state.data, str) and state.data else state.message


_EXCEPTIONS: Final[dict[StateType, Callable[[StatePredicates], BaseException | None]]] = {
    FAILED: _failure,
    CRASHED: _crash,
    CANCELLED: _cancellation,
    PENDING: _not_ready,
}
