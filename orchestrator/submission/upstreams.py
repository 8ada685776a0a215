"""The runs that a call waits for."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import UpstreamTaskError
from orchestrator.futures import PrefectFuture
from orchestrator.runnables.annotations import allow_failure, opaque
from orchestrator.runs.nested_values import replace_nested
from orchestrator.states import State


def upstreams_of(wait_for: Any) -> list[tuple[str, bool]]:
    """The runs behind ``wait_for``: futures and states in lists, dicts, dataclasses and models, at any depth.

    Other values stand for nothing. Each run comes with whether the call also runs after its failure.

    Raises:
        UpstreamTaskError: a state did not complete.
    """
    given = isinstance(wait_for, PrefectFuture | State | allow_failure | list | tuple | dict | set)
    found: list[tuple[str, bool]] = []
    _note(wait_for if given else list(wait_for), False, found)
    return found


def _note(value: Any, after_failure: bool, found: list[tuple[str, bool]]) -> None:
    def note(part: Any) -> Any:
        if isinstance(part, PrefectFuture):
            found.append((part.run_id, after_failure))
        elif isinstance(part, State):
            if not part.is_completed() and not after_failure:
                raise UpstreamTaskError(f"wait_for holds {part!r}, which did not complete", part.task_run_id)
        elif isinstance(part, allow_failure):
            _note(part.value, True, found)
        elif isinstance(part, opaque):
            _note(part.value, after_failure, found)
        return part

    replace_nested(value, note)
