"""One consumer in this process: its calls, its inbox, the watch on them, and how all of it begins and ends.

What takes calls is put on top: ``pool`` fetches them from queues, ``message_consumer`` gets them in messages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Final, Protocol

from brokers.messages import Ack
from brokers.schema import AckKind, Reason, ScriptedEnd
from orchestrator.client.fleet import Fleet
from orchestrator.client.slot_lending import follow_threads
from orchestrator.slots import failpoints
from orchestrator.slots.alone import Alone
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.slots.held_calls import HeldCalls
from orchestrator.slots.lane import Door
from orchestrator.slots.lane_host import WatchedLane
from orchestrator.slots.loop_lane import LoopLane
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.prefetched import Prefetched
from orchestrator.slots.slot_monitor import SlotMonitor
from orchestrator.slots.table import SlotTable
from orchestrator.slots.thread_lane import ThreadRunner, hand_back_ready

log = logging.getLogger("orchestrator.slots")
FETCH_SECONDS: Final = 2.0  # for a claim that is under way when the process stops
FLUSH_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.01
CANCELLED_UNSTARTED: Final = ScriptedEnd("cancelled before it started", Reason.CANCELLED).pack()
Command = tuple[str, str]
"""What is to be done, and to which run or queue."""
MakeDoor = Callable[[HeldCalls, AttemptBuilder], Door]


class PrefetchingLane(WatchedLane, Protocol):
    """A lane in which calls wait behind others."""

    ready: Prefetched


class Intake(Protocol):
    """How calls come; its lanes are watched, and emptied at the end."""

    def thread_lanes(self) -> Sequence[PrefetchingLane]:
        """Where sync calls run."""

    def close(self) -> None:
        """Fetch nothing more; whoever waits for calls is woken."""

    def wait_for_fetches(self, seconds: float) -> None:
        """Until no claim is under way that would arrive when nobody is here any more."""


class Consumer:
    """Holds calls of one consumer.

    Args:
        fleet: where the calls come from.
        name: under which they are claimed.
        routes: what is read.
        async_concurrency: async calls at once.
        intake: how calls come.
        table: where the running calls are written down.
        context: the context variables that each call gets a copy of; none unless given.
        on_command: gets commands that are not about one call.
        on_gap: called when commands may have been lost.
        waiting_changed: called with how many async calls wait for others, whenever that changes.
        lent_to: the queues whose runs a thread's place is lent to; ``None``: whatever its call waits for.
        beside: this process takes calls under another name, or none.
        make_door: makes what executes sync calls, of the calls that are here and their codec; unless given, the thread
            that runs them.
    """

    def __init__(
        self,
        fleet: Fleet,
        name: str,
        routes: Sequence[str],
        async_concurrency: int,
        intake: Intake,
        *,
        table: SlotTable | None = None,
        context: Context | None = None,
        on_command: Callable[[Command], None] = lambda command: None,
        on_gap: Callable[[], None] = lambda: None,
        waiting_changed: Callable[[int], None] = lambda count: None,
        lent_to: frozenset[str] | None = None,
        beside: bool = False,
        make_door: MakeDoor | None = None,
    ) -> None:
        follow_threads()
        self._beside = beside
        settings = fleet.settings
        self._fleet, self._intake, self._on_command = fleet, intake, on_command
        self.calls = HeldCalls(fleet.broker.deliveries, fleet.logs, settings, name, routes, table, context)
        self.codec = AttemptBuilder(fleet)
        self.places = LoopPlaces(async_concurrency)
        self.alone = Alone(self.calls, self.places, settings.max_deliveries)
        door = make_door(self.calls, self.codec) if make_door is not None else None
        self.runner = ThreadRunner(self.calls, self.alone, self.codec, lent_to, door)
        self.loop_lane: LoopLane | None = None
        self._loop_lane_lock = threading.Lock()
        self._waiting_changed = waiting_changed
        self.monitor = SlotMonitor(self.calls, self.calls.attention, self._lanes, settings.lease_seconds / 4)
        self.inbox = fleet.broker.inboxes.inbox(name, on_orders=self._handle_commands, on_gap=on_gap)

    def _lanes(self) -> list[WatchedLane]:
        lanes: list[WatchedLane] = list(self._intake.thread_lanes())
        if self.loop_lane is not None:
            lanes.append(self.loop_lane)
        return lanes

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Handle commands, and look after calls. Raises BrokerError."""
        if not self._beside:
            self._fleet.work_as(self.calls.consumer)
        self.inbox.start()
        self.monitor.start()

    def start_loop(self, then: Callable[[LoopLane], None] = lambda lane: None) -> LoopLane | None:
        """The lane for async calls, made the first time (``then`` gets it); ``None`` when the process ends."""
        with self._loop_lane_lock:
            if self.loop_lane is None and not self.calls.draining:
                lane = LoopLane(self.calls, self.alone, self.codec, self.places, self._waiting_changed)
                lane.start()
                then(lane)
                self.loop_lane = lane
            return self.loop_lane

    def drain(self) -> None:
        """Take no more calls; what runs goes on. Returns immediately."""
        if not self.calls.draining:
            self.calls.start_draining()
            self._intake.close()
            self.places.wake()
            self.calls.end_pauses()

    def stop(self, grace_seconds: float) -> bool:
        """Drain, wait for running calls, hand back the rest; whether nothing was left running."""
        self.drain()
        if failpoints.armed:
            failpoints.fail_at("during_drain")
        self._return_unstarted()
        self._wait_for_running(grace_seconds)
        left = len(self.calls.running)
        self._end_loop()
        self._send_the_rest()
        self._deregister()
        return not left

    def _return_unstarted(self) -> None:
        """Twice: a fetch that was under way may bring more."""
        self._hand_back_ready()
        self._intake.wait_for_fetches(FETCH_SECONDS)
        self._hand_back_ready()

    def _hand_back_ready(self) -> None:
        for lane in self._intake.thread_lanes():
            hand_back_ready(lane.ready, self.calls)
        self.calls.send_acks()

    def _wait_for_running(self, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds
        while self.calls.running and time.monotonic() < deadline:
            if self.calls.acks.overdue:
                self.calls.send_acks()
            threading.Event().wait(POLL_SECONDS)

    def _end_loop(self) -> None:
        if self.loop_lane is not None:
            self.loop_lane.end()

    def _send_the_rest(self) -> None:
        self.monitor.stop()
        self.calls.acks.flush_for(FLUSH_SECONDS)

    def _deregister(self) -> None:
        self.calls.leave()
        self.inbox.stop()

    # -- commands ------------------------------------------------------------------------------------------------

    def _handle_commands(self, commands: list[Command]) -> None:
        for command in commands:
            if command[0] == "cancel":
                self.cancel(command[1])
            else:
                self._on_command(command)

    def cancel(self, run_id: str) -> None:
        """Stop a call that is here, running or not."""
        calls = [call for call in list(self.calls.running.values()) if call.delivery.run_id == run_id]
        for call in calls:
            call.stop()
        if not calls:
            self._cancel_unstarted(run_id)

    def _cancel_unstarted(self, run_id: str) -> None:
        self.calls.early_stops.add(run_id)  # before the look: it may come in this moment
        dropped = [delivery for lane in self._intake.thread_lanes() for delivery in lane.ready.drop(run_id)]
        self.calls.forget(dropped)
        for delivery in dropped:
            ttl_ms = self._fleet.broker.ttl_ms
            ack = Ack(delivery.ticket, delivery.run_id, AckKind.CANCELLED, CANCELLED_UNSTARTED, ttl_ms)
            self.calls.acks.add(ack)
        self.calls.attention.ask()
