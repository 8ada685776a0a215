"""Slots for sync tasks: threads that loop over fetched batches, without a hop per call.

A thread runs user code only while it holds a permit, and there are as many permits as slots. A task that waits for
other runs gives its permit up (``lend``) and another thread goes on; when its wait is over it is the first to get one.
Threads without calls hold no permit, so nobody waits for an idle one.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Protocol, TypeVar

from brokers.messages import Delivery, is_async
from brokers.threads import unending
from orchestrator.client import slot_lending as lending
from orchestrator.errors import BrokerError
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.drivers import cancelled_runs, run_attempt
from orchestrator.execution.interrupt import CancelRun, Interruptible
from orchestrator.execution.plain import run_plain
from orchestrator.execution.verdicts import Verdict
from orchestrator.observability.tracing import API as TRACES
from orchestrator.observability.tracing import running as traced
from orchestrator.observability.tracing.sending import is_wanted
from orchestrator.slots.acks import Refusal
from orchestrator.slots.alone import Alone
from orchestrator.slots.lane import Door, Lane, Outcome, Retrying
from orchestrator.slots.lane_host import Codec, LaneHost, Source
from orchestrator.slots.loop_lane import LoopDoor
from orchestrator.slots.prefetched import Prefetched
from orchestrator.slots.running import RunningCall
from orchestrator.slots.thread_budget import Permits, ThreadBudget
from orchestrator.states import Cancelled

T = TypeVar("T")
log = logging.getLogger("orchestrator.slots")


class ThreadDoor:
    """Runs calls in the thread that asks for it; async ones, where threads read their lane, on a loop of their own.

    Args:
        host: the calls of this process.
        codec: makes attempts.
    """

    begins_runs = True
    not_started_by: tuple[type[BaseException], ...] = ()

    def __init__(self, host: LaneHost, codec: Codec) -> None:
        self._host, self._codec, self._loop_door = host, codec, LoopDoor(codec)

    async def decode(self, delivery: Delivery) -> Attempt | Refusal:
        """Blocks while upstream results are read."""
        return self._codec.attempt(delivery)

    async def execute(self, call: RunningCall, attempt: Attempt) -> Verdict:
        """Blocks; the call is interrupted by an exception that is raised in this thread."""
        try:
            if is_async(call.delivery.ticket):
                return self._context(call).run(asyncio.run, self._loop_door.execute(call, attempt))
            return self._run(call, run_attempt if TRACES not in sys.modules else traced.run_attempt, attempt)
        except CancelRun as cancel:
            return Cancelled(message=str(cancel), data=cancel.as_error())
        finally:
            self._end(call)

    def execute_plain(self, call: RunningCall, attempt: Attempt) -> Outcome:
        """The same for an attempt at a plain task."""
        try:
            return self._run(call, run_plain, attempt)
        except CancelRun as cancel:
            return None, Cancelled(message=str(cancel), data=cancel.as_error())
        finally:
            self._end(call)

    def _context(self, call: RunningCall) -> Context:
        context = self._host.context()
        context.run(lending.current_place.set, call)
        return context

    def _run(self, call: RunningCall, run: Callable[[Attempt], T], attempt: Attempt) -> T:
        context = self._context(call)
        with Interruptible() as block:
            call.interrupt = lambda: block.raise_in(CancelRun())
            if call.cancelled:
                raise CancelRun()
            return context.run(run, attempt)

    def _end(self, call: RunningCall) -> None:
        call.interrupt = None
        cancelled_runs.discard(call.delivery.run_id)
        if call.close():  # a thread that it has left behind still waits
            call.lane.take_back()


class CallLane(lending.Lendable, Protocol):
    """What a call's place belongs to, and where calls wait behind it."""

    ready: Prefetched


class ThreadRunner:
    """Runs the deliveries of a lane of threads, one in the thread that calls it.

    Args:
        host: the calls of this process.
        alone: who runs with nothing beside it.
        codec: from deliveries to attempts, and from verdicts to acks.
        lent_to: the queues whose runs a place is lent to; ``None``: whatever its call waits for.
        door: where calls are executed; unless given, in the thread that runs them.
    """

    def __init__(
        self,
        host: LaneHost,
        alone: Alone,
        codec: Codec,
        lent_to: frozenset[str] | None = None,
        door: Door | None = None,
    ) -> None:
        self._host, self._lent_to = host, lent_to
        own = ThreadDoor(host, codec)
        self._door: Door = door or own
        self._execute_plain = own.execute_plain if door is None else None
        # What runs elsewhere cannot take the calls beside it along when it dies.
        self._alone = alone if self._door.begins_runs else None
        self.lane = Lane(host, codec, self._door, self._alone)

    def run(self, delivery: Delivery, lane: CallLane, place: int) -> None:
        """Run it, alone if it needs to be. What this raises is ours, not the task's: the call is not here any more."""
        try:
            self._run(delivery, lane, place)
        except Exception:  # it is handed back once it is seen that nobody knows of it
            self._host.running.pop(delivery.ticket, None)
            self._host.forget([delivery])
            raise

    def _run(self, delivery: Delivery, lane: CallLane, place: int) -> None:
        alone = self._alone
        if delivery.crashes and alone is not None and alone.ticket != delivery.ticket and alone.needed(delivery):
            return alone.run(delivery, lambda: self.run(delivery, lane, place))
        if not self._host.may_start(delivery):
            return
        call = RunningCall(delivery, lane, place, self._lent_to)
        call.noted = not self._door.begins_runs
        lane.ready.started(call.started)
        if not self.lane.admit(call):
            return
        execute = None if TRACES in sys.modules and is_wanted() else self._execute_plain
        enough = self.lane.run_plain(call, execute) if execute is not None else None
        if enough is None:
            enough = self._run_to_its_end(call)
        lane.ready.ended(time.monotonic() - call.started)
        if enough:
            self._host.send_acks()

    def _run_to_its_end(self, call: RunningCall) -> bool:
        """In this thread; no event loop runs, so that the function may run its own."""
        running = self.lane.run(call)
        try:
            running.send(None)
        except StopIteration as end:
            return bool(end.value)
        raise RuntimeError("a call in a thread was suspended, which only an event loop can go on with")


class ThreadLane:
    """The slots for sync tasks.

    Args:
        host: the calls of this process.
        runner: runs a delivery.
        source: where calls are fetched.
        count: how many calls may run at once.
        between_calls: called after each call in the thread that runs ``loop(for_ever=True)``.
        in_batches: short calls are fetched several at a time.
    """

    sends_acks = True

    def __init__(
        self,
        host: LaneHost,
        runner: ThreadRunner,
        source: Source,
        count: int,
        between_calls: Callable[[], object] = lambda: None,
        in_batches: bool = True,
    ) -> None:
        self._host, self._runner, self._source = host, runner, source
        self._between_calls = between_calls
        self.ready = Prefetched(in_batches)
        self._permits = Permits(count)
        self._budget = ThreadBudget(count)
        self._fetching = threading.Lock()
        self._retrying = Retrying(host)
        self._threads: list[threading.Thread] = []

    def start(self, own_thread: bool) -> None:
        """Start the threads; with ``own_thread`` one less, because the caller runs :meth:`loop` itself."""
        for _ in range(self._budget.count - (1 if own_thread else 0)):
            self._add_thread()

    def _add_thread(self) -> None:
        thread = threading.Thread(target=unending(self.loop), name=f"slot-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    # -- the loop of a slot's thread -----------------------------------------------------------------------------

    def loop(self, for_ever: bool = False) -> None:
        """Take calls and run them until the slots stop, or this thread is not needed any more (unless ``for_ever``)."""
        self._budget.enter()
        place = self._host.table.take_place()
        try:
            self._permits.take()
            while (delivery := self.next(for_ever)) is not None:
                self._permits.yield_to_returning()
                self.run(delivery, place, for_ever)
                if for_ever:
                    self._between_calls()
        finally:
            self._host.table.free_place(place)
            self._budget.leave()

    def next(self, for_ever: bool) -> Delivery | None:
        """The next call; ``None`` (and no permit) when this thread is to end. Holds a permit otherwise."""
        while True:
            try:
                if not self._host.draining:
                    return self.ready.pop()
            except IndexError:
                pass
            self._permits.give()
            if self._host.draining or (not for_ever and self._budget.is_exceeded):
                return None
            self._refill()
            self._permits.take()

    def run(self, delivery: Delivery, place: int, for_ever: bool) -> None:
        """Run a call; gives the permit back if that ends the thread."""
        try:
            self._runner.run(delivery, self, place)
        except Exception:  # not the task's: ours
            if for_ever:
                self._permits.give()
                raise  # the process ends and is replaced; its calls are taken over
            log.exception("a slot failed on run %s; the call is handed back soon", delivery.run_id)
        except BaseException:
            self._permits.give()
            raise

    # -- fetching ------------------------------------------------------------------------------------------------

    def _refill(self) -> None:
        """Send what has finished and take new calls, in one round trip; wait if there are none."""
        if not self._fetching.acquire(blocking=False):
            self._host.send_acks()  # the other thread may wait for long
            self._fetching.acquire()
        try:
            if not self.ready and not self._host.draining:
                self.ready.extend(self._runner.lane.fetch(self._source, self._want()))
                self._retrying.reached()
        except BrokerError as error:
            self._retrying.pause_after(error)
        finally:
            self._fetching.release()

    def _want(self) -> int:
        return self.ready.batch_for(self._budget.count, self._busy())

    def _busy(self) -> int:
        here = sum(call.lane is self for call in list(self._host.running.values()))
        return min(self._budget.count, here + 1)

    # -- lending (called by what waits in the running task) ------------------------------------------------------

    def lend(self) -> None:
        """The running task waits: another thread may go on."""
        short = self._budget.lend() and not self._host.draining
        self._permits.give()
        if short:
            self._add_thread()

    def take_back(self) -> None:
        """The wait is over: go on as soon as a slot is free, before new calls."""
        try:
            self._permits.take_back()
        finally:
            self._budget.take_back()

    def take_at_once(self) -> None:
        """The wait was ended, and so is its task perhaps: it goes on whether a slot is free or not."""
        self._permits.take_at_once()
        self._budget.take_back()

    async def take_back_async(self) -> None:
        """The same for a task that runs an event loop of its own."""
        await asyncio.to_thread(self.take_back)

    # -- what the slot monitor asks, and the end -------------------------------------------------------------------

    def look(self, now: float) -> bool:
        """Hand back what waits behind a long call, for another worker's free slot; whether there was any."""
        return self.ready.is_stuck(now) and hand_back_ready(self.ready, self._host)

    def wait_for_fetch(self, seconds: float) -> None:
        """Until no fetch is under way, at most so long; the slots are draining, so no other begins."""
        if self._fetching.acquire(timeout=seconds):
            self._fetching.release()

    def close(self) -> None:
        """Wake a thread that waits for calls."""
        self._source.close()


def hand_back_ready(ready: Prefetched, host: LaneHost) -> bool:
    """Hand back what is not started; whether there was any."""
    waiting = ready.drain()
    for delivery in waiting:
        host.hand_back(delivery)
    return bool(waiting)
