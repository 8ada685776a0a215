"""Health of a worker: is it alive, is it ready for calls, what have its children counted.

The main thread notes that it loops; the questions are answered in the threads of a :class:`ProbeServer`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from orchestrator import __version__
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.observability.metrics import check_installed, worker_page
from orchestrator.observability.metrics.cells import CellReader, Figures
from task_workers.options import WorkerOptions
from task_workers.supervisor.slot_table import TableReader

if TYPE_CHECKING:
    from orchestrator.observability.metrics.readings import WorkerReading
    from task_workers.health.probe_server import Answer, Page, ProbeServer

LIVE_SECONDS: Final = 30.0  # it looks up every second, but starting children while the store is away takes two for each
ASK_AGAIN_SECONDS: Final = 1.0  # the store is asked once for all the probes of a second


class Child(Protocol):
    """What is looked at in a child process."""

    cells: CellReader | None
    ready_at: float | None

    @property
    def table(self) -> TableReader:
        """What it runs."""


class WorkerHealth:
    """Of one worker.

    Args:
        fleet: whose store is asked.
        options: what the worker is.
        children: those that live.
        is_stopping: whether it takes no more calls.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: WorkerOptions,
        children: Callable[[], Sequence[Child]],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._fleet, self._options = fleet, options
        self._children, self._is_stopping = children, is_stopping
        self._looped_at = time.monotonic()
        self._started_at = time.time()
        self._deaths = 0
        self._gone: Figures = {}  # what children that are dead had counted
        self._lock = threading.Lock()
        self._store: tuple[float, bool] = (-ASK_AGAIN_SECONDS, False)  # when it was asked, and whether it answered
        self._asking = threading.Lock()

    # -- the main thread -----------------------------------------------------------------------------------------

    def note_loop(self) -> None:
        """The main thread is not stuck."""
        self._looped_at = time.monotonic()

    def reap(self, child: Child, unexpected: bool) -> None:
        """Keep what it has counted; it is not looked at any more."""
        with self._lock:
            self._deaths += unexpected
            if child.cells is not None:
                child.cells.add_to(self._gone)
                child.cells.close()
                child.cells = None

    # -- probes --------------------------------------------------------------------------------------------------

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Whether the main thread loops: if not, a restart is all that helps."""
        silent = time.monotonic() - self._looped_at
        return silent < LIVE_SECONDS, {"live": silent < LIVE_SECONDS, "silent_seconds": round(silent, 3)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether calls would be run now: a child shows life, the store answers, and the worker is not stopping."""
        children = self._children()
        oldest = time.monotonic() - self._fleet.settings.lease_seconds
        awake = sum(child.ready_at is not None and child.table.pulse().awake > oldest for child in children)
        stopping = self._is_stopping()
        store = self._store_answers()
        ready = awake > 0 and store and not stopping
        return ready, {
            "ready": ready,
            "children": len(children),
            "awake": awake,
            "store": store,
            "stopping": stopping,
            "worker": self._options.name,
        }

    def _store_answers(self) -> bool:
        with self._asking:
            asked_at, answered = self._store
            if time.monotonic() - asked_at >= ASK_AGAIN_SECONDS:
                answered = self._asked()
                self._store = (time.monotonic(), answered)
            return answered

    def _asked(self) -> bool:
        try:
            return self._fleet.broker.health.is_reachable()
        except BrokerError:  # it answers, and refuses us
            return False

    # -- figures -------------------------------------------------------------------------------------------------

    def reading(self) -> WorkerReading:
        """What all its children have counted, those that are dead included."""
        from orchestrator.observability.metrics.readings import Places, WorkerReading

        options = self._options
        busy = {"sync": 0, "async": 0}
        children = self._children()
        with self._lock:
            figures = {call: counted.copy() for call, counted in self._gone.items()}
            for child in children:
                if child.cells is None:
                    continue
                child.cells.add_to(figures)
                loop = child.cells.loop_thread
                for row in child.table.rows():
                    busy["async" if loop and row.thread == loop else "sync"] += 1
        ready = sum(child.ready_at is not None for child in children)
        places = {
            "sync": Places(busy["sync"], ready * options.threads),
            "async": Places(busy["async"], ready * options.async_concurrency),
        }
        return WorkerReading(
            options.name, __version__, figures, places, len(children), ready, self._deaths, self._started_at
        )

    # -- pages ---------------------------------------------------------------------------------------------------

    def probe_servers(self) -> list[ProbeServer]:
        """What was asked for: one port for probes, one for figures, or one for both.

        Raises:
            ConfigurationError: a port cannot be had, or prometheus-client is not installed.
        """
        options = self._options
        if options.metrics_port is None and options.health_port is None:
            return []
        from task_workers.health.probe_server import (
            ProbeServer,  # a web server's worth of modules, for those who want one
        )

        if options.metrics_port is not None:
            check_installed()
        wanted: dict[int, dict[str, Page]] = {}
        ports: list[tuple[int | None, dict[str, Page]]] = [
            (
                options.health_port,
                {"/live": lambda _: _as_json(self.live()), "/ready": lambda _: _as_json(self.ready())},
            ),
            (options.metrics_port, {"/metrics": self._metrics_page}),
        ]
        for index, (port, pages) in enumerate(ports):
            if port is not None:
                wanted.setdefault(port or -index - 1, {}).update(pages)  # two free ports are two
        return [ProbeServer(options.listen, max(port, 0), pages) for port, pages in wanted.items()]

    def _metrics_page(self, accept: str) -> Answer:
        from task_workers.health.probe_server import Answer

        body, content_type = worker_page(self._fleet, self.reading(), accept)
        return Answer(200, content_type, body)


def _as_json(health: tuple[bool, dict[str, Any]]) -> Answer:
    from task_workers.health.probe_server import json_answer

    return json_answer(*health)
