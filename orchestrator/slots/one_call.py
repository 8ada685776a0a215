"""One call that was handed over to this process: run in its main thread, acknowledged, and nothing after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from brokers.messages import ASYNC_LANE, SYNC_LANE, Delivery, queue_of, routes_of
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import new_run_id
from orchestrator.slots.consumer import Consumer
from orchestrator.slots.prefetched import Prefetched

STORE_AGAIN_SECONDS: Final = 0.2


class _NoLane:
    """The lane of the one call: nothing waits behind it, and nobody gets its place while it waits."""

    sends_acks = True

    def __init__(self) -> None:
        self.ready = Prefetched(in_batches=False)

    def lend(self) -> None:
        """It waits."""

    def take_back(self) -> None:
        """The wait is over."""

    def take_at_once(self) -> None:
        """The wait was ended."""

    async def take_back_async(self) -> None:
        await asyncio.sleep(0)

    def look(self, now: float) -> bool:
        return False


class _NoIntake:
    def __init__(self, lane: _NoLane) -> None:
        self._lane = lane

    def thread_lanes(self) -> Sequence[_NoLane]:
        return [self._lane]

    def close(self) -> None:
        """Nothing is fetched here."""

    def wait_for_fetches(self, seconds: float) -> None:
        """There are none."""


class OneCall:
    """Runs a call that another consumer has claimed.

    Args:
        fleet: where it comes from.
        consumer: the name under which it is held from now on.
        ticket: of the call.
        on_command: gets orders that are not about a call.
    """

    def __init__(
        self, fleet: Fleet, consumer: str, ticket: str, on_command: Callable[[str], None] = lambda what: None
    ) -> None:
        queue = queue_of(ticket)
        routes = [route for lane in (SYNC_LANE, ASYNC_LANE) for route in routes_of([queue or ""], lane)]
        self._lane = _NoLane()
        self._core = Consumer(
            fleet,
            consumer,
            routes,
            1,
            _NoIntake(self._lane),
            on_command=lambda command: on_command(command[0]),
            lent_to=frozenset(),
        )

    def start(self) -> None:
        """Receive orders, before the call is handed over. Raises BrokerError."""
        self._core.start()

    def run(self, delivery: Delivery) -> None:
        """Run it to its end, and acknowledge it; in the main thread, so that code that sleeps can be interrupted."""
        calls = self._core.calls
        calls.fetched([delivery])
        self._core.runner.run(delivery, self._lane, calls.table.take_place())

    @property
    def is_running(self) -> bool:
        """Whether the call goes on."""
        return bool(self._core.calls.running)

    def wait_until_stored(self, seconds: float) -> bool:
        """Wait until the store has its end; whether it has."""
        deadline = time.monotonic() + seconds
        while len(self._core.calls.acks) and time.monotonic() < deadline:
            self._core.calls.send_acks()
            self._core.calls.pause(STORE_AGAIN_SECONDS if len(self._core.calls.acks) else 0.0)
        return not len(self._core.calls.acks)

    def cancel(self, run_id: str) -> None:
        """Interrupt it."""
        self._core.cancel(run_id)

    def stop(self, grace_seconds: float) -> bool:
        """Wait for the call, and store its end; whether it has ended."""
        return self._core.stop(grace_seconds)


def new_consumer() -> str:
    """A name for the process of one call."""
    return "run-" + new_run_id().replace("-", "")[-16:]
