"""The process inside: it takes over the one call that it was started for, beats for itself, and runs it.

1. It beats first, then takes the call over under its ticket. If that is stale, it says so, runs nothing and exits 0.
2. The main thread runs the flow, so that code that sleeps can be interrupted.
3. Should others have been given the run meanwhile (this machine was frozen), it ends at once.
4. SIGTERM: it goes on for the shutdown timeout, then ends with 143; its worker has the run queued again. A run that is
   cancelled is interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

from brokers.messages import FINAL_STATUSES, Delivery, Status
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.surroundings import run_flows_only
from orchestrator.errors import BrokerError, BrokerUnavailable
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.heartbeat import Heartbeat
from orchestrator.observability.tracing.sending import flush
from orchestrator.slots.one_call import OneCall, new_consumer
from task_workers.infrastructure.variables import OwnCall

log = logging.getLogger("orchestrator.worker")
T = TypeVar("T")
TERMINATED: Final = 128 + signal.SIGTERM
UNSTORED: Final = 74  # the store was away for too long: the run begins again elsewhere
STORE_SECONDS: Final = 60.0
STORE_AGAIN_SECONDS: Final = 0.5
SPANS_SECONDS: Final = 1.0
STALE: Final = (
    "the ticket of flow run {run_id} is stale: the run was handed to another worker, is cancelled, or has ended. "
    "Nothing is run."
)


class Fence(Chore):
    """Ends this process when its run has been given to others: flow code never goes on in two places for long.

    Args:
        fleet: whose store.
        call: of this process.
        running: whether it still runs.
    """

    name = "fence"

    def __init__(self, fleet: Fleet, call: OwnCall, running: Callable[[], bool]) -> None:
        super().__init__()
        self._fleet, self._call, self._running = fleet, call, running

    def run_once(self) -> float:
        (row,) = self._fleet.broker.records.rows([self._call.run_id])
        is_lost = row.ticket != self._call.ticket or row.status in FINAL_STATUSES
        if row.status != Status.UNKNOWN and is_lost and self._running():
            log.error("flow run %s was given to others while this process was away: it ends here", row.run_id)
            os._exit(TERMINATED)
        return self._fleet.settings.beat_seconds


def execute(fleet: Fleet, call: OwnCall, say: Callable[[str], object]) -> int:
    """Run it; returns the exit code.

    Raises:
        BrokerError: the server does not answer at the start.
    """
    run_flows_only()
    consumer = new_consumer()
    heartbeat = Heartbeat(fleet, lambda: {consumer: {}}, lambda dead: None)
    one = OneCall(fleet, consumer, call.ticket)

    def take_over() -> Delivery | None:
        heartbeat.run_once()  # each time: it was long ago if the store was away meanwhile
        return fleet.broker.deliveries.hand_over(call.run_id, call.ticket, call.holder, consumer)

    _patiently(one.start)
    delivery = _patiently(take_over)
    try:
        if delivery is None:
            say(STALE.format(run_id=call.run_id))
            return 0
        fence = Fence(fleet, call, lambda: one.is_running)
        with _terminating(fleet, call, one):
            heartbeat.start()
            fence.start()
            one.run(delivery)
        fence.stop()
        if not one.wait_until_stored(STORE_SECONDS):
            log.error("the end of flow run %s could not be stored: the server does not answer", call.run_id)
            return UNSTORED
        return 0
    finally:
        heartbeat.stop()
        one.stop(0.0)
        flush(SPANS_SECONDS)
        _leave(fleet, consumer)


def _patiently(ask: Callable[[], T]) -> T:
    """What comes of it, once the store answers. Raises BrokerError: it is away for too long, or refuses."""
    until = time.monotonic() + STORE_SECONDS
    while True:
        try:
            return ask()
        except BrokerUnavailable as error:
            if time.monotonic() > until:
                raise
            log.warning("%s; trying again", error)
        time.sleep(STORE_AGAIN_SECONDS)


def _leave(fleet: Fleet, consumer: str) -> None:
    try:
        fleet.broker.consumers.leave([consumer])
    except BrokerError as error:
        log.debug("could not deregister: %s", error)


class _terminating:
    """While a run goes on: what SIGTERM does."""

    def __init__(self, fleet: Fleet, call: OwnCall, one: OneCall) -> None:
        self._fleet, self._call, self._one = fleet, call, one
        self._arrived = threading.Event()

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._note)
        threading.Thread(target=self._end_soon, name="end", daemon=True).start()

    def __exit__(self, *exc_info: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived.set()

    def _end_soon(self) -> None:
        self._arrived.wait()
        if self._is_cancelled():
            self._one.cancel(self._call.run_id)
        deadline = time.monotonic() + self._fleet.settings.shutdown_timeout_seconds
        while self._one.is_running:
            if time.monotonic() > deadline:
                log.warning("flow run %s goes on longer than it may after SIGTERM: it ends here", self._call.run_id)
                os._exit(TERMINATED)
            time.sleep(0.05)

    def _is_cancelled(self) -> bool:
        try:
            (row,) = self._fleet.broker.records.rows([self._call.run_id])
        except BrokerError:
            return False
        return row.status == Status.CANCELLING
