"""Looks after calls that take long, in one thread per process; asleep while nothing runs.

1. Sends outcomes that a slot's thread is too busy to send.
2. Notes calls that run longer than a blink as Running.
3. Hands back calls that wait behind a long one, so that another worker's free slot gets them.
4. Compares what the server holds for this consumer with what is known here: a claim whose reply was lost is
   handed back.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from brokers.contract import Ending, Settlement
from orchestrator.errors import BrokerError

if TYPE_CHECKING:
    from orchestrator.slots.slots import Slots

log = logging.getLogger("orchestrator.slots")
TICK_SECONDS: Final = 0.01
NOTE_AFTER_SECONDS: Final = 0.05
HAND_BACK_AFTER_SECONDS: Final = 0.05
IDLE_TICKS: Final = 25


class Attendant:
    """The thread. ``start`` and ``stop`` may each be called twice."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="attendant", daemon=True)
        self._suspects: set[str] = set()
        self._next_check = time.monotonic() + self._check_seconds

    @property
    def _check_seconds(self) -> float:
        return max(0.2, self._slots.fleet.settings.lease_seconds / 4)

    def start(self) -> None:
        if not self._thread.is_alive() and not self._stopping:
            self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(3.0)

    def wake(self) -> None:
        """There is something to look after."""
        if not self._wake.is_set():
            self._wake.set()

    def send_soon(self) -> None:
        """An outcome waits that no slot's thread will send."""
        self.wake()

    def _run(self) -> None:
        idle = 0
        while not self._stopping:
            idle = 0 if self._busy() else idle + 1
            asleep = max(0.01, self._next_check - time.monotonic()) if idle > IDLE_TICKS else TICK_SECONDS
            self._wake.wait(asleep)
            self._wake.clear()
            try:
                self.look_once()
            except BrokerError as error:
                self._slots.connection_lost(error)
                self._slots.pause(0.2)
            except Exception:
                log.exception("the attendant failed once; it goes on")

    def _busy(self) -> bool:
        return bool(self._slots.running) or len(self._slots.finished) > 0

    def look_once(self) -> None:
        """One round."""
        slots = self._slots
        if slots.async_lane is not None or slots.finished.overdue:
            slots.flush_finished()
        now = time.monotonic()
        if slots.async_lane is not None and slots.running:
            slots.async_lane.look_at_loop(now)
        self._note_started(now)
        self._hand_back_waiting(now)
        if now >= self._next_check:
            self._next_check = now + self._check_seconds
            self._reconcile()

    def _note_started(self, now: float) -> None:
        calls = [
            call
            for call in list(self._slots.running.values())
            if not call.noted and now - call.started > NOTE_AFTER_SECONDS
        ]
        if not calls:
            return
        stop = self._slots.fleet.broker.started([(call.delivery.ticket, call.delivery.run_id) for call in calls])
        for call in calls:
            call.noted = True
        for run_id in stop:
            # By call: after this process was frozen a run may be here twice, and only the older delivery is stale.
            min((call for call in calls if call.delivery.run_id == run_id), key=lambda call: call.started).stop()

    def _hand_back_waiting(self, now: float) -> None:
        slots = self._slots
        stuck = [
            lane for lane in slots.sync_lanes() if lane.waiting and now - lane.last_start > HAND_BACK_AFTER_SECONDS
        ]
        if [lane for lane in stuck if slots.hand_back_waiting(lane)]:
            slots.flush_finished()

    def _reconcile(self) -> None:
        """Claims that the server knows and we do not, twice in a row, were lost on their way to us."""
        slots = self._slots
        held = slots.fleet.broker.pending(slots.consumer, slots.routes)
        slots.heard_at = time.monotonic()
        known = slots.known_tickets()
        unknown = {ticket for ticket in held if ticket not in known}
        lost = unknown & self._suspects
        self._suspects = unknown - lost
        if not lost:
            return
        slots.given_up |= lost
        log.warning("%d claims were lost on their way here and are handed back", len(lost))
        settlements = [Settlement(ticket, held[ticket], Ending.HAND_BACK, b"", 0) for ticket in lost]
        slots.fleet.broker.complete(slots.consumer, settlements)
