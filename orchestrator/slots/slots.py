"""The slots of a process: the lanes, what they share, and how they stop."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from brokers.contract import ASYNC_LANE, SYNC_LANE, Delivery, Settlement
from brokers.redis.inbox import Inbox
from brokers.redis.keys import routes_of
from brokers.redis.queue import QueueReader
from brokers.redis.steering import paused_queues
from orchestrator import failpoints, registry
from orchestrator.engine import Attempt, Verdict
from orchestrator.errors import BrokerError
from orchestrator.events import emit
from orchestrator.fleet import Fleet
from orchestrator.slots.async_lane import AsyncLane
from orchestrator.slots.attendant import Attendant
from orchestrator.slots.delivered import Unpacker, handed_back
from orchestrator.slots.finished import Finished
from orchestrator.slots.running import RunningCall, delay_after_kill
from orchestrator.slots.sync_lane import SyncLane

log = logging.getLogger("orchestrator.slots")


@dataclass(frozen=True, slots=True)
class SlotsOptions:
    """How many places, for which queues."""

    queues: tuple[str, ...] = ("default",)
    threads: int = 1
    async_concurrency: int = 100
    consumer: str | None = None
    always_async: bool = False  # serve async calls though no async task is known yet


class SlotTable(Protocol):
    """Where it is written down which call runs in which place, for someone who outlives this process."""

    def take_place(self) -> int:
        """A free row."""

    def free_place(self, place: int) -> None:
        """The row is not needed any more."""

    def note(self, place: int, run_id: str) -> None:
        """This call runs there now."""

    def note_deadline(self, place: int, seconds: float, retry_seconds: float | None) -> None:
        """The call is to be killed if it still runs after so many seconds, and what is to follow then."""

    def clear(self, place: int) -> None:
        """Nothing runs there."""


class NoTable:
    """Nobody outlives this process."""

    def take_place(self) -> int:
        return 0

    def free_place(self, place: int) -> None:
        return None

    def note(self, place: int, run_id: str) -> None:
        return None

    def note_deadline(self, place: int, seconds: float, retry_seconds: float | None) -> None:
        return None

    def clear(self, place: int) -> None:
        return None


class Slots:
    """Fetch, run, complete.

    Args:
        fleet: where the calls come from.
        options: how many places, for which queues.
        table: where the running calls are written down.
        on_order: gets orders to the worker that come to this consumer's inbox: ping, pause, resume, stop.
    """

    def __init__(
        self,
        fleet: Fleet,
        options: SlotsOptions,
        table: SlotTable | None = None,
        on_order: Callable[[str], None] | None = None,
    ) -> None:
        self.fleet = fleet
        self.options = options
        self.table: SlotTable = table or NoTable()
        self.consumer = options.consumer or secrets.token_hex(6)
        self.running: dict[str, RunningCall] = {}  # by ticket: a run may be here twice after this process was frozen
        self.finished = Finished(self._complete)
        fleet.worker = self.consumer
        self.unpacker = Unpacker(fleet)
        self.attendant = Attendant(self)
        self.given_up: set[str] = set()  # tickets handed back by reconciliation: a late reply must not start them
        self.draining = False
        self.paused = False
        self._paused_queues: set[str] = set()
        self._on_order = on_order
        self.heard_at = time.monotonic()  # when the server last told what it holds for this consumer
        self._fetched_at: dict[str, float] = {}  # ticket -> when; calls that are here and not started
        self._stopped = threading.Event()
        self._told: set[type] = set()  # how the server has failed since it last answered
        self._inbox = Inbox(
            fleet.broker,
            self.consumer,
            on_settled=lambda ends: None,
            on_orders=self._obey,
            on_gap=self._learn_paused_queues,
        )
        sync_routes, async_routes = (routes_of(list(options.queues), lane) for lane in (SYNC_LANE, ASYNC_LANE))
        self.routes = sync_routes + async_routes
        self._readers = [self._reader(sync_routes)]
        self.sync_lane = SyncLane(self, self._readers[0], options.threads)
        self.async_lane: AsyncLane | None = None
        self._async_lane_lock = threading.Lock()
        self._async_routes = async_routes

    def _reader(self, routes: list[str]) -> QueueReader:
        """A reader. Calls are taken from others after a lease, or half of one: much later than an eighth."""
        soon = min(0.5, self.fleet.settings.lease_seconds / 8)
        return QueueReader(self.fleet.broker, self.consumer, routes, trust_seconds=soon)

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, own_thread: bool = False) -> None:
        """Begin to work; with ``own_thread`` the caller then runs :meth:`loop` in its own thread.

        Raises:
            BrokerError: the server does not answer.
        """
        self._learn_paused_queues()  # first, so that nothing has been started if it cannot be had
        self._inbox.start()
        self._inbox.ask_again()  # an order may have come between the two
        self.attendant.start()
        self.sync_lane.start(own_thread)
        if self.options.always_async or any(task.isasync for task in registry.known()):
            self.serve_async()

    def serve_async(self) -> None:
        """Serve async calls, from now on if not before; a process without async tasks is spared the loop."""
        with self._async_lane_lock:
            if self.async_lane is None and not self.draining:
                reader = self._reader(self._async_routes)
                self._readers.append(reader)
                self._tell_readers()
                lane = AsyncLane(self, reader, self.options.async_concurrency)
                lane.start()
                self.async_lane = lane

    def loop(self) -> None:
        """Be one of the slots' threads until they stop."""
        self.sync_lane.loop(for_ever=True)

    def drain(self) -> None:
        """Take no more calls; what runs goes on. What was not started is handed back at once. Returns immediately."""
        if self.draining:
            return
        self.draining = True
        self.sync_lane.close()
        if self.async_lane is not None:
            self.async_lane.close()
        self._stopped.set()

    def stop(self, grace_seconds: float) -> bool:
        """Drain, wait for running calls, hand back the rest; whether nothing was left running."""
        self.drain()
        if failpoints.armed:
            failpoints.fail_at("during_drain")
        self._hand_back_unstarted()
        self._wait_for_fetches(2.0)
        self._hand_back_unstarted()
        deadline = time.monotonic() + grace_seconds
        while self.running and time.monotonic() < deadline:
            if self.finished.overdue:
                self.send_finished()
            threading.Event().wait(0.01)
        if self.async_lane is not None:
            self.async_lane.end()
        left = len(self.running)
        self.attendant.stop()
        self.finished.flush_for(2.0)
        self._leave()
        self._inbox.stop()
        return not left

    def _hand_back_unstarted(self) -> None:
        for lane in self.sync_lanes():
            self.hand_back_waiting(lane)
        self.send_finished()

    def sync_lanes(self) -> list[SyncLane]:
        """Where calls may wait behind others."""
        return [self.sync_lane]

    def hand_back_waiting(self, lane: SyncLane) -> bool:
        """Hand back what a lane has not started; whether there was any."""
        waiting = lane.give_up_waiting()
        for delivery in waiting:
            self.hand_back(delivery)
        return bool(waiting)

    def hand_back(self, delivery: Delivery) -> None:
        """Somebody else may have this call: it was not started."""
        self.forget([delivery])
        self.finished.add(handed_back(delivery))

    def _wait_for_fetches(self, seconds: float) -> None:
        """Until no claim is under way that would arrive when nobody is here any more."""
        self.sync_lane.wait_for_fetch(seconds)
        if self.async_lane is not None:
            self.async_lane.wait_for_fetch(seconds)

    def _leave(self) -> None:
        """Whatever the server still holds for this consumer goes to the others, uncharged."""
        try:
            self.fleet.broker.take_over(self.consumer, charge_noted=False)
        except BrokerError as error:
            log.warning("could not say good-bye: %s; what was held here is taken over when its lease ends", error)

    # -- what the lanes report -----------------------------------------------------------------------------------

    def fetched(self, deliveries: list[Delivery]) -> None:
        """These calls are here now."""
        if failpoints.armed:
            failpoints.fail_at("after_claim")
        now = time.monotonic()
        for delivery in deliveries:
            self._fetched_at[delivery.ticket] = now
        self._told.clear()
        self.attendant.wake()

    def forget(self, deliveries: list[Delivery]) -> None:
        """These calls are not here any more, unstarted."""
        for delivery in deliveries:
            self._fetched_at.pop(delivery.ticket, None)

    def may_start(self, delivery: Delivery) -> bool:
        """Whether a fetched call may be run.

        A call that has crashed a worker before is noted as Running first, so that a second crash is charged to it and
        not to its neighbours; one that lay here for long may have been taken over: the store is asked.
        """
        fetched_at = self._fetched_at.pop(delivery.ticket, 0.0)
        if delivery.ticket in self.given_up:
            self.given_up.discard(delivery.ticket)
            return False
        lay_long = time.monotonic() - fetched_at > self.fleet.settings.lease_seconds / 2
        if delivery.deliveries == 1 and not lay_long:
            return True
        try:
            return not self.fleet.broker.started([(delivery.ticket, delivery.run_id)])
        except BrokerError as error:
            self.connection_lost(error)
            self.finished.add(handed_back(delivery))
            return False

    def known_tickets(self) -> set[str]:
        """Tickets of all calls that are here: not started, running, finished and not confirmed."""
        known = set(self._fetched_at)
        known.update(call.delivery.ticket for call in list(self.running.values()))
        known |= self.finished.tickets()
        return known

    def note_deadline(self, call: RunningCall, attempt: Attempt) -> None:
        """Write down when the process is to be killed if the call still runs, and after how long it is retried."""
        options = attempt.options
        seconds = options.hard_timeout_seconds
        if seconds is None and options.timeout_seconds is not None:
            seconds = options.timeout_seconds + self.fleet.settings.kill_grace_seconds
        if seconds is not None:
            self.table.note_deadline(call.place, seconds, delay_after_kill(attempt))

    def report(self, what: str, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """Tell whoever listens (logs, metrics)."""
        emit(what, attempt=attempt, verdict=verdict, seconds=seconds)

    def send_finished(self) -> None:
        """Send outcomes; if the server is away they are kept and the attendant tries again."""
        try:
            self.flush_finished()
        except BrokerError as error:
            self.connection_lost(error)

    def flush_finished(self) -> None:
        """Send outcomes, and before them the log lines of their runs."""
        self.finished.flush()

    def _complete(self, settlements: Sequence[Settlement]) -> list[str]:
        self._send_logs(settlements)
        return self.fleet.broker.complete(self.consumer, settlements)

    def _send_logs(self, settlements: Sequence[Settlement]) -> None:
        # After the outcomes were taken and before they are sent: a run that ends in between is not among them.
        if self.fleet.logs.waiting:
            self.fleet.logs.flush([settlement.run_id for settlement in settlements])

    def take_finished(self) -> list[Settlement]:
        """Outcomes for a lane that sends them itself; the log lines of their runs are in the store before them."""
        taken = self.finished.take()
        try:
            self._send_logs(taken)
        except BaseException:
            self.finished.put_back(taken)
            raise
        return taken

    def connection_lost(self, error: BaseException) -> None:
        """Log once per absence of the server, and again if it then answers with a refusal."""
        if type(error) not in self._told and not self.draining:
            self._told.add(type(error))
            log.warning("%s; running calls go on, %d outcomes are kept until it is back", error, len(self.finished))

    def pause(self, seconds: float) -> None:
        """Sleep, unless the slots stop."""
        self._stopped.wait(seconds)

    # -- orders --------------------------------------------------------------------------------------------------

    def _obey(self, orders: list[tuple[str, str]]) -> None:
        for what, subject in orders:
            if what == "cancel":
                self.cancel(subject)
            elif what == "pause_queue":
                self._paused_queues.add(subject)
                self._tell_readers()
            elif what == "resume_queue":
                self._paused_queues.discard(subject)
                self._tell_readers()
            elif self._on_order is not None:
                self._on_order(what)

    def pause_all(self, paused: bool) -> None:
        """Take no new calls, or take them again. What has been claimed is run."""
        self.paused = paused
        self._tell_readers()

    def _learn_paused_queues(self) -> None:
        """Orders may have been missed. Raises BrokerError."""
        self._paused_queues = paused_queues(self.fleet.broker)
        self._tell_readers()

    def _tell_readers(self) -> None:
        for reader in list(self._readers):
            reader.leave_out(None if self.paused else frozenset(self._paused_queues))

    def cancel(self, run_id: str) -> None:
        """Stop a call that is here, running or not."""
        calls = [call for call in list(self.running.values()) if call.delivery.run_id == run_id]
        for call in calls:
            call.stop()
        if calls:
            return
        dropped = [delivery for lane in self.sync_lanes() for delivery in lane.drop(lambda some: some.run_id == run_id)]
        self.forget(dropped)
        for delivery in dropped:
            text = b"\0cancelled before it started"
            self.finished.add(Settlement(delivery.ticket, run_id, "K", text, self.fleet.broker.ttl_ms))
        self.attendant.send_soon()

    @property
    def running_calls(self) -> list[Any]:
        """The calls that run now."""
        return list(self.running.values())
