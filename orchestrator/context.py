"""What runs here: the flow run and the attempt around the current line, per thread and per asyncio task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.engine import Attempt
    from orchestrator.flow_engine import FlowRun

current_flow_run: ContextVar[FlowRun | None] = ContextVar("orchestrator_flow_run", default=None)
current_attempt: ContextVar[Attempt | None] = ContextVar("orchestrator_attempt", default=None)
current_tags: ContextVar[frozenset[str]] = ContextVar("orchestrator_tags", default=frozenset())


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Add tags to every flow run and task run that is created inside the block; blocks add up.

    >>> with tags("a"), tags("b") as now:
    ...     sorted(now)
    ['a', 'b']

    Follows Prefect 3 (``prefect.tags``).
    """
    wider = current_tags.get() | frozenset(names)
    token = current_tags.set(wider)
    try:
        yield wider
    finally:
        current_tags.reset(token)
