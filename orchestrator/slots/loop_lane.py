"""Slots for async tasks: an event loop in a thread of its own, fed by another thread, or by those that receive."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from brokers.messages import Delivery
from brokers.threads import unending
from orchestrator.client import slot_lending as lending
from orchestrator.errors import BrokerError
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.drivers import cancelled_runs, run_attempt_async
from orchestrator.execution.verdicts import Verdict
from orchestrator.observability.tracing import API as TRACES
from orchestrator.observability.tracing import running as traced
from orchestrator.slots.acks import Refusal
from orchestrator.slots.alone import PATIENCE_SECONDS, Alone
from orchestrator.slots.lane import Lane, Retrying
from orchestrator.slots.lane_host import Codec, LaneHost, Source
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.prefetched import LARGEST_BATCH
from orchestrator.slots.running import RunningCall
from orchestrator.slots.worker_loop import WorkerLoop

log = logging.getLogger("orchestrator.slots")
AFTER_OUR_FAILURE_SECONDS: Final = 1.0


class LoopDoor:
    """Runs calls on the event loop around it.

    Args:
        codec: makes attempts.
    """

    begins_runs = True
    not_started_by: tuple[type[BaseException], ...] = (asyncio.CancelledError,)  # the loop ends before the call did

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    async def decode(self, delivery: Delivery) -> Attempt | Refusal:
        """In a thread if upstream results are to be read."""
        if delivery.upstreams and delivery.results is None:
            return await asyncio.to_thread(self._codec.attempt, delivery)
        return self._codec.attempt(delivery)

    async def execute(self, call: RunningCall, attempt: Attempt) -> Verdict:
        """The call is interrupted by a cancellation of its asyncio task."""
        task, run_id = asyncio.current_task(), call.delivery.run_id
        assert task is not None
        loop = task.get_loop()

        def interrupt() -> bool:
            cancelled_runs.add(run_id)
            loop.call_soon_threadsafe(task.cancel)
            return True

        call.interrupt = interrupt
        if call.cancelled:
            interrupt()
        return await (run_attempt_async if TRACES not in sys.modules else traced.run_attempt_async)(attempt)


class LoopLane:
    """The slots for async tasks.

    Args:
        host: the calls of this process.
        alone: who runs with nothing beside it.
        codec: from deliveries to attempts, and from verdicts to acks.
        places: how many calls may run at once.
        waiting_changed: called with how many of its calls wait for others, whenever that changes.
    """

    sends_acks = False

    def __init__(
        self,
        host: LaneHost,
        alone: Alone,
        codec: Codec,
        places: LoopPlaces,
        waiting_changed: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._host, self._alone, self._places = host, alone, places
        self.lane = Lane(host, codec, LoopDoor(codec))
        self._loop = WorkerLoop()
        self._waiting = 0  # calls that have lent their place
        self._waiting_lock = threading.Lock()
        self._waiting_changed = waiting_changed
        self._ends: dict[str, threading.Semaphore] = {}  # ticket -> released when that call has ended

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    def is_draining(self) -> bool:
        """Whether no more calls are to be started."""
        return self._host.draining

    # -- from other threads --------------------------------------------------------------------------------------

    def run_all(self, deliveries: Sequence[Delivery]) -> None:
        """Run these, beside what else runs; returns when they have ended. For a thread that received them."""
        ended = threading.Semaphore(0)
        together = [delivery for delivery in deliveries if not delivery.crashes and self._host.may_start(delivery)]
        for delivery in together:
            self._ends[delivery.ticket] = ended
        for first in range(0, len(together), self._places.count):
            self._places.wait_for_room(self.is_draining)
            self._hand_over(together[first : first + self._places.count])
        for _ in together:
            ended.acquire()
        for delivery in deliveries:
            if delivery.crashes:
                self._run_alone(delivery)

    def feed(self, deliveries: Sequence[Delivery]) -> None:
        """Run these, beside what else runs; returns at once, but for calls that have to run alone."""
        fresh = [some for some in deliveries if some.deliveries == 1 and not some.crashes]
        self._hand_over([some for some in fresh if self._host.may_start(some)])
        for delivery in deliveries:  # the store is asked about each: one that waits for that must stay known here
            if delivery.crashes:
                self._run_alone(delivery)
            elif delivery.deliveries > 1 and self._host.may_start(delivery):
                self._hand_over([delivery])

    def _hand_over(self, deliveries: Sequence[Delivery]) -> None:
        while deliveries:
            self._places.occupy(len(deliveries))
            if self._alone.ticket is None or not self._alone.keeps_out(deliveries[0].ticket):
                break
            self._places.vacate(len(deliveries))
            if not self._alone.wait_outside(deliveries[0].ticket):
                for delivery in deliveries:
                    self._host.hand_back(delivery)
                    self._note_end(delivery)
                return
        self._loop.loop.call_soon_threadsafe(self._begin, deliveries)

    def _run_alone(self, delivery: Delivery) -> None:
        """A call that has crashed a worker runs without neighbours: if it does so again, they are not charged."""
        if not self._places.wait_until_empty(self.is_draining, PATIENCE_SECONDS):
            self._alone.later(delivery)
        elif self._alone.needed(delivery):
            self._alone.run(delivery, lambda: self._run_and_wait(delivery))
        else:
            self._run_and_wait(delivery)

    def _run_and_wait(self, delivery: Delivery) -> None:
        if self._host.may_start(delivery):  # asked only now: until then it is one of those that wait here
            self._hand_over([delivery])
            self._places.wait_until_empty(self.is_draining)

    # -- on the loop ---------------------------------------------------------------------------------------------

    def _begin(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            call = RunningCall(delivery, self, self._host.table.take_place())
            if not self._is_admitted(call):
                self._ended(call)
                continue
            context = self._host.context()
            context.run(lending.current_place.set, call)
            task = self._loop.loop.create_task(self._run(call), context=context)
            self._loop.tasks.add(task)
            task.add_done_callback(self._loop.tasks.discard)

    def _is_admitted(self, call: RunningCall) -> bool:
        try:
            return self.lane.admit(call)  # who runs alone has been asked before, in a thread that may wait for it
        except Exception:  # not the task's: ours
            log.exception("the loop failed on run %s; the call is handed back soon", call.delivery.run_id)
            self._host.running.pop(call.delivery.ticket, None)
            self._host.forget([call.delivery])
            return False

    async def _run(self, call: RunningCall) -> None:
        try:
            await self.lane.run(call)
        finally:
            cancelled_runs.discard(call.delivery.run_id)
            self._ended(call)

    def _ended(self, call: RunningCall) -> None:
        self._host.table.free_place(call.place)
        self._host.attention.ask()
        self._note_end(call.delivery)
        if call.close():  # it is lent: something that the call has left behind still waits
            self._note_waiting(-1)
        else:
            self._places.free_one()

    def _note_end(self, delivery: Delivery) -> None:
        ended = self._ends.pop(delivery.ticket, None)
        if ended is not None:
            ended.release()

    # -- lending (called by what waits in a running call) --------------------------------------------------------

    def lend(self) -> None:
        """A running call waits: its place is free."""
        self._places.free_one()
        self._note_waiting(1)

    def take_back(self) -> None:
        """Block until there is a place, before new calls. For threads of a call (``asyncio.to_thread``)."""
        self._note_waiting(-1)
        self._places.take_back()

    def take_at_once(self) -> None:
        """Go on, whether there is a place or not."""
        self._note_waiting(-1)
        self._places.occupy(1)

    async def take_back_async(self) -> None:
        """Wait until there is a place, before new calls; whoever is cancelled meanwhile goes on without waiting."""
        self._note_waiting(-1)
        await self._places.take_back_async()

    def _note_waiting(self, change: int) -> None:
        with self._waiting_lock:
            self._waiting += change
            waiting = self._waiting
        self._waiting_changed(waiting)

    # -- what the slot monitor asks, and the end -----------------------------------------------------------------

    def look(self, now: float) -> bool:
        """Whether the loop is blocked is logged; nothing waits here behind a long call."""
        if self._host.running:
            self._loop.look(now)
        return False

    def end(self) -> None:
        """Stop the loop; calls that still run are cancelled and handed back."""
        self._loop.end()


class Feeder:
    """Fetches async calls for a lane, in a thread of its own.

    Args:
        host: the calls of this process.
        lane: what is fed.
        source: where calls are fetched.
        places: of the lane.
    """

    def __init__(self, host: LaneHost, lane: LoopLane, source: Source, places: LoopPlaces) -> None:
        self._host, self._lane, self._source, self._places = host, lane, source, places
        self._thread = threading.Thread(target=unending(self._run), name="async-feeder", daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        self._thread.start()

    def _run(self) -> None:
        retrying = Retrying(self._host)
        while not self._host.draining:
            self._places.wait_for_room(self._lane.is_draining)
            try:
                want = min(self._places.free, LARGEST_BATCH)
                self._lane.feed(self._lane.lane.fetch(self._source, want))
                retrying.reached()
            except BrokerError as error:
                retrying.pause_after(error)
            except Exception:  # without this thread no async call would ever be taken again
                log.exception("taking async calls failed once; it goes on, and claims are handed back")
                self._host.pause(AFTER_OUR_FAILURE_SECONDS)

    def wait_for_fetch(self, seconds: float) -> None:
        """Until no fetch is under way, at most so long; the slots are draining, so no other begins."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def close(self) -> None:
        """Wake it; no more is fetched."""
        self._source.close()
        self._places.wake()
