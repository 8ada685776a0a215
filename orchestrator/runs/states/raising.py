"""The exception of a state, given or raised by a function, which is how Prefect 3 spells it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from orchestrator.runs.states.state import State


def get_state_exception(state: State[Any]) -> BaseException:
    """The exception of a state that did not complete.

    Raises:
        ValueError: it completed, or has not ended.

    Follows Prefect 3 (``prefect.states.get_state_exception``), without its ``await``.
    """
    error = state.error()
    if error is None:
        raise ValueError(f"{state!r} has no exception: it is neither failed, nor crashed, nor cancelled")
    return error


def raise_state_exception(state: State[Any]) -> _Nothing:
    """Raise the exception of a state that failed, crashed or was cancelled; do nothing for others.

    >>> from orchestrator.states import Completed
    >>> bool(raise_state_exception(Completed()))
    False

    Follows Prefect 3 (``prefect.states.raise_state_exception``); ``await`` before it does no harm.
    """
    error = state.error()
    if error is not None:
        raise error
    return _Nothing()


class _Nothing:
    """What a function returns that is awaited by some and not by others."""

    def __bool__(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield
