"""No server at all: what is submitted has run when ``submit`` returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.client.fleet import use_fleet
from orchestrator.runnables.retries import without_delays
from orchestrator.settings import Settings, use
from orchestrator.task_runners.choice import every_flow_uses
from orchestrator.task_runners.fleet_runner import FleetTaskRunner
from orchestrator.testing.inline_fleet import InlineFleet


@contextmanager
def inline(**settings: Any) -> Iterator[InlineFleet]:
    """Inside the block ``submit``, ``map``, ``delay`` and their kin run the call at once, in the caller's thread.

    Dependencies, retries (their delays are skipped), caching, hooks and logs work as on a worker, and what could not
    travel to one fails here too. ``countdown`` and ``eta`` are skipped as well; priorities and limits mean nothing.

    Args:
        settings: as for :class:`orchestrator.settings.Settings`.

    Returns:
        The fleet that stands in; its ``runs`` say what was sent.

    >>> from orchestrator import task
    >>> @task
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> with inline() as fleet:
    ...     double.delay(21).result()
    ...     [run.task_key.rpartition(".")[2] for run in fleet.runs]
    42
    ['double']
    """
    with (
        use(Settings(**{"redis_url": None, "broker_url": None, "local_workers": "never", **settings})) as chosen,
        without_delays(),
        every_flow_uses(FleetTaskRunner()),  # also those that ask for threads or processes
    ):
        fleet = InlineFleet(chosen)
        before = use_fleet(fleet)
        try:
            yield fleet
        finally:
            use_fleet(before)
            fleet.close()
