"""The slots of a process: lanes that fetch from queues, and the consumer that they work for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass

from brokers.base import QueueReader
from brokers.messages import ASYNC_LANE, SYNC_LANE, routes_of
from orchestrator.client.fleet import Fleet
from orchestrator.runnables import registry
from orchestrator.slots.consumer import Command, Consumer, MakeDoor
from orchestrator.slots.loop_lane import Feeder, LoopLane
from orchestrator.slots.running import RunningCall
from orchestrator.slots.table import SlotTable
from orchestrator.slots.thread_lane import ThreadLane


@dataclass(frozen=True, slots=True)
class SlotsOptions:
    """How many places, for which queues."""

    queues: tuple[str, ...] = ("default",)
    threads: int = 1
    async_concurrency: int = 100
    consumer: str | None = None
    always_async: bool = False  # serve async calls though no async task is known yet
    beside: bool = False  # this process takes calls under another name, or none
    for_flow_runs: bool = False  # a thread's place is one flow run at work: none waits behind it, see slot_lending


class QueueReaders:
    """The readers of a consumer: one per lane, which leave out queues that are paused.

    Args:
        fleet: whose queues.
        consumer: who reads.
    """

    def __init__(self, fleet: Fleet, consumer: str) -> None:
        self._fleet, self._consumer = fleet, consumer
        self._readers: list[QueueReader] = []
        self._paused_queues: set[str] = set()
        self.paused = False  # as a whole

    def add(self, routes: list[str]) -> QueueReader:
        """A reader. Calls are taken from others after a lease, or half of one: much later than an eighth."""
        soon = min(0.5, self._fleet.settings.lease_seconds / 8)
        reader = self._fleet.broker.deliveries.reader(self._consumer, routes, trust_seconds=soon)
        self._readers.append(reader)
        self._apply()
        return reader

    def pause_all(self, paused: bool) -> None:
        """Take nothing, or take calls again."""
        self.paused = paused
        self._apply()

    def pause(self, queue: str) -> None:
        """Leave this queue out."""
        self._paused_queues.add(queue)
        self._apply()

    def resume(self, queue: str) -> None:
        """Read it again."""
        self._paused_queues.discard(queue)
        self._apply()

    def learn_paused(self) -> None:
        """Commands may have been missed. Raises BrokerError."""
        self._paused_queues = self._fleet.broker.queues.paused()
        self._apply()

    def _apply(self) -> None:
        for reader in list(self._readers):
            reader.leave_out(None if self.paused else frozenset(self._paused_queues))


class QueueIntake:
    """Lanes that fetch by themselves."""

    def __init__(self) -> None:
        self._thread_lane: ThreadLane | None = None
        self._feeder: Feeder | None = None

    def add_threads(self, lane: ThreadLane) -> None:
        """Where sync calls run."""
        self._thread_lane = lane

    def add_feeder(self, feeder: Feeder) -> None:
        """What fetches async calls."""
        self._feeder = feeder

    def thread_lanes(self) -> list[ThreadLane]:
        """One, once it is made."""
        return [self._thread_lane] if self._thread_lane is not None else []

    def close(self) -> None:
        """Wake those that wait for calls."""
        for fetching in (self._thread_lane, self._feeder):
            if fetching is not None:
                fetching.close()

    def wait_for_fetches(self, seconds: float) -> None:
        """Until no fetch is under way, each for at most so long."""
        for fetching in (self._thread_lane, self._feeder):
            if fetching is not None:
                fetching.wait_for_fetch(seconds)


class Slots:
    """Fetch, run, complete.

    Args:
        fleet: where the calls come from.
        options: how many places, for which queues.
        table: where the running calls are written down.
        on_command: gets commands to the worker that come to this consumer's inbox: ping, pause, resume, stop.
        context: the context variables that each call gets a copy of; none unless given.
        between_calls: called after each call in the thread that runs :meth:`loop`.
        make_door: see :class:`orchestrator.slots.consumer.Consumer`.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        table: SlotTable | None = None,
        on_command: Callable[[str], None] | None = None,
        context: Context | None = None,
        between_calls: Callable[[], object] = lambda: None,
        make_door: MakeDoor | None = None,
    ) -> None:
        self.options = options
        self.consumer = options.consumer or secrets.token_hex(6)
        self._on_command = on_command
        self._sync_routes, self._async_routes = (
            routes_of(list(options.queues), lane) for lane in (SYNC_LANE, ASYNC_LANE)
        )
        self._readers = QueueReaders(fleet, self.consumer)
        self._intake = QueueIntake()
        self._core = Consumer(
            fleet,
            self.consumer,
            self._sync_routes + self._async_routes,
            options.async_concurrency,
            self._intake,
            table=table,
            context=context,
            on_command=self._handle_command,
            on_gap=self._readers.learn_paused,
            lent_to=frozenset(options.queues) if options.for_flow_runs else None,
            beside=options.beside,
            make_door=make_door,
        )
        source = self._readers.add(self._routes_of_threads())
        self.thread_lane = ThreadLane(
            self._core.calls,
            self._core.runner,
            source,
            options.threads,
            between_calls,
            in_batches=not options.for_flow_runs,
        )
        self._intake.add_threads(self.thread_lane)

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, own_thread: bool = False) -> None:
        """Begin to work; with ``own_thread`` the caller then runs :meth:`loop` in its own thread.

        Raises:
            BrokerError: the server does not answer.
        """
        self._readers.learn_paused()  # first, so that nothing has been started if it cannot be had
        self._core.start()
        self._core.inbox.ask_again()  # a command may have come between the two
        self.thread_lane.start(own_thread)
        if self.options.always_async or any(task.isasync for task in registry.known()):
            self.serve_async()

    def _routes_of_threads(self) -> list[str]:
        """A flow run, async or not, is one of so many: it has a thread, and an async one a loop of its own there."""
        if not self.options.for_flow_runs:
            return self._sync_routes
        return [route for pair in zip(self._sync_routes, self._async_routes, strict=True) for route in pair]

    def serve_async(self) -> None:
        """Serve async calls, from now on if not before; a process without async tasks is spared the loop."""
        if not self.options.for_flow_runs:
            self._core.start_loop(self._feed)

    def _feed(self, lane: LoopLane) -> None:
        places = self._core.places
        feeder = Feeder(self._core.calls, lane, self._readers.add(self._async_routes), places)
        self._intake.add_feeder(feeder)
        feeder.start()

    def loop(self) -> None:
        """Be one of the slots' threads until they stop."""
        self.thread_lane.loop(for_ever=True)

    def drain(self) -> None:
        """Take no more calls; what runs goes on. Returns immediately."""
        self._core.drain()

    def stop(self, grace_seconds: float) -> bool:
        """Drain, wait for running calls, hand back the rest; whether nothing was left running."""
        return self._core.stop(grace_seconds)

    # -- commands ------------------------------------------------------------------------------------------------

    def _handle_command(self, command: Command) -> None:
        what, subject = command
        if what == "pause_queue":
            self._readers.pause(subject)
        elif what == "resume_queue":
            self._readers.resume(subject)
        elif self._on_command is not None:
            self._on_command(what)

    def pause_all(self, paused: bool) -> None:
        """Take no new calls, or take them again. What has been claimed is run."""
        self._readers.pause_all(paused)

    def cancel(self, run_id: str) -> None:
        """Stop a call that is here, running or not."""
        self._core.cancel(run_id)

    # -- what is known of them -----------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether no new calls are taken."""
        return self._readers.paused

    @property
    def answered_at(self) -> float:
        """When the server last answered what it holds for this consumer, by the monotonic clock."""
        return self._core.calls.answered_at

    @property
    def running_calls(self) -> Mapping[str, RunningCall]:
        """The calls that run now, by ticket."""
        return self._core.calls.running

    def flush_acks(self) -> None:
        """Send outcomes. Raises BrokerError."""
        self._core.calls.flush_acks()
