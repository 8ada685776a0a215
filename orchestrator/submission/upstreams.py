"""The runs that a call waits for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.errors import UpstreamTaskError
from orchestrator.futures import PrefectFuture
from orchestrator.runnables.annotations import allow_failure
from orchestrator.states import State


def upstreams_of(wait_for: Iterable[Any]) -> Iterable[tuple[str, bool]]:
    """The runs behind the members of ``wait_for``: futures, states, lists of them; other values stand for nothing.

    Each comes with whether the call also runs after its failure. Raises UpstreamTaskError for a state that did not
    complete.
    """
    if isinstance(wait_for, PrefectFuture | State | allow_failure):
        wait_for = [wait_for]
    for member in wait_for:
        after_failure = isinstance(member, allow_failure)
        inner = member.value if isinstance(member, allow_failure) else member
        if isinstance(inner, PrefectFuture):
            yield inner.run_id, after_failure
        elif isinstance(inner, State):
            if not inner.is_completed() and not after_failure:
                raise UpstreamTaskError(f"wait_for holds {inner!r}, which did not complete", inner.task_run_id)
        elif isinstance(inner, list | tuple | set | frozenset):
            yield from ((run_id, after_failure or lenient) for run_id, lenient in upstreams_of(inner))
