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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from brokers.threads import unending
from orchestrator.errors import BrokerError
from orchestrator.slots.attention import Attention

if TYPE_CHECKING:
    from orchestrator.slots.lane_host import MonitorHost, WatchedLane

log = logging.getLogger("orchestrator.slots")
TICK_SECONDS: Final = 0.01
NOTE_AFTER_SECONDS: Final = 0.05
IDLE_TICKS: Final = 25
LEAST_CHECK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.2


class SlotMonitor:
    """The thread. ``start`` and ``stop`` may each be called twice.

    Args:
        host: the calls of this process.
        attention: of whoever has something to look after, or to send.
        lanes: those that there are; asked at each look.
        check_seconds: between two comparisons with what the server holds.
    """

    def __init__(
        self,
        host: MonitorHost,
        attention: Attention,
        lanes: Callable[[], Sequence[WatchedLane]],
        check_seconds: float,
    ) -> None:
        self._host, self._attention, self._lanes = host, attention, lanes
        self._check_seconds = max(LEAST_CHECK_SECONDS, check_seconds)
        self._stopping = False
        self._idle = 0  # looks in a row that found nothing
        self._thread = threading.Thread(target=unending(self._run), name="slot-monitor", daemon=True)
        self._suspects: set[str] = set()
        self._next_check = time.monotonic() + self._check_seconds

    def start(self) -> None:
        if not self._thread.is_alive() and not self._stopping:
            self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._attention.ask()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(3.0)

    def _run(self) -> None:
        while not self._stopping:
            self._attention.wait(self._seconds_to_sleep())
            try:
                self.look_once(time.monotonic())
            except BrokerError as error:
                self._host.connection_lost(error)
                self._host.pause(RETRY_SECONDS)
            except Exception:
                log.exception("the slot monitor failed once; it goes on")

    def _seconds_to_sleep(self) -> float:
        self._idle = 0 if self._busy() else self._idle + 1
        if self._idle > IDLE_TICKS:
            self._attention.note(awake=False)
            if not self._host.known_tickets():
                return max(0.01, self._next_check - time.monotonic())
            self._idle = 0  # a call came just before that, and woke nobody
        self._attention.note(awake=True)
        return TICK_SECONDS

    def _busy(self) -> bool:
        return bool(self._host.running) or len(self._host.acks) > 0

    def look_once(self, now: float) -> None:
        """One round. Raises BrokerError; what was to be done is done in the next one."""
        lanes = self._lanes()
        if self._host.acks.overdue or not all(lane.sends_acks for lane in lanes):
            self._host.flush_acks()
        self._note_started(now)
        if [lane for lane in lanes if lane.look(now)]:
            self._host.flush_acks()
        if now >= self._next_check:
            self._next_check = now + self._check_seconds
            self.reconcile()

    def _note_started(self, now: float) -> None:
        calls = [
            call
            for call in list(self._host.running.values())
            if not call.noted and now - call.started > NOTE_AFTER_SECONDS
        ]
        if not calls:
            return
        stop = self._host.note_running(calls)
        for call in calls:
            call.noted = True
        for run_id in stop:
            # By call: after this process was frozen a run may be here twice, and only the older delivery is stale.
            min((call for call in calls if call.delivery.run_id == run_id), key=lambda call: call.started).stop()

    def reconcile(self) -> None:
        """Claims that the server knows and we do not, twice in a row, were lost on their way to us."""
        held = self._host.held_by_server()  # first: what is fetched in between is known, and not held
        unknown = held.keys() - self._host.known_tickets()
        lost = unknown & self._suspects
        self._suspects = unknown - lost
        if lost:
            self._host.give_up({ticket: held[ticket] for ticket in lost})
