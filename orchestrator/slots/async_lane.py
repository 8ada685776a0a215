"""Slots for async tasks: an event loop in a thread of its own, fed by another thread."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from brokers.contract import Delivery, Settlement
from brokers.redis.queue import QueueReader
from orchestrator import failpoints, lending
from orchestrator.drivers import cancelled_runs, run_attempt_async
from orchestrator.errors import BrokerError
from orchestrator.slots.delivered import Refusal, broken, handed_back, refused, settlement_for
from orchestrator.slots.running import RunningCall
from orchestrator.tracing import API as TRACES
from orchestrator.tracing import running as traced

if TYPE_CHECKING:
    from orchestrator.slots.slots import Slots

log = logging.getLogger("orchestrator.slots")
LARGEST_BATCH: Final = 128
BLOCKED_SECONDS: Final = 1.0


class AsyncLane:
    """The slots for async tasks.

    Args:
        slots: what it belongs to.
        reader: reads its routes; ``None`` when calls come through :meth:`work_off`.
        count: how many calls may run at once.
    """

    def __init__(self, slots: Slots, reader: QueueReader | None, count: int) -> None:
        self._slots = slots
        self._reader = reader
        self._count = count
        self._running = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._run_loop, name="async-slots", daemon=True)
        self._feeder = threading.Thread(target=self._feed, name="async-feeder", daemon=True)
        self._asked_at: float | None = None  # when the loop was asked to answer, and has not yet
        self._told = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: dict[str, threading.Semaphore] = {}  # ticket -> told when that call has ended

    def start(self) -> None:
        """Start the loop and its feeder."""
        self._loop_thread.start()
        if self._reader is not None:
            self._feeder.start()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        lending.here.is_shared_loop = True
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def work_off(self, deliveries: list[Delivery]) -> None:
        """Run these, beside what else runs; returns when they have ended. For a thread that received them."""
        ended = threading.Semaphore(0)
        together = [delivery for delivery in deliveries if not delivery.crashes and self._slots.may_start(delivery)]
        for delivery in together:
            self._ends[delivery.ticket] = ended
        for first in range(0, len(together), self._count):
            self._wait_for_room()
            self._hand_over(together[first : first + self._count])
        for _ in together:
            ended.acquire()
        for delivery in deliveries:
            if delivery.crashes:
                self._run_alone(delivery)

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running < self._count or self._slots.draining)

    # -- the feeder's thread -------------------------------------------------------------------------------------

    def _feed(self) -> None:
        pause = 0.05
        while not self._slots.draining:
            self._wait_for_room()
            try:
                self._fetch(min(self._count - self._running, LARGEST_BATCH))
                pause = 0.05
            except BrokerError as error:
                self._slots.connection_lost(error)
                self._slots.pause(pause)
                pause = min(pause * 2, 1.0)
            except Exception:  # without this thread no async call would ever be taken again
                log.exception("taking async calls failed once; it goes on, and claims are handed back")
                self._slots.pause(1.0)

    def _fetch(self, want: int) -> None:
        assert self._reader is not None
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
            fresh = [some for some in deliveries if some.deliveries == 1 and not some.crashes]
            self._hand_over([some for some in fresh if self._slots.may_start(some)])
            for delivery in deliveries:  # the store is asked about each: one that waits for that must stay known here
                if delivery.crashes:
                    self._run_alone(delivery)
                elif delivery.deliveries > 1 and self._slots.may_start(delivery):
                    self._hand_over([delivery])

    def _hand_over(self, deliveries: list[Delivery]) -> None:
        with self._changed:
            self._running += len(deliveries)
        self._loop.call_soon_threadsafe(self._begin, deliveries)

    def _run_alone(self, delivery: Delivery) -> None:
        """A call that has crashed a worker runs without neighbours: if it does so again, they are not charged."""
        if not self._wait_until_empty():
            self._slots.forget([delivery])
            self._slots.finished.add(handed_back(delivery))
            return
        if self._slots.may_start(delivery):  # asked only now: until then it is one of those that wait here
            self._hand_over([delivery])
            self._wait_until_empty()

    def _wait_until_empty(self) -> bool:
        """Whether nothing runs any more; False when the slots stop before."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0 or self._slots.draining)
            return not self._slots.draining

    # -- the attendant's thread ----------------------------------------------------------------------------------

    def look_at_loop(self, now: float) -> None:
        """Say so, once, when a coroutine does not let go of the loop, and where it is."""
        if self._asked_at is None:
            self._asked_at, self._told = now, False
            self._loop.call_soon_threadsafe(self._answer)
        elif now - self._asked_at > BLOCKED_SECONDS and not self._told:
            self._told = True
            log.warning(
                "a coroutine has been blocking the event loop for %.1f s, and every async call with it; it is at\n%s",
                now - self._asked_at,
                self._where_the_loop_is(),
            )

    def _answer(self) -> None:
        if self._told and self._asked_at is not None:
            log.warning("the event loop was blocked for %.1f s", time.monotonic() - self._asked_at)
        self._asked_at = None

    def _where_the_loop_is(self) -> str:
        frame = sys._current_frames().get(self._loop_thread.ident or 0)
        return "".join(traceback.format_stack(frame, limit=None)[-3:]).rstrip() if frame else "(unknown)"

    # -- on the loop ---------------------------------------------------------------------------------------------

    def _begin(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if failpoints.armed:
                failpoints.fail_at("before_start")
            call = RunningCall(delivery, self, self._slots.table.take_place())
            self._slots.running[delivery.ticket] = call
            self._slots.table.note(call.place, delivery.run_id)
            task = self._loop.create_task(self._run(delivery, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, delivery: Delivery, call: RunningCall) -> None:
        slots = self._slots
        try:
            settlement = await self._settlement(delivery, call)
        except asyncio.CancelledError:
            settlement = handed_back(delivery)  # the loop ends before the call did
        except BrokerError as error:
            log.warning("run %s could not be started: %s; handed back", delivery.run_id, error)
            settlement = handed_back(delivery)
        except Exception as error:
            settlement = broken(delivery, error, slots.fleet)
        finally:
            slots.table.clear(call.place)
            slots.table.free_place(call.place)
            cancelled_runs.discard(delivery.run_id)
        try:
            if failpoints.armed:
                failpoints.fail_at("after_user_code")
            slots.finished.add(settlement)
        finally:
            slots.running.pop(delivery.ticket, None)  # after it: who waits for running calls then sends their ends
            slots.attendant.send_soon()
            ended = self._ends.pop(delivery.ticket, None)
            if ended is not None:
                ended.release()
            with self._changed:
                self._running -= 1
                if self._running in (0, self._count - 1) or self._slots.draining:
                    self._changed.notify_all()

    async def _settlement(self, delivery: Delivery, call: RunningCall) -> Settlement:
        slots = self._slots
        if delivery.upstreams:
            attempt = await asyncio.to_thread(slots.unpacker.attempt, delivery)
        else:
            attempt = slots.unpacker.attempt(delivery)
        if isinstance(attempt, Refusal):
            return refused(delivery, attempt, slots.fleet)
        slots.note_deadline(call, attempt)
        current = asyncio.current_task()
        assert current is not None
        call.interrupt = lambda: self._cancel(delivery.run_id, current)
        if call.cancelled:
            self._cancel(delivery.run_id, current)
        slots.report("run.started", attempt, None, 0.0)
        run = run_attempt_async if TRACES not in sys.modules else traced.run_attempt_async
        verdict = await run(attempt)
        slots.report("run.ended", attempt, verdict, time.monotonic() - call.started)
        return settlement_for(delivery, attempt, verdict, slots.fleet)

    def _cancel(self, run_id: str, task: asyncio.Task[Any]) -> bool:
        cancelled_runs.add(run_id)
        self._loop.call_soon_threadsafe(task.cancel)
        return True

    # -- the end -------------------------------------------------------------------------------------------------

    def join(self, seconds: float) -> None:
        """Wait until the running calls have ended, at most so long."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._running and time.monotonic() < deadline:
                self._changed.wait(min(0.2, max(0.01, deadline - time.monotonic())))

    def end(self) -> None:
        """Stop the loop; calls that still run are cancelled and handed back."""
        if not self._loop_thread.is_alive():
            return

        async def cancel_all() -> None:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1.0) if tasks else None
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop)
        self._loop_thread.join(2.0)

    def wait_for_fetch(self, seconds: float) -> None:
        """Until no fetch is under way, at most so long; the slots are draining, so no other begins."""
        if self._feeder.is_alive():
            self._feeder.join(seconds)

    def close(self) -> None:
        """Wake the feeder."""
        if self._reader is not None:
            self._reader.close()
        with self._changed:
            self._changed.notify_all()
