"""Slots for sync tasks: threads that loop over fetched batches, without a hop per call.

A thread runs user code only while it holds a permit, and there are as many permits as slots. A task that waits for
other runs gives its permit up (``lend``) and another thread goes on; when its wait is over it is the first to get one.
Threads without calls hold no permit, so nobody waits for an idle one.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from brokers.contract import Delivery
from brokers.redis.queue import QueueReader
from orchestrator import failpoints, lending
from orchestrator.drivers import run_attempt
from orchestrator.errors import BrokerError
from orchestrator.interrupt import CancelRun, Interruptible
from orchestrator.slots.delivered import Refusal, broken, handed_back, refused, settlement_for
from orchestrator.slots.running import RunningCall
from orchestrator.states import Cancelled
from orchestrator.tracing import API as TRACES
from orchestrator.tracing import running as traced

if TYPE_CHECKING:
    from orchestrator.slots.slots import Slots

log = logging.getLogger("orchestrator.slots")
BATCH_SECONDS: Final = 0.03  # fetch about as much as keeps a slot busy for so long
LARGEST_BATCH: Final = 128


class Permits:
    """As many as there are slots; those who come back from a wait go first."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._returning = 0
        self._changed = threading.Condition()

    @property
    def wanted_back(self) -> bool:
        """Whether someone who lent theirs waits for one."""
        return self._returning > 0

    def take(self) -> None:
        with self._changed:
            while self._free <= 0 or self._returning:
                self._changed.wait()
            self._free -= 1

    def take_back(self) -> None:
        with self._changed:
            self._returning += 1
            while self._free <= 0:
                self._changed.wait()
            self._returning -= 1
            self._free -= 1

    def give(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()


class SyncLane:
    """The slots for sync tasks.

    Args:
        slots: what it belongs to.
        reader: reads its routes.
        count: how many calls may run at once.
    """

    def __init__(self, slots: Slots, reader: QueueReader, count: int) -> None:
        self._slots = slots
        self._reader = reader
        self._count = count
        self._ready: deque[Delivery] = deque()
        self._permits = Permits(count)
        self._fetching = threading.Lock()
        self._average_seconds = 0.001
        self._threads: list[threading.Thread] = []
        self._lent = 0
        self._looping = 0  # threads in the loop, those that lend included
        self._count_lock = threading.Lock()
        self._pause_seconds = 0.05
        self.last_start = time.monotonic()

    def start(self, own_thread: bool) -> None:
        """Start the threads; with ``own_thread`` one less, because the caller runs :meth:`loop` itself."""
        for _ in range(self._count - (1 if own_thread else 0)):
            self._add_thread()

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self.loop, name=f"slot-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the threads have ended, at most so long."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # -- the loop of a slot's thread -----------------------------------------------------------------------------

    def loop(self, for_ever: bool = False) -> None:
        """Take calls and run them until the slots stop, or this thread is not needed any more (unless ``for_ever``)."""
        with self._count_lock:
            self._looping += 1
        place = self._slots.table.take_place()
        try:
            self._permits.take()
            while True:
                delivery = self._next(for_ever)
                if delivery is None:
                    break
                if self._permits.wanted_back:
                    self._permits.give()
                    self._permits.take()
                self._try_to_run(delivery, place, for_ever)
        finally:
            self._slots.table.free_place(place)
            with self._count_lock:
                self._looping -= 1

    def _next(self, for_ever: bool) -> Delivery | None:
        """The next call; ``None`` (and no permit) when this thread is to end. Holds a permit otherwise."""
        while True:
            try:
                if not self._slots.draining:
                    return self._ready.popleft()
            except IndexError:
                pass
            self._permits.give()
            if self._slots.draining or (not for_ever and self._is_surplus()):
                return None
            self._refill()
            self._permits.take()

    def _is_surplus(self) -> bool:
        """Whether this thread took the place of one that waited, and is not needed any more."""
        with self._count_lock:
            return self._looping - self._lent > self._count

    def _refill(self) -> None:
        """Send what has finished and take new calls, in one round trip; wait if there are none."""
        if not self._fetching.acquire(blocking=False):
            self._slots.send_finished()  # the other thread may wait for long
            self._fetching.acquire()
        try:
            if not self._ready and not self._slots.draining:
                self._fetch()
                self._pause_seconds = 0.05
        except BrokerError as error:
            self._slots.connection_lost(error)
            self._slots.pause(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * 2, 1.0)
        finally:
            self._fetching.release()

    def _fetch(self) -> None:
        want = self._want()
        settle = self._slots.take_finished()
        try:
            if failpoints.armed and settle:
                failpoints.fail_at("before_flush")
            deliveries, too_late = self._reader.take(want, settle)
        except BaseException:
            self._slots.finished.put_back(settle)
            raise
        self._slots.finished.sent(settle, too_late)
        if not deliveries and not self._slots.draining:
            deliveries = self._reader.wait(want)
        if deliveries:
            self._slots.fetched(deliveries)
            self._ready.extend(deliveries)

    def _want(self) -> int:
        per_slot = min(LARGEST_BATCH, max(1, int(BATCH_SECONDS / self._average_seconds)))
        return per_slot * self._count if per_slot > 1 else max(1, self._count - self._busy() + 1)

    def _busy(self) -> int:
        return min(self._count, sum(call.lane is self for call in list(self._slots.running.values())) + 1)

    # -- one call ------------------------------------------------------------------------------------------------

    def _try_to_run(self, delivery: Delivery, place: int, for_ever: bool) -> None:
        try:
            self._run(delivery, place)
        except Exception:  # not the task's: ours
            if for_ever:
                raise  # the process ends and is replaced; its calls are taken over
            log.exception("a slot failed on run %s; the call is handed back soon", delivery.run_id)

    def _run(self, delivery: Delivery, place: int) -> None:
        slots = self._slots
        if not slots.may_start(delivery):
            return
        if failpoints.armed:
            failpoints.fail_at("before_start")
        call = RunningCall(delivery, self, place)
        self.last_start = call.started
        slots.running[delivery.ticket] = call
        slots.table.note(place, delivery.run_id)
        try:
            settlement = self._settlement(delivery, call)
        except BrokerError as error:  # upstream results could not be read
            log.warning("run %s could not be started: %s; handed back", delivery.run_id, error)
            settlement = handed_back(delivery)
        except Exception as error:
            settlement = broken(delivery, error, slots.fleet)
        except BaseException:
            slots.running.pop(delivery.ticket, None)
            raise
        finally:
            slots.table.clear(place)
        seconds = time.monotonic() - call.started
        self._average_seconds += 0.1 * (seconds - self._average_seconds)
        try:
            if failpoints.armed:
                failpoints.fail_at("after_user_code")
            full = slots.finished.add(settlement)
        finally:
            slots.running.pop(delivery.ticket, None)  # after it: who waits for running calls then sends their ends
        if full:
            slots.send_finished()

    def _settlement(self, delivery: Delivery, call: RunningCall) -> Any:
        slots = self._slots
        attempt = slots.unpacker.attempt(delivery)
        if isinstance(attempt, Refusal):
            return refused(delivery, attempt, slots.fleet)
        slots.note_deadline(call, attempt)
        lending.here.slot = self
        slots.report("run.started", attempt, None, 0.0)
        try:
            with Interruptible() as block:
                call.interrupt = lambda: block.raise_in(CancelRun())
                if call.cancelled:
                    raise CancelRun()
                verdict = run_attempt(attempt) if TRACES not in sys.modules else traced.run_attempt(attempt)
        except CancelRun as cancel:
            verdict = Cancelled(message=str(cancel), data=cancel.as_error())
        finally:
            call.interrupt = None
            lending.here.slot = None
        slots.report("run.ended", attempt, verdict, time.monotonic() - call.started)
        return settlement_for(delivery, attempt, verdict, slots.fleet)

    # -- lending (called by the running task's own thread) -------------------------------------------------------

    def lend(self) -> None:
        """The running task waits: another thread may go on."""
        with self._count_lock:
            self._lent += 1
            short = self._looping - self._lent < self._count and not self._slots.draining
        self._permits.give()
        if short:
            self._add_thread()

    def take_back(self) -> None:
        """The wait is over: go on as soon as a slot is free, before new calls."""
        self._permits.take_back()
        with self._count_lock:
            self._lent -= 1

    # -- what the attendant asks ---------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Calls that are fetched and not started."""
        return len(self._ready)

    def give_up_waiting(self) -> list[Delivery]:
        """Take the calls that are not started out of the lane, to be handed back."""
        taken: list[Delivery] = []
        while True:
            try:
                taken.append(self._ready.popleft())
            except IndexError:
                return taken

    def drop(self, should_drop: Callable[[Delivery], bool]) -> list[Delivery]:
        """Take some calls that are not started out of the lane."""
        dropped = [delivery for delivery in list(self._ready) if should_drop(delivery)]
        for delivery in dropped:
            with suppress(ValueError):  # it was started meanwhile
                self._ready.remove(delivery)
        return dropped

    def wait_for_fetch(self, seconds: float) -> None:
        """Until no fetch is under way, at most so long; the slots are draining, so no other begins."""
        if self._fetching.acquire(timeout=seconds):
            self._fetching.release()

    def close(self) -> None:
        """Wake a thread that waits for calls."""
        self._reader.close()
