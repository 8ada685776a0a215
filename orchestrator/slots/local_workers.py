"""Workers that a flow brings along when none is running: threads of this process, for the life of the flow.

Only on the private server. The calls are kept in a queue of this process, so that other programs' workers do not get
tasks they do not know; should this process die, they go to the common queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from orchestrator.client.fleet import Fleet
from orchestrator.client.handles import Handle, open_run_ids
from orchestrator.client.no_worker import knows
from orchestrator.client.waiting import wait_for_all, waited_for
from orchestrator.errors import BrokerError
from orchestrator.execution.inline import publish_verdict
from orchestrator.futures import PrefectFuture
from orchestrator.maintenance import WorkerHost
from orchestrator.observability import console
from orchestrator.observability.events import listen
from orchestrator.slots import Slots, SlotsOptions
from orchestrator.slots.action_runner import ActionRunner
from orchestrator.slots.consumer import MakeDoor
from orchestrator.slots.description import describe

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Attempt
    from orchestrator.execution.verdicts import Verdict
    from orchestrator.runnables.protocols import TaskLike
    from orchestrator.submission.deferred import DeferredFutureList

log = logging.getLogger("orchestrator.local_workers")
ABANDON_SECONDS: Final = 0.5


class LocalWorkers:
    """Slots in this process, with the chores that slots need.

    Args:
        fleet: where the calls come from.
        options: how many places, for which queues.
        keeps_calls: the calls of this process's flows are kept in a queue of its own.
        on_stop: called when somebody orders this worker to stop; without it, it takes no orders.
        make_door: what executes the calls; see :class:`orchestrator.slots.consumer.Consumer`.
        name: for people.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        keeps_calls: bool = False,
        on_stop: Callable[[], None] | None = None,
        make_door: MakeDoor | None = None,
        name: str = "",
    ) -> None:
        self._name = name
        self._fleet, self._is_ordered = fleet, on_stop is not None
        self._host = WorkerHost(fleet, self._living, on_stop=on_stop or (lambda: None), on_pause=self._pause_all)
        self._host.add(ActionRunner(fleet, self._host.reactor))
        self.slots = Slots(
            fleet, options, on_command=self._handle_command if on_stop is not None else None, make_door=make_door
        )
        # a call is kept for a process only while that process is known to live
        self._beside: dict[str, dict[str, str]] = {fleet.process: {}} if keeps_calls else {}

    def _living(self) -> dict[str, dict[str, str]]:
        facts = describe(self.slots.options.queues, self.slots.options.threads)
        facts |= {
            "paused": str(self.slots.paused).lower(),
            "async_concurrency": str(self.slots.options.async_concurrency),
        }
        if self._name:
            facts["name"] = self._name
        if self._is_ordered:
            facts["inbox"] = self.slots.consumer
        return {self.slots.consumer: facts, **self._beside}

    def _handle_command(self, kind: str) -> None:
        self._host.handle_commands([(kind, "")])

    def _pause_all(self, paused: bool) -> None:
        self.slots.pause_all(paused)

    def start(self) -> None:
        """Begin to work. Raises BrokerError."""
        self._host.beat()  # alive before the first claim
        self.slots.start()
        self._host.start()

    def stop(self, grace_seconds: float = 25.0) -> None:
        """Finish what runs, hand back the rest."""
        self.slots.stop(grace_seconds)
        self._host.stop()
        for consumer in self._beside:
            self._fleet.broker.deliveries.take_over(consumer, charge_running=False)


class _Shared:
    """The local workers of this process, shared by the flows that run in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._workers: LocalWorkers | None = None
        self._stop_listening: Callable[[], None] = lambda: None

    def join(self, fleet: Fleet) -> FlowsWorkers:
        with self._lock:
            if self._workers is None:
                threads = fleet.settings.local_worker_threads
                options = SlotsOptions(("~" + fleet.process,), threads, consumer=fleet.process + ".local")
                workers = LocalWorkers(fleet, options, keeps_calls=True)
                workers.start()
                self._workers = workers
                self._stop_listening = listen("run.ended", _publish_end)
                fleet.keep_calls(True)
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
            self._stop_listening()
            fleet.keep_calls(False)
        workers.stop(grace_seconds)


class FlowsWorkers:
    """One flow's share in the local workers."""

    def __init__(self, fleet: Fleet, shared: _Shared) -> None:
        self._fleet, self._shared = fleet, shared
        self._leaving = threading.Lock()  # taken once, by whoever ends this share
        self._expected: list[Handle] = []
        self._later: list[DeferredFutureList[Any]] = []

    def expect(self, task: TaskLike, futures: Iterable[PrefectFuture[Any]]) -> None:
        """The flow submitted these."""
        self._expected.extend(waited_for(futures))
        if task.isasync:  # perhaps the first one, defined after the workers started
            self._shared.serve_async()

    def expect_later(self, task: TaskLike, futures: DeferredFutureList[Any]) -> None:
        """The flow submitted these, whose number is not known yet."""
        self._later.append(futures)
        self.expect(task, ())

    def finish(self) -> None:
        """The flow has ended: its calls are done before the workers go, as leaving an executor does."""
        for futures in self._later:
            self._expected.extend(futures)
        wait_for_all(self._expected, None)
        self._leave()

    def abandon(self) -> None:
        """The flow was stopped from outside: its calls are cancelled, those that run are interrupted if they listen."""
        for futures in self._later:
            if futures.expand(0):
                self._expected.extend(futures)
        open_ = list(open_run_ids(future for future in self._expected if not future.settled))
        try:
            self._fleet.cancel(open_)
        except BrokerError as error:
            log.warning("%d calls could not be cancelled: %s", len(open_), error)
        self._leave(ABANDON_SECONDS)

    def _leave(self, grace_seconds: float = 25.0) -> None:
        """Once: a flow may be stopped from outside while it finishes."""
        if self._leaving.acquire(blocking=False):
            self._shared.leave(self._fleet, grace_seconds)


def _publish_end(attempt: Attempt, verdict: Verdict, seconds: float) -> None:
    """To the console of a plain script; a worker in whose process a flow runs has lines of its own."""
    if not console.is_kept_out():
        publish_verdict(attempt, verdict)


_shared = _Shared()


def local_workers_for(fleet: Fleet, task: TaskLike) -> FlowsWorkers | None:
    """Workers for a flow of this process; ``None`` when a live worker knows its task, or the server is not private."""
    if fleet.embedded is None or fleet.broker.carrier is not None:
        return None
    queue = task.options.queue or fleet.settings.default_queue
    if any(knows(facts, queue, task.task_key, task.script) for facts in fleet.live_workers().values()):
        return None
    return _shared.join(fleet)
