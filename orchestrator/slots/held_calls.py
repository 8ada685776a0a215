"""The calls that one consumer holds in this process: fetched, running, finished and not confirmed by the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

from brokers.messages import Ack, AckKind, Delivery, NotSettled
from orchestrator.errors import BrokerError
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.call_context import Surroundings
from orchestrator.observability.events import emit, listeners_of
from orchestrator.slots import failpoints
from orchestrator.slots.ack_buffer import AckBuffer
from orchestrator.slots.acks import handed_back
from orchestrator.slots.attention import Attention
from orchestrator.slots.early_stops import EarlyStops
from orchestrator.slots.running import RunningCall, delay_after_kill
from orchestrator.slots.table import NoTable, SlotTable

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.slots.lane_host import ClaimStore, Fetch, RunLogs

log = logging.getLogger("orchestrator.slots")
_on_start = listeners_of("run.started")


class HeldCalls:
    """What lanes share: see :class:`orchestrator.slots.lane_host.LaneHost`, which has more methods than most by need.

    Args:
        store: where calls are claimed and completed.
        logs: log lines of runs; they reach the store before the run's end does.
        settings: of the fleet.
        consumer: the name under which calls are claimed.
        routes: what is read; claims are compared with the store's on these.
        table: where running calls are written down.
        context: the context variables that each call gets a copy of; none unless given.
    """

    def __init__(
        self,
        store: ClaimStore,
        logs: RunLogs,
        settings: Settings,
        consumer: str,
        routes: Sequence[str] = (),
        table: SlotTable | None = None,
        context: Context | None = None,
    ) -> None:
        self._store, self._logs, self._settings = store, logs, settings
        self.consumer = consumer
        self.routes = list(routes)
        self.table: SlotTable = table or NoTable()
        self.context = Surroundings(context).context
        self.acks = AckBuffer(self._complete)
        self.running: dict[str, RunningCall] = {}  # by ticket: a run may be here twice after this process was frozen
        self.draining = False
        self.answered_at = time.monotonic()  # when the server last answered what it holds for this consumer
        self.attention = Attention()  # of the slot monitor
        self._fetched_at: dict[str, float] = {}  # ticket -> when; calls that are here and not started
        self._given_up: set[str] = set()  # tickets handed back by reconciliation: a late reply must not start them
        self.early_stops = EarlyStops()
        self._stopped = threading.Event()
        self._logged: set[type] = set()  # how the server has failed since it last answered

    # -- fetched -------------------------------------------------------------------------------------------------

    def exchange(self, fetch: Fetch, without_acks_if_logs_fail: bool = False) -> list[Delivery]:
        """Send outcomes, after the log lines of their runs, and fetch calls in the same round trip.

        Args:
            fetch: does both.
            without_acks_if_logs_fail: fetch though the log lines cannot be stored; the outcomes wait for them.

        Returns:
            The calls; the outcomes are kept where only these could not be stored.

        Raises:
            BrokerError: the outcomes are kept.
        """

        logs_stored = False

        def send(acks: list[Ack]) -> tuple[list[Delivery], Sequence[str]]:
            nonlocal logs_stored
            self._send_logs(acks)
            logs_stored = True
            return fetch(acks)

        try:
            return self.acks.exchange(send)
        except NotSettled as error:  # the outcomes are sent again
            self.connection_lost(error.error)
            return error.deliveries
        except BrokerError:
            if logs_stored or not without_acks_if_logs_fail:
                raise
        return fetch([])[0]

    def fetched(self, deliveries: Sequence[Delivery]) -> None:
        """These calls are here now."""
        if failpoints.armed:
            failpoints.fail_at("after_claim")
        now = time.monotonic()
        for delivery in deliveries:
            self._fetched_at[delivery.ticket] = now
        self._logged.clear()
        self.attention.calls_have_come()

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """These calls are not here any more, unstarted."""
        for delivery in deliveries:
            self._fetched_at.pop(delivery.ticket, None)

    def hand_back(self, delivery: Delivery) -> None:
        """Somebody else may have this call: it was not started."""
        self.forget([delivery])
        self.acks.add(handed_back(delivery))

    def may_start(self, delivery: Delivery) -> bool:
        """Whether a fetched call may be run; what may not is forgotten. The others are here until they :meth:`begin`.

        A call that has crashed a worker before is noted as Running first, so that a second crash is charged to it and
        not to its neighbours; one that lay here for long may have been taken over, one that was asked to stop may wait
        to be Cancelled, or run again: the store is asked.
        """
        ticket = delivery.ticket
        if ticket in self._given_up:
            self._given_up.discard(ticket)
            self._fetched_at.pop(ticket, None)
            return False
        lay_long = time.monotonic() - self._fetched_at.get(ticket, 0.0) > self._settings.lease_seconds / 2
        asked_to_stop = self.early_stops.take(delivery.run_id)
        return (delivery.deliveries == 1 and not lay_long and not asked_to_stop) or self._is_ours(delivery)

    def _is_ours(self, delivery: Delivery) -> bool:
        try:
            stops = self._store.started([(delivery.ticket, delivery.run_id)])
        except BrokerError as error:
            self.connection_lost(error)
            self.hand_back(delivery)
            return False
        if stops:
            self.hand_back(delivery)  # one that is to stop is Cancelled by that; of one that others have, nothing comes
        return not stops

    def begin(self, call: RunningCall) -> bool:
        """The call is one of those that run, from now on; False if it was handed back meanwhile."""
        ticket = call.delivery.ticket
        self.running[ticket] = call
        self._fetched_at.pop(ticket, None)
        if ticket not in self._given_up:
            return True
        self._given_up.discard(ticket)
        self.running.pop(ticket, None)
        return False

    # -- running -------------------------------------------------------------------------------------------------

    def announce(self, call: RunningCall, attempt: Attempt) -> None:
        """The call's function is about to run: notify listeners, and write down when the process is to be killed."""
        call.attempt = attempt
        options = attempt.options
        seconds = options.hard_timeout_seconds
        if seconds is None and options.timeout_seconds is not None:
            seconds = options.timeout_seconds + self._settings.kill_grace_seconds
        if seconds is not None:
            self.table.note_deadline(call.place, seconds, delay_after_kill(attempt))
        if _on_start:
            emit("run.started", attempt=attempt, verdict=None, seconds=0.0)

    def note_running(self, calls: Sequence[RunningCall]) -> list[str]:
        """Note them as Running in the store; returns the runs that are to stop. Raises BrokerError."""
        return self._store.started([call.as_started() for call in calls])

    # -- finished ------------------------------------------------------------------------------------------------

    def send_acks(self) -> None:
        """Send outcomes; if the server is away they are kept and the slot monitor tries again."""
        try:
            self.flush_acks()
        except BrokerError as error:
            self.connection_lost(error)

    def flush_acks(self) -> None:
        """Send outcomes, and before them the log lines of their runs. Raises BrokerError."""
        self.acks.flush()

    def _complete(self, acks: Sequence[Ack]) -> list[str]:
        self._send_logs(acks)
        return self._store.complete(self.consumer, acks)

    def _send_logs(self, acks: Sequence[Ack]) -> None:
        # After the outcomes were taken and before they are sent: a run that ends in between is not among them.
        if self._logs.waiting:
            self._logs.flush([ack.run_id for ack in acks])

    # -- what the server holds for this consumer -----------------------------------------------------------------

    def add_routes(self, routes: Sequence[str]) -> None:
        """These are read as well."""
        self.routes += [route for route in routes if route not in self.routes]

    def held_by_server(self) -> dict[str, str]:
        """Ticket -> run id. Raises BrokerError."""
        held = self._store.pending(self.consumer, self.routes)
        self.answered_at = time.monotonic()
        return held

    def known_tickets(self) -> set[str]:
        """Tickets of all calls that are here: not started, running, finished and not confirmed."""
        return set(self._fetched_at) | set(self.running) | self.acks.tickets()

    def give_up(self, lost: Mapping[str, str]) -> None:
        """Hand back claims (ticket -> run id) whose reply never came; should it still come, they are not started."""
        self._given_up |= lost.keys()
        log.warning("%d claims were lost on their way here and are handed back", len(lost))
        kept_ms = int(self._settings.dead_letter_ttl_seconds * 1000)  # should it be a dead letter then
        acks = [
            Ack(ticket, run_id, AckKind.HAND_BACK, b"", 0, kept_ms, AckKind.LOST) for ticket, run_id in lost.items()
        ]
        self._store.complete(self.consumer, acks)

    def leave(self) -> None:
        """Whatever the server still holds for this consumer goes to the others, uncharged."""
        try:
            self._store.take_over(self.consumer, charge_running=False)
        except BrokerError as error:
            log.warning("could not deregister: %s; what was held here is taken over when its lease ends", error)

    # -- the server is away, the process ends --------------------------------------------------------------------

    def connection_lost(self, error: BaseException) -> None:
        """Log once per absence of the server, and again if it then answers with a refusal."""
        if type(error) not in self._logged and not self.draining:
            self._logged.add(type(error))
            log.warning("%s; running calls go on, %d outcomes are kept until it is back", error, len(self.acks))

    def pause(self, seconds: float) -> None:
        """Sleep, unless the slots stop."""
        self._stopped.wait(seconds)

    def start_draining(self) -> None:
        """Nothing is to be fetched or started from now on."""
        self.draining = True

    def end_pauses(self) -> None:
        """Wake whoever sleeps in :meth:`pause`."""
        self._stopped.set()
