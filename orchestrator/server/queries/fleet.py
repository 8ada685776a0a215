"""Queues, workers, scheduled calls, and the health of the server underneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.errors import BrokerError
from orchestrator.inspection import QueueView, WorkerView, queues, queues_of, workers, workers_of
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE
from orchestrator.server.view_models import Health, ScheduledPage

COMMAND_SECONDS: Final = 1.0  # how long workers have to acknowledge a command


class QueueQueries:
    """The queues of the fleet."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def all(self) -> list[QueueView]:
        """Every queue, by name."""
        return queues_of(self._context.fleet)

    def pause(self, name: str) -> None:
        """Workers begin no further call of this queue; running calls go on."""
        self._context.must_write()
        queues.pause_queue(self._context.fleet, name)

    def resume(self, name: str) -> None:
        """Workers begin calls of this queue again."""
        self._context.must_write()
        queues.resume_queue(self._context.fleet, name)

    def purge(self, name: str) -> int:
        """Cancel the waiting calls of a queue; returns how many."""
        self._context.must_write()
        return queues.purge_queue(self._context.fleet, name)


class WorkerQueries:
    """The live workers of the fleet."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def all(self) -> list[WorkerView]:
        """Every live worker, by name."""
        return workers_of(self._context.fleet)

    def pause(self, names: Sequence[str]) -> None:
        """These workers begin no further call."""
        self._context.must_write()
        workers.pause_workers(self._context.fleet, names, COMMAND_SECONDS)

    def resume(self, names: Sequence[str]) -> None:
        """These workers begin calls again."""
        self._context.must_write()
        workers.resume_workers(self._context.fleet, names, COMMAND_SECONDS)

    def stop(self, names: Sequence[str]) -> None:
        """These workers finish their running calls and exit."""
        self._context.must_write()
        workers.stop_workers(self._context.fleet, names)


class FleetQueries:
    """The fleet as a whole."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def scheduled(self, cursor: str | None = None, limit: int = PAGE) -> ScheduledPage:
        """Calls that wait for a moment, the next one first.

        The cursor is a number of calls: calls that become due between two pages move the later ones up.

        Raises:
            ValueError: the cursor is none.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 12):
            raise ValueError(f"{cursor[:40]!r} is not a cursor: give one that a page had, or none")
        first, limit = int(cursor or 0), page_size(limit)
        total, run_ids = self._context.fleet.broker.records.delayed(first, limit)
        following = str(first + limit) if first + limit < total else None
        return ScheduledPage(self._context.views(run_ids), following, total)

    def health(self) -> Health:
        """The state of the server underneath and of the index; also when that server does not respond."""
        from brokers.version import __version__

        fleet = self._context.fleet
        facts: dict[str, str] = {}
        try:
            warnings, reachable = fleet.broker.health.warnings(), True
            facts = fleet.broker.health.facts()
        except BrokerError as error:
            warnings, reachable = [f"the server does not answer: {error}"], False
        return Health(
            reachable,
            warnings,
            int(facts.get("used_memory", "0")),
            int(facts.get("maxmemory", "0")),
            int(facts.get("used_memory_peak", "0")),
            facts.get("maxmemory_policy", ""),
            facts.get("aof_enabled") == "1",
            "celery" if fleet.broker.carrier is not None else "redis",
            fleet.settings.namespace,
            __version__,
            self._context.index.state(),
        )
