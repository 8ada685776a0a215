"""Group commit: callers that send at the same moment share a round trip.

Whoever finds the turn free sends everything that waits; each of the others waits at a gate of its own until its parcel
is done, or it is its turn to send. A single thread thus sends in its own thread, without a hop, and sixty-four threads
need a handful of trips, in which their calls go as blocks (``grouping.py``). Nobody waits longer than a call may take,
and nobody keeps the turn while waiting for something else than the server.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

from brokers.deadline import deadline, within
from brokers.errors import BrokerUnavailable, QueueFull
from brokers.loop_waiters import LoopsOfThreads, LoopWaiters
from brokers.messages import Envelope
from brokers.owned_lock import OwnedLock
from brokers.parcel import (
    NOBODY_WAITS,
    OTHERS_SEND,
    WITHIN_SENDING,
    Parcel,
    Rebind,
    have_upstreams,
    notify_sender,
    open_gate,
    parcel_of_thread,
    take_from,
)
from brokers.patience import PatientParcels
from brokers.threads import AutoResetEvent, is_interruption, unending
from brokers.trips import Trips

log = logging.getLogger("orchestrator.sender")
LARGE_CALLS: Final = 500  # more than one script takes: they are sent beside the others, not before them
LOOK_FOR_ROOM_SECONDS: Final = 0.05
SOMEBODY_WAITS: Final = 0.0
MAX_WAITING: Final = 2_000  # calls; above it the sending thread flushes by itself, so that memory stays bounded


class Sender:
    """Sends envelopes through ``submit`` (the broker's verb).

    Args:
        submit: sends, in the thread that has the turn.
        seconds: how long a caller waits at most, for the server and for others that send.
        wait_for_room_seconds: how long a call to a full queue is tried again. It waits outside the turn: others go on.
        new_block: makes the first characters of ids of a block; ``None``: the broker keeps no blocks.

    Attributes:
        seconds: as given.
        trips: how many times what waits has been taken to be sent.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[Envelope]], Sequence[str]],
        *,
        seconds: float = 60.0,
        wait_for_room_seconds: float = 0.0,
        new_block: Callable[[], str] | None = None,
    ) -> None:
        self.trips = 0
        self._submit = submit
        self._trips = Trips(submit, new_block)
        self._loops = LoopsOfThreads(LoopWaiters)
        self.seconds = seconds
        self._room_seconds = wait_for_room_seconds
        self._turn = OwnedLock()
        self._waiting: deque[Parcel] = deque()
        self._waiting_calls = 0
        self._large_turn = OwnedLock()  # a large map takes seconds, in which others send
        self._is_sending_large = False
        self._large: deque[Parcel] = deque()
        self._patient = PatientParcels()
        self._wake = AutoResetEvent()  # of the thread; each has one of its own
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()

    def send(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> Sequence[str]:
        """Send now; returns when the server has confirmed.

        Args:
            envelopes: what is sent.
            rebind: the only call may get another run id, which is returned; this gives its body then.

        Raises:
            BrokerError: its run ids say which of the calls are queued all the same, and which may be.
        """
        room_until = time.monotonic() + self._room_seconds if self._room_seconds else 0.0
        while True:
            try:
                large = len(envelopes) > LARGE_CALLS or self._large or self._is_sending_large
                if large or self._waiting or self._turn.is_mine():
                    return self._send_with_others(envelopes, rebind)
                try:  # nobody else sends: the hottest path, which needs no parcel, and has the whole time
                    if self._turn.acquire(False):
                        return self._submit(envelopes)
                except BaseException as error:
                    if is_interruption(error):
                        self._leave_to_others([Parcel(envelopes, None, SOMEBODY_WAITS)])
                    raise
                finally:
                    try:
                        self._turn.release()
                    except RuntimeError:  # another thread has it
                        pass
                    else:
                        if self._waiting:
                            self._hand_on_turn()
                return self._send_with_others(envelopes, rebind)
            except QueueFull:
                if time.monotonic() >= room_until:
                    raise
            time.sleep(LOOK_FOR_ROOM_SECONDS)

    def _send_with_others(self, envelopes: Sequence[Envelope], rebind: Rebind | None) -> Sequence[str]:
        """Send in a trip that others share; a large map in trips of its own, beside those of others."""
        parcel = parcel_of_thread(envelopes, SOMEBODY_WAITS, rebind)
        if self._follows_large(envelopes):
            self._large.append(parcel)
            self.flush()
        elif len(envelopes) > LARGE_CALLS:
            self._send_from(deque([parcel]), None)  # beside what others send
        elif self._turn.is_mine():
            raise BrokerUnavailable(WITHIN_SENDING)
        else:
            self._waiting.append(parcel)
            self._send_or_wait(parcel)
        if parcel.error is not None:
            raise parcel.error
        return parcel.run_ids

    def send_buffered(self, envelopes: Sequence[Envelope], notify: Callable[[Parcel], None]) -> None:
        """Send within about a millisecond; ``notify`` is called with the parcel afterwards, from any thread."""
        room_until = time.monotonic() + self._room_seconds if self._room_seconds else 0.0
        self._queue_of(envelopes).append(Parcel(envelopes, notify, room_until=room_until))
        self._waiting_calls += len(envelopes)
        if self._waiting_calls >= MAX_WAITING:
            self.flush()
        else:
            self._wake_thread()

    def _queue_of(self, envelopes: Sequence[Envelope]) -> deque[Parcel]:
        return self._large if len(envelopes) > LARGE_CALLS or self._follows_large(envelopes) else self._waiting

    def _follows_large(self, envelopes: Sequence[Envelope]) -> bool:
        """Whether these must not overtake a large map: the store knows none of their upstreams before it is sent."""
        return (bool(self._large) or self._is_sending_large) and have_upstreams(envelopes)

    def begin(self, parcel: Parcel) -> None:
        """Have the sender's thread send a parcel that an event loop expects."""
        (self._large if self._follows_large(parcel.envelopes) else self._waiting).append(parcel)
        self._wake_thread()

    async def asend(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> Sequence[str]:
        """Like :meth:`send`, without blocking the event loop."""
        room_until = time.monotonic() + self._room_seconds if self._room_seconds else 0.0
        while True:
            parcel = Parcel(envelopes, None, time.monotonic() + self.seconds, room_until, rebind)
            here = self._loops.here()
            sent = here.loop.create_future()
            here.expect(parcel, sent)
            self.begin(parcel)
            await sent
            if not parcel.done:
                self.give_up(parcel)
            if parcel.error is None:
                return parcel.run_ids
            if not parcel.is_refused_for_now:
                raise parcel.error
            await asyncio.sleep(LOOK_FOR_ROOM_SECONDS)

    def flush(self, until: float | None = None, wait_for_room: bool = False) -> None:
        """Send everything that waits, now. Errors go to those who sent.

        Args:
            until: the moment (``time.monotonic()``) at which others that send are not waited for any longer.
            wait_for_room: also for those whose queue is full, as long as they have patience.

        Raises:
            BrokerUnavailable: others are still sending.
        """
        others = -1 if until is None else max(0.0, until - time.monotonic())
        if not self._turn.run(partial(self._send_waiting, until), others, self._hand_on_turn):
            raise BrokerUnavailable(WITHIN_SENDING if self._turn.is_mine() else OTHERS_SEND)
        if (self._large or self._is_sending_large) and not self._large_turn.run(self._send_large, others):
            raise BrokerUnavailable(WITHIN_SENDING if self._large_turn.is_mine() else OTHERS_SEND)
        while wait_for_room and self._patient:
            time.sleep(LOOK_FOR_ROOM_SECONDS)
            self._ask_for_room()
            self.flush(until)

    def close(self) -> None:
        """End the thread that sends for others; a later call starts another one. What waits: see :meth:`flush`."""
        with self._thread_lock:
            thread, self._thread, wake = self._thread, None, self._wake
        if thread is not None:
            wake.set()

    def _send_or_wait(self, parcel: Parcel) -> None:
        """Send all that waits, this parcel among it, or have it sent by whoever has the turn."""
        assert parcel.gate is not None
        until: float | None = None  # the usual way: nobody else sends, and the trip has the whole time
        try:
            while not parcel.done:
                if self._turn.run(partial(self._send_waiting, until, parcel), 0, self._hand_on_turn):
                    continue
                until = until or within(self.seconds)
                if not parcel.gate.acquire(timeout=max(0.0, until - time.monotonic())) and not parcel.done:
                    self.give_up(parcel)
        except BaseException:  # it was interrupted, and may have been the one who was to send for others
            self._wake_thread()
            raise

    def _hand_on_turn(self) -> None:
        """Have one of those look who came while the turn was taken."""
        try:
            parcel = self._waiting[0]
        except IndexError:
            return
        if parcel.gate is not None:
            open_gate(parcel)
        else:
            self._wake_thread()

    def give_up(self, parcel: Parcel) -> None:
        """Its time is over while others have the turn; they may be sending it just now."""
        error = BrokerUnavailable("the server does not answer: others of this process wait for it too.")
        try:
            self._waiting.remove(parcel)
        except ValueError:
            if parcel.done:
                return
            error.args = (f"{error} The call may have been sent.",)
            error.reply_lost = True
            with self._trips.naming:  # from here on it gets no other id
                parcel.done = True
                error.doubtful_run_ids = tuple(parcel.run_ids) or parcel.given_ids
        else:
            error.args = (f"{error} Nothing was sent; try again.",)
        parcel.error, parcel.done = error, True
        self._hand_on_turn()

    def _wake_thread(self) -> None:
        if self._thread is None:
            with self._thread_lock:
                if self._thread is None:
                    wake = self._wake = AutoResetEvent()
                    self._thread = threading.Thread(
                        target=unending(lambda: self._run(wake)), name="sender", daemon=True
                    )
                    self._thread.start()
        self._wake.set()

    def _run(self, wake: AutoResetEvent) -> None:
        this_thread = threading.current_thread()
        while True:
            wake.wait(LOOK_FOR_ROOM_SECONDS if self._patient.some_rest else None)
            try:
                self._ask_for_room()
                self.flush()
            except Exception:  # the calls carry their own errors; this thread must go on
                log.exception("sending failed in a way that nobody has thought of")
            if self._thread is not this_thread and not wake.is_set:  # closed, and nobody relies on it
                return

    def _ask_for_room(self) -> None:
        for parcel in self._patient.take():
            self._queue_of(parcel.envelopes).append(parcel)

    def _send_waiting(self, until: float | None, parcel: Parcel | None = None) -> None:
        # holds the turn; nothing is left to be done for a parcel that others have sent
        if self._waiting and (parcel is None or not parcel.done):
            self.trips += 1
            self._waiting_calls = 0
            self._send_from(self._waiting, until)

    def _send_large(self) -> None:
        # holds the turn of the large ones; each slice has its own time
        self._waiting_calls, self._is_sending_large = 0, True
        try:
            while self._large:
                self._send_from(self._large, None, most=1)
        finally:
            self._is_sending_large = False

    def _send_from(self, queue: deque[Parcel], until: float | None, most: int = sys.maxsize) -> None:
        parcels: list[Parcel] = []
        is_made = False
        try:
            take_from(queue, parcels, most)
            with nullcontext() if until is None else deadline(until):
                self._trips.make(parcels)
            is_made = True
            self._notify(parcels)
        except BaseException:
            if is_made:
                self._notify(parcels)  # for some it may be the second time
            else:
                self._leave_to_others(parcels)
            raise

    def _notify(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            parcel.done = True
        for parcel in parcels:
            if parcel.until == NOBODY_WAITS and parcel.is_refused_for_now:
                self._patient.add(parcel)
                self._wake_thread()
            else:
                notify_sender(parcel)
                self._patient.discard(parcel)

    def _leave_to_others(self, parcels: Sequence[Parcel]) -> None:
        """This thread is being interrupted (cancelled, timed out, Ctrl-C); to send again is harmless."""
        for parcel in reversed(parcels):
            queue = self._queue_of(parcel.envelopes)
            if not parcel.done and parcel not in queue:  # its sender knows already that it may have been sent
                queue.appendleft(parcel)
        self._wake_thread()
