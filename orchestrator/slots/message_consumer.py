"""Slots of a process whose calls come in messages: somebody else's worker (Celery's) receives, we claim, run, complete.

Each message is worked off in the thread that received it. What waits in it behind a long call is handed back, as in
``thread_lane``; while its thread waits (for other runs, or for async calls on the event loop) it lends its place, and
the process may take further messages by itself, see ``allow_more``.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from brokers.base import Carrier
from brokers.messages import ASYNC_LANE, SYNC_LANE, Ack, Delivery, Named, routes_of
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.slots.consumer import Consumer
from orchestrator.slots.held_calls import HeldCalls
from orchestrator.slots.lane import Retrying
from orchestrator.slots.pool import SlotsOptions
from orchestrator.slots.prefetched import Prefetched
from orchestrator.slots.table import SlotTable
from orchestrator.slots.thread_budget import Permits
from orchestrator.slots.thread_lane import ThreadRunner, hand_back_ready

log = logging.getLogger("orchestrator.slots")
NOTE_SPEED_SECONDS: Final = 1.0
WEIGHT_OF_LATEST: Final = 0.3  # in the average of how long a task takes


def carrier_of(fleet: Fleet) -> Carrier:
    """The broker that carries a fleet's calls. Raises ConfigurationError where there is none."""
    carrier = fleet.broker.carrier
    if carrier is None:
        raise ConfigurationError(
            "this Celery worker cannot find the calls: set ORCHESTRATOR_BROKER_URL to celery+ and the URL of the "
            "Celery application's broker, such as celery+amqp://guest@localhost//"
        )
    return carrier


class Stopping(Exception):
    """The process ends before the message could be taken: the broker may give it to another."""


class Lent:
    """Counts threads that received a message and wait.

    Args:
        most: how many may be fetched, at least.
        allow_more: called with how many messages more than usual the process may take, whenever that changes.
    """

    def __init__(self, most: int, allow_more: Callable[[int], None]) -> None:
        self._most, self._allow_more = most, allow_more
        self._count = self._waiting_async = 0
        self._lock = threading.Lock()

    def change(self, by: int) -> None:
        """So many threads more (or fewer) wait."""
        with self._lock:
            self._count += by
        self._allow()

    def waiting_changed(self, count: int) -> None:
        """So many async calls wait for others, perhaps for those that messages bring."""
        with self._lock:
            self._waiting_async = count
        self._allow()

    def _allow(self) -> None:
        with self._lock:
            allowed = min(self._count, self._most + self._waiting_async)
        self._allow_more(allowed)


class MessageLane:
    """The sync calls of one message, run by the thread that received it.

    Args:
        calls: of this process.
        runner: runs a delivery.
        permits: as many as sync calls may run at once in this process.
        lent: called when the thread waits.
    """

    sends_acks = True

    def __init__(self, calls: HeldCalls, runner: ThreadRunner, permits: Permits, lent: Lent) -> None:
        self._calls, self._runner, self._permits, self._lent = calls, runner, permits, lent
        self.ready = Prefetched()

    def run_all(self, deliveries: Sequence[Delivery]) -> int:
        """Run these; returns, when none is left here, how many were run: the others were handed back."""
        ran = 0
        self.ready.extend(deliveries)
        place = self._calls.table.take_place()
        self._permits.take()
        self.ready.started(time.monotonic())
        try:
            while self.ready and not self._calls.draining:
                with suppress(IndexError):  # handed back this moment
                    self._run(self.ready.pop(), place)
                    ran += 1
                self._permits.yield_to_returning()
        finally:
            self._permits.give()
            self._calls.table.free_place(place)
        return ran

    def _run(self, delivery: Delivery, place: int) -> None:
        try:
            self._runner.run(delivery, self, place)
        except Exception:  # not the task's: ours
            log.exception("a slot failed on run %s; the call is handed back soon", delivery.run_id)

    def lend(self) -> None:
        """The running task waits: other messages may be taken meanwhile."""
        self._lent.change(1)
        self._permits.give()

    def take_back(self) -> None:
        """The wait is over."""
        self._lent.change(-1)
        self._permits.take_back()

    def take_at_once(self) -> None:
        """The wait was ended: go on, whether a place is free or not."""
        self._lent.change(-1)
        self._permits.take_at_once()

    async def take_back_async(self) -> None:
        """The same for a task that runs an event loop of its own."""
        await asyncio.to_thread(self.take_back)

    def look(self, now: float) -> bool:
        """Hand back what waits behind a long call; whether there was any."""
        return self.ready.is_stuck(now) and hand_back_ready(self.ready, self._calls)


class MessageIntake:
    """The lanes of the messages that are here."""

    def __init__(self) -> None:
        self._lanes: tuple[MessageLane, ...] = ()  # replaced, never changed: other threads read it
        self._lock = threading.Lock()

    def add(self, lane: MessageLane) -> None:
        """A message has come."""
        with self._lock:
            self._lanes = (*self._lanes, lane)

    def remove(self, lane: MessageLane) -> None:
        """Nothing is left of it."""
        with self._lock:
            self._lanes = tuple(other for other in self._lanes if other is not lane)

    def thread_lanes(self) -> Sequence[MessageLane]:
        """One per message."""
        return self._lanes

    def close(self) -> None:
        """Nothing is fetched here."""

    def wait_for_fetches(self, seconds: float) -> None:
        """A claim that is under way ends in the thread that received the message."""


class MessageSlots:
    """Claim, run, complete what messages name.

    Args:
        fleet: where the calls are kept; its broker is one whose calls are carried.
        options: ``threads`` is how many sync calls may run at once in this process, ``async_concurrency`` how many
            async ones; ``queues`` are those that the process reads.
        table: where the running calls are written down.
        allow_more: called with how many messages more than usual the process may take, whenever that changes.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        table: SlotTable | None = None,
        allow_more: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._fleet, self._carrier = fleet, carrier_of(fleet)
        self.consumer = options.consumer or secrets.token_hex(6)
        self._queues = set(options.queues)
        self._permits = Permits(options.threads)
        self._lent = Lent(options.async_concurrency, allow_more)
        self._intake = MessageIntake()
        self._core = Consumer(
            fleet,
            self.consumer,
            _routes_of(options.queues),
            options.async_concurrency,
            self._intake,
            table=table,
            waiting_changed=self._lent.waiting_changed,
        )
        self._speeds = TaskSpeeds(self._carrier)

    def start(self) -> None:
        """Be ready for messages. Raises BrokerError: the server does not answer."""
        # alive before the first claim
        self._fleet.broker.consumers.beat([self.consumer], self._fleet.settings.lease_seconds)
        self._core.start()

    def stop(self, grace_seconds: float) -> bool:
        """Wait for running calls, hand back the rest; whether nothing was left running."""
        return self._core.stop(grace_seconds)

    def note_lent(self, change: int) -> None:
        """A thread that received a message begins to wait (1), or its wait is over (-1)."""
        self._lent.change(change)

    # -- one message ---------------------------------------------------------------------------------------------

    def run_message(self, calls: Sequence[Named]) -> None:
        """Run the calls of a message that still wait for it; returns when none is left here.

        Raises:
            Stopping: the process ends, and nothing of the message was taken.
        """
        self._know_routes(calls)
        deliveries = self._claim(calls)
        self._core.calls.fetched(deliveries)
        for_loop = [delivery for delivery in deliveries if _is_async(delivery)]
        for_threads = [delivery for delivery in deliveries if not _is_async(delivery)]
        begun = time.monotonic()
        if for_loop:
            self._run_async(for_loop)
        ran = len(for_loop) + (self._run_sync(for_threads) if for_threads else 0)
        spent = time.monotonic() - begun
        self._core.calls.send_acks()
        if ran:
            self._speeds.note(deliveries[0].task, spent / ran)

    def _know_routes(self, calls: Sequence[Named]) -> None:
        """Claims are compared with the store's on these; a message may come from a queue that was added later."""
        for queue in {call.ticket[1:].rpartition(":")[0] for call in calls} - self._queues:
            self._queues.add(queue)
            self._core.calls.add_routes(_routes_of([queue]))

    def _claim(self, calls: Sequence[Named]) -> list[Delivery]:
        """Tries until the store answers: the message must not be lost, and nothing else could be done meanwhile."""
        held = self._core.calls
        retrying = Retrying(held)

        def claim(acks: Sequence[Ack]) -> tuple[list[Delivery], list[str]]:
            return self._carrier.claim(self.consumer, calls, acks)

        while not held.draining:
            try:
                return held.exchange(claim, without_acks_if_logs_fail=True)
            except BrokerError as error:
                retrying.pause_after(error)
        raise Stopping

    def _run_sync(self, deliveries: Sequence[Delivery]) -> int:
        calls = self._core.calls
        lane = MessageLane(calls, self._core.runner, self._permits, self._lent)
        self._intake.add(lane)
        try:
            return lane.run_all(deliveries)
        finally:
            if hand_back_ready(lane.ready, calls):  # the process ends
                calls.send_acks()
            self._intake.remove(lane)

    def _run_async(self, deliveries: Sequence[Delivery]) -> None:
        lane = self._core.start_loop()
        if lane is None:  # the process ends
            for delivery in deliveries:
                self._core.calls.hand_back(delivery)
            return
        with self._lending():
            lane.run_all(deliveries)

    @contextmanager
    def _lending(self) -> Iterator[None]:
        self._lent.change(1)
        try:
            yield
        finally:
            self._lent.change(-1)


class TaskSpeeds:
    """How long calls of each task take: senders put so many into a message.

    Args:
        carrier: gets the averages now and then.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._averages: dict[str, tuple[float, float]] = {}  # task -> seconds, and when it was sent

    def note(self, task: str, seconds: float) -> None:
        """A call of this task took so long."""
        average, noted_at = self._averages.get(task, (seconds, 0.0))
        average += WEIGHT_OF_LATEST * (seconds - average)
        now = time.monotonic()
        if now - noted_at > NOTE_SPEED_SECONDS:
            noted_at = now
            with suppress(BrokerError):
                self._carrier.note_seconds(task, average)
        self._averages[task] = average, noted_at


def _is_async(delivery: Delivery) -> bool:
    return delivery.ticket.split(" ", 1)[0].endswith(ASYNC_LANE)


def _routes_of(queues: Sequence[str]) -> list[str]:
    return routes_of(list(queues), SYNC_LANE) + routes_of(list(queues), ASYNC_LANE)
