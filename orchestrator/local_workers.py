"""Workers that a flow brings along when none is running: threads of this process, for the life of the flow.

Only on the private server. The calls are kept in a queue of this process, so that other programs' workers do not get
tasks they do not know; should this process die, they go to the common queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from orchestrator import registry
from orchestrator.chores import Heartbeat, Janitor, Mover, Rescue
from orchestrator.description import describe
from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.slots import Slots, SlotsOptions
from orchestrator.waiting import wait_for_all

if TYPE_CHECKING:
    from orchestrator.tasks import Task

log = logging.getLogger("orchestrator.local_workers")
ABANDON_SECONDS: Final = 0.5


class LocalWorkers:
    """Slots in this process, with the chores that slots need.

    Args:
        fleet: where the calls come from.
        options: how many places, for which queues.
        keeps_calls: the calls of this process's flows are kept in a queue of its own.
        on_stop: called when somebody orders this worker to stop; without it, it takes no orders.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        keeps_calls: bool = False,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._fleet, self._on_stop = fleet, on_stop
        self.slots = Slots(fleet, options, on_order=self._obey if on_stop is not None else None)
        # a call is kept for a process only while that process is known to live
        self._beside: dict[str, dict[str, str]] = {fleet.process: {}} if keeps_calls else {}
        rescue = Rescue(fleet)
        self._heartbeat = Heartbeat(fleet, self._living, rescue.take_over)
        self._chores = [self._heartbeat, rescue, Mover(fleet), Janitor(fleet)]

    def _living(self) -> dict[str, dict[str, str]]:
        facts = describe(self.slots.options.queues, self.slots.options.threads)
        facts |= {
            "paused": str(self.slots.paused).lower(),
            "async_concurrency": str(self.slots.options.async_concurrency),
        }
        if self._on_stop is not None:
            facts["inbox"] = self.slots.consumer
        return {self.slots.consumer: facts, **self._beside}

    def _obey(self, what: str) -> None:
        if what == "stop" and self._on_stop is not None:
            self._on_stop()
        elif what in ("pause", "resume"):
            self.slots.pause_all(what == "pause")
        self._heartbeat.wake()

    def start(self) -> None:
        """Begin to work. Raises BrokerError."""
        self._chores[0].run_once()  # alive before the first claim
        self.slots.start()
        for chore in self._chores:
            chore.start()

    def stop(self, grace_seconds: float = 25.0) -> None:
        """Finish what runs, hand back the rest."""
        self.slots.stop(grace_seconds)
        for chore in self._chores:
            chore.stop()
        for consumer in self._beside:
            self._fleet.broker.take_over(consumer, charge_noted=False)


class _Shared:
    """The local workers of this process, shared by the flows that run in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._workers: LocalWorkers | None = None

    def join(self, fleet: Fleet) -> FlowsWorkers:
        with self._lock:
            if self._workers is None:
                threads = fleet.settings.local_worker_threads
                options = SlotsOptions(("~" + fleet.process,), threads, consumer=fleet.process + ".local")
                workers = LocalWorkers(fleet, options, keeps_calls=True)
                workers.start()
                self._workers = workers
                fleet.keeps_calls = True
            self._users += 1
        return FlowsWorkers(fleet, self)

    def serve_async(self) -> None:
        with self._lock:
            if self._workers is not None:
                self._workers.slots.serve_async()

    def leave(self, fleet: Fleet, grace_seconds: float = 25.0) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._workers is None:
                return
            workers, self._workers = self._workers, None
            fleet.keeps_calls = False
        workers.stop(grace_seconds)


class FlowsWorkers:
    """One flow's share in the local workers."""

    def __init__(self, fleet: Fleet, shared: _Shared) -> None:
        self._fleet, self._shared = fleet, shared
        self._expected: list[PrefectFuture[Any]] = []

    def expect(self, task: Task[..., Any], futures: Iterable[PrefectFuture[Any]]) -> None:
        """The flow submitted these."""
        self._expected.extend(futures)
        if task.isasync:  # perhaps the first one, defined after the workers started
            self._shared.serve_async()

    def finish(self) -> None:
        """The flow has ended: its calls are done before the workers go, as leaving an executor does."""
        wait_for_all(self._expected, None)
        self._shared.leave(self._fleet)

    def abandon(self) -> None:
        """The flow was stopped from outside: its calls are cancelled, those that run are interrupted if they listen."""
        open_ = [future.run_id for future in self._expected if not future.settled]
        try:
            self._fleet.cancel(open_)
        except BrokerError as error:
            log.warning("%d calls could not be cancelled: %s", len(open_), error)
        self._shared.leave(self._fleet, ABANDON_SECONDS)


_shared = _Shared()


def local_workers_for(fleet: Fleet, task: Task[..., Any]) -> FlowsWorkers | None:
    """Workers for a flow of this process; ``None`` when a live worker knows its task, or the server is not private."""
    if fleet.embedded is None or fleet.broker.carried:
        return None
    queue = task.options.queue or fleet.settings.default_queue
    for facts in fleet.live_workers().values():
        tasks = facts.get("tasks", "").split(",") if queue in facts.get("queues", "").split(",") else ()
        if any(registry.same_task(task.task_key, key) for key in tasks):
            return None
    return _shared.join(fleet)
