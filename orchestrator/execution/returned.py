"""How a flow ends, by what its function returned."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

from orchestrator.client.own_loop import run_to_its_end
from orchestrator.futures import PrefectFuture
from orchestrator.runs.nested_values import field_names, replace_nested
from orchestrator.states import Completed, State, StateType, aggregate_states


def futures_returned(value: Any) -> list[PrefectFuture[Any]]:
    """The futures inside a returned value, at any depth: what has to end before the flow can."""
    found: list[PrefectFuture[Any]] = []

    def note(part: Any) -> Any:
        if isinstance(part, PrefectFuture):
            found.append(part)
        return part

    replace_nested(value, note)
    return found


def state_of_returned(value: Any) -> State[Any]:
    """The state of a flow run whose function returned ``value``; futures inside it have ended.

    - A State that the flow made itself is the end of the flow.
    - A single future, or the State of another run: the flow ends in the same way, and its result is that State.
    - Lists, tuples, sets, dicts, dataclasses and models, at any depth, of nothing but futures and states:
      :func:`~orchestrator.states.aggregate_states` of all of them. Dicts of nothing but states are plain values.
    - ``quote(value)``: Completed with that value, whatever it holds.
    - Anything else is a plain value: Completed with it as data.

    The result has States where the futures were. Follows Prefect 3, which looks at the outermost collection only.
    """
    from orchestrator.runnables.annotations import quote

    if isinstance(value, quote):
        return Completed(data=value.unquote())
    if isinstance(value, GeneratorType):
        value = list(value)
    if isinstance(value, PrefectFuture):
        return _ends_like(value.state)
    if isinstance(value, State):
        return value if value.task_run_id is None and value.flow_run_id is None else _ends_like(value)
    result = replace_nested(value, _state_for_future)
    ends = _Ends()
    if ends.are_all_of(value) and ends.states:
        return aggregate_states(ends.states, result)
    return Completed(data=result)


async def awaited(value: Any) -> Any:
    """What an async flow returned. The call of an async task that it forgot to await is awaited, as in Prefect."""
    while inspect.iscoroutine(value):
        value = await value
    return value


def wait_here(value: Any) -> Any:
    """What a plain flow returned; the call of an async task that it made is run to its end, as in Prefect."""
    while inspect.iscoroutine(value):
        value = run_to_its_end(value)
    return value


def _ends_like(state: State[Any]) -> State[Any]:
    """The end of a flow that handed the end of one run on."""
    if state.is_completed():
        return Completed(message=state.message, data=state)
    if state.type in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED):
        return state
    return aggregate_states([state], state)


class _Ends:
    """The states that a nested collection is made of, if it holds nothing else."""

    def __init__(self) -> None:
        self.states: list[State[Any]] = []
        self._of_futures = 0
        self._are_named = False
        self._above: set[int] = set()

    def are_all_of(self, value: Any) -> bool:
        """Whether this collection counts: States that have names in it are the flow's own business."""
        return self._take(value) and bool(self._of_futures or not self._are_named)

    def _take(self, value: Any) -> bool:
        if isinstance(value, PrefectFuture):
            self._of_futures += 1
            self.states.append(value.state)
            return True
        if isinstance(value, State):
            self.states.append(value)
            return True
        members = value if isinstance(value, list | tuple | set | frozenset) else self._named(value)
        if members is None or id(value) in self._above:  # a plain value, or a collection that contains itself
            return False
        self._above.add(id(value))
        try:
            return all(map(self._take, members))
        finally:
            self._above.discard(id(value))

    def _named(self, value: Any) -> Iterable[Any] | None:
        self._are_named = True
        return value.values() if isinstance(value, dict) else _fields_of(value)


def _fields_of(value: Any) -> list[Any] | None:
    names = field_names(value)
    return [getattr(value, name, None) for name in names] if names else None


def _state_for_future(part: Any) -> Any:
    return part.state if isinstance(part, PrefectFuture) else part
