"""A fleet for one test: a server of its own, and a worker in this process that does everything that is submitted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from orchestrator.client.fleet import Fleet
from orchestrator.runnables import registry
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.testing.throwaway import throwaway_fleet

STOP_SECONDS: Final = 5.0


@contextmanager
def private_fleet(**settings: Any) -> Iterator[Fleet]:
    """Inside the block everything that this process submits runs in worker threads of this process.

    The server is a new one unless ``home`` or ``redis_url`` names another. Settings and fleet are restored afterwards,
    and everything is stopped. Blocks can be nested; the inner one counts.

    Args:
        settings: as for :class:`orchestrator.settings.Settings`, for example ``result_ttl_seconds=60``.

    >>> from orchestrator import task
    >>> @task
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> with private_fleet():
    ...     double.map([1, 2, 3]).result()
    [2, 4, 6]
    """
    with throwaway_fleet(**{"local_workers": "never", **settings}) as fleet:
        workers = _QueuesWithWorkers(fleet)
        try:
            workers.serve_known_tasks()
            fleet.queues_used = workers
            yield fleet
        finally:
            workers.stop()


class _QueuesWithWorkers(set[str]):
    """The queues that this process has sent to. The first call to a queue finds a worker, whatever its name is."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._workers: list[LocalWorkers] = []
        self._lock = threading.Lock()

    def serve_known_tasks(self) -> None:
        """Workers for the default queue and for those that tasks name; raises BrokerError."""
        named = {task.options.queue for task in registry.known() if task.options.queue}
        self._serve(*sorted(named | {self._fleet.settings.default_queue}))

    def add(self, queue: str) -> None:
        with self._lock:
            if queue not in self:
                self._serve(queue)

    def _serve(self, *queues: str) -> None:
        # A test may define its async tasks later, in its own body.
        options = SlotsOptions(queues, self._fleet.settings.local_worker_threads, always_async=True)
        worker = LocalWorkers(self._fleet, options)
        worker.start()
        self._workers.append(worker)
        self.update(queues)

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop(STOP_SECONDS)


@contextmanager
def orchestrator_test_harness(server_startup_timeout: float | None = None, **settings: Any) -> Iterator[None]:
    """:func:`private_fleet` as Prefect's users know it (``prefect.testing.utilities.prefect_test_harness``).

    Args:
        server_startup_timeout: accepted and not needed: the server answers after a tenth of a second, or an error says
            why it does not.
        settings: as for :func:`private_fleet`.
    """
    with private_fleet(**settings):
        yield


prefect_test_harness = orchestrator_test_harness
