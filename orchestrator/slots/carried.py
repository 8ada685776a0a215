"""Slots of a process whose calls come in messages: somebody else's worker (Celery's) receives, we claim, run, complete.

Each message is worked off in the thread that received it. What waits in it behind a long call is handed back, as in
``sync_lane``; while its thread waits (for other runs, or for async calls on the event loop) it lends its place, and the
process may take further messages by itself through ``hands``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from brokers.celery.broker import CarriedBroker
from brokers.contract import ASYNC_LANE, SYNC_LANE, Delivery
from brokers.redis.keys import routes_of
from orchestrator import failpoints
from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet
from orchestrator.slots.async_lane import AsyncLane
from orchestrator.slots.slots import Slots, SlotsOptions, SlotTable
from orchestrator.slots.sync_lane import Permits, SyncLane

log = logging.getLogger("orchestrator.slots")
LONGEST_PAUSE_SECONDS: Final = 1.0
TELL_SPEED_SECONDS: Final = 1.0


class Stopping(Exception):
    """The process ends before the message could be taken: the broker may give it to another."""


class MessageLane(SyncLane):
    """The calls of one message, run by the thread that received it."""

    def __init__(self, slots: CarriedSlots, permits: Permits) -> None:
        # nothing of a lane that fetches by itself is used: no reader, no threads
        self._slots: CarriedSlots = slots
        self._permits = permits
        self._ready: deque[Delivery] = deque()
        self._average_seconds = 0.001
        self.last_start = time.monotonic()

    def work_off(self, deliveries: Sequence[Delivery]) -> None:
        """Run these; returns when none is left here."""
        self._ready.extend(deliveries)
        place = self._slots.table.take_place()
        self._permits.take()
        self.last_start = time.monotonic()
        try:
            while self._ready and not self._slots.draining:
                with suppress(IndexError):  # handed back this moment
                    delivery = self._ready.popleft()
                    self._try_to_run(delivery, place, for_ever=False)
                if self._permits.wanted_back:
                    self._permits.give()
                    self._permits.take()
        finally:
            self._permits.give()
            self._slots.table.free_place(place)

    def lend(self) -> None:
        """The running task waits: other messages may be taken meanwhile."""
        self._slots.note_lent(1)
        self._permits.give()

    def take_back(self) -> None:
        """The wait is over."""
        self._slots.note_lent(-1)
        self._permits.take_back()


class CarriedSlots(Slots):
    """Claim, run, complete what messages name.

    Args:
        fleet: where the calls are kept; its broker is one whose calls are carried.
        options: ``threads`` is how many sync calls may run at once in this process, ``async_concurrency`` how many
            async ones; ``queues`` are those that the process reads.
        table: where the running calls are written down.
        allow_more: told how many messages more than usual the process may take, whenever that changes.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        table: SlotTable | None = None,
        allow_more: Callable[[int], None] = lambda count: None,
    ) -> None:
        assert isinstance(fleet.broker, CarriedBroker)
        super().__init__(fleet, options, table)
        self.carrier = fleet.broker
        self._permits = Permits(options.threads)
        self._lanes: tuple[MessageLane, ...] = ()
        self._lanes_lock = threading.Lock()
        self._lent = 0
        self._allow_more = allow_more
        self._seconds: dict[str, tuple[float, float]] = {}  # task -> average, when it was told

    def start(self, own_thread: bool = True) -> None:
        """Be ready for messages. Raises BrokerError: the server does not answer."""
        self.fleet.broker.beat([self.consumer], self.fleet.settings.lease_seconds)  # alive before the first claim
        self._inbox.start()
        self.attendant.start()

    def sync_lanes(self) -> list[SyncLane]:
        return list(self._lanes)

    def run_message(self, calls: Sequence[tuple[str, str]]) -> None:
        """Run the calls (run id, ticket) of a message that still wait for it; returns when none is left here.

        Raises:
            Stopping: the process ends, and nothing of the message was taken.
        """
        self._know_routes(calls)
        deliveries = self._claim(calls)
        self.fetched(deliveries)
        by_lane: dict[bool, list[Delivery]] = {False: [], True: []}
        for delivery in deliveries:
            by_lane[delivery.ticket.split(" ", 1)[0].endswith(ASYNC_LANE)].append(delivery)
        begun = time.monotonic()
        if by_lane[True]:
            self._run_async(by_lane[True])
        if by_lane[False]:
            self._run_sync(by_lane[False])
        spent = time.monotonic() - begun
        self.send_finished()
        if deliveries:
            self._note_seconds(deliveries[0].task, spent / len(deliveries))

    def _know_routes(self, calls: Sequence[tuple[str, str]]) -> None:
        """Claims are compared with the store's on these; a message may come from a queue that was added later."""
        for _, ticket in calls:
            queue = ticket[1:].rpartition(":")[0]
            if f"{queue}:d{SYNC_LANE}" not in self.routes:
                self.routes += routes_of([queue], SYNC_LANE) + routes_of([queue], ASYNC_LANE)

    def _claim(self, calls: Sequence[tuple[str, str]]) -> list[Delivery]:
        """Tries until the store answers: the message must not be lost, and nothing else could be done meanwhile."""
        pause = 0.05
        while not self.draining:
            settle = self.take_finished_or_none()
            try:
                if failpoints.armed and settle:
                    failpoints.fail_at("before_flush")
                deliveries, too_late = self.carrier.claim(self.consumer, calls, settle)
            except BrokerError as error:
                self.finished.put_back(settle)
                self.connection_lost(error)
                self.pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            except BaseException:
                self.finished.put_back(settle)
                raise
            self.finished.sent(settle, too_late)
            return deliveries
        raise Stopping

    def take_finished_or_none(self) -> list:  # type: ignore[type-arg]
        """Outcomes to be sent on the way; none while their log lines cannot be stored."""
        try:
            return self.take_finished()
        except BrokerError:
            return []

    def _run_sync(self, deliveries: list[Delivery]) -> None:
        lane = MessageLane(self, self._permits)
        with self._lanes_lock:
            self._lanes = (*self._lanes, lane)
        try:
            lane.work_off(deliveries)
        finally:
            if self.hand_back_waiting(lane):  # the process ends
                self.send_finished()
            with self._lanes_lock:
                self._lanes = tuple(other for other in self._lanes if other is not lane)

    def _run_async(self, deliveries: list[Delivery]) -> None:
        self.serve_async()
        lane = self.async_lane
        if lane is None:  # the process ends
            for delivery in deliveries:
                self.hand_back(delivery)
            return
        with self._lending():
            lane.work_off(deliveries)

    def serve_async(self) -> None:
        """Have an event loop for async calls."""
        with self._async_lane_lock:
            if self.async_lane is None and not self.draining:
                self.async_lane = AsyncLane(self, None, self.options.async_concurrency)
                self.async_lane.start()

    # -- places that are lent ------------------------------------------------------------------------------------

    @contextmanager
    def _lending(self) -> Iterator[None]:
        self.note_lent(1)
        try:
            yield
        finally:
            self.note_lent(-1)

    def note_lent(self, change: int) -> None:
        """A thread that received a message begins to wait (1), or its wait is over (-1)."""
        with self._lanes_lock:
            self._lent += change
            allowed = min(self._lent, self.options.async_concurrency)
        self._allow_more(allowed)

    # -- how long tasks take -------------------------------------------------------------------------------------

    def _note_seconds(self, task: str, seconds: float) -> None:
        average, told = self._seconds.get(task, (seconds, 0.0))
        average += 0.3 * (seconds - average)
        now = time.monotonic()
        if now - told > TELL_SPEED_SECONDS:
            told = now
            with suppress(BrokerError):
                self.carrier.note_seconds(task, average)
        self._seconds[task] = average, told
