"""Group commit: callers that send at the same moment share a round trip.

Whoever holds the turn sends everything that waits; the others find their parcel done when they get the turn. A single
thread thus sends in its own thread, without a hop, and sixty-four threads need a handful of trips.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from brokers.contract import Envelope
from brokers.errors import BrokerUnavailable, StoreFull

log = logging.getLogger("orchestrator.sender")
SOON_SECONDS: Final = 0.001
MOST_WAITING: Final = 2_000  # calls; above it the sending thread flushes by itself, so that memory stays bounded


class Parcel:
    """Some envelopes that are sent together, and what became of them."""

    __slots__ = ("done", "envelopes", "error", "notify", "run_ids")

    def __init__(self, envelopes: Sequence[Envelope], notify: Callable[[Parcel], None] | None) -> None:
        self.envelopes = envelopes
        self.notify = notify
        self.run_ids: list[str] = []
        self.error: BaseException | None = None
        self.done = False


class Sender:
    """Sends envelopes through ``submit`` (the broker's verb)."""

    def __init__(self, submit: Callable[[Sequence[Envelope]], list[str]]) -> None:
        self._submit = submit
        self._turn = threading.Lock()
        self._waiting: deque[Parcel] = deque()
        self._waiting_calls = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()

    def send(self, envelopes: Sequence[Envelope]) -> list[str]:
        """Send now; returns when the server has confirmed. Raises BrokerError; nothing is half-sent then."""
        parcel = Parcel(envelopes, None)
        self._waiting.append(parcel)
        self._flush_until(parcel)
        if parcel.error is not None:
            raise parcel.error
        return parcel.run_ids

    def send_soon(self, envelopes: Sequence[Envelope], notify: Callable[[Parcel], None]) -> None:
        """Send within about a millisecond; ``notify`` is called with the parcel afterwards, from any thread."""
        self._waiting.append(Parcel(envelopes, notify))
        self._waiting_calls += len(envelopes)
        if self._waiting_calls >= MOST_WAITING:
            self.flush()
        elif not self._wake.is_set():
            self._ensure_thread()
            self._wake.set()

    async def asend(self, envelopes: Sequence[Envelope]) -> list[str]:
        """Like :meth:`send`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def notify(parcel: Parcel) -> None:
            loop.call_soon_threadsafe(wake)

        parcel = Parcel(envelopes, notify)
        self._waiting.append(parcel)
        self._ensure_thread()
        self._wake.set()
        await done
        if parcel.error is not None:
            raise parcel.error
        return parcel.run_ids

    def flush(self) -> None:
        """Send everything that waits, now. Errors go to those who sent."""
        if self._waiting or self._turn.locked():
            with self._turn:
                self._send_waiting()

    def _flush_until(self, parcel: Parcel) -> None:
        while not parcel.done:
            with self._turn:
                if not parcel.done:
                    self._send_waiting()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            with self._thread_lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self.flush()

    def _send_waiting(self) -> None:
        # holds the turn
        parcels: list[Parcel] = []
        while self._waiting:
            parcels.append(self._waiting.popleft())
        self._waiting_calls = 0
        if not parcels:
            return
        try:
            self._try(parcels)
        except BaseException:
            self._leave_to_others(parcels)
            raise
        for parcel in parcels:
            parcel.done = True
        for parcel in parcels:
            _tell(parcel)

    def _try(self, parcels: Sequence[Parcel]) -> None:
        try:
            self._send(parcels)
        except TimeoutError:  # not ours (those are BrokerErrors): the time of the task that sends is over
            raise
        except Exception as error:
            if len(parcels) > 1 and not isinstance(error, (StoreFull, BrokerUnavailable)):
                self._send_each(parcels)  # one of them is at fault; the others must not suffer
            else:
                for parcel in parcels:
                    parcel.error = error

    def _leave_to_others(self, parcels: Sequence[Parcel]) -> None:
        """This thread is being interrupted (cancelled, timed out, Ctrl-C); to send twice is harmless."""
        self._waiting.extendleft(reversed(parcels))
        self._ensure_thread()
        self._wake.set()

    def _send(self, parcels: Sequence[Parcel]) -> None:
        if len(parcels) == 1:
            parcels[0].run_ids = self._submit(parcels[0].envelopes)
            return
        envelopes: list[Any] = []
        for parcel in parcels:
            envelopes.extend(parcel.envelopes)
        run_ids = self._submit(envelopes)
        at = 0
        for parcel in parcels:
            parcel.run_ids = run_ids[at : at + len(parcel.envelopes)]
            at += len(parcel.envelopes)

    def _send_each(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            try:
                self._send([parcel])
            except Exception as error:
                parcel.error = error


def _tell(parcel: Parcel) -> None:
    if parcel.notify is None:
        return
    try:
        parcel.notify(parcel)
    except RuntimeError as error:  # the event loop of whoever sent it is closed: the call is sent, nobody asks any more
        log.debug("nobody waits for %d sent calls any more: %s", len(parcel.envelopes), error)
    except Exception:
        log.exception("whoever sent %d calls could not be told", len(parcel.envelopes))
