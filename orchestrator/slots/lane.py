"""What happens to one delivery, whichever way it came and wherever it runs: decode, announce, execute, conclude, ack.

``thread_lane`` and ``loop_lane`` are the doors: how a delivery is decoded and executed in a thread, and on an event
loop. :meth:`Lane.run` is a coroutine for both; a door of threads blocks, and never suspends it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from brokers.messages import Ack, Delivery
from orchestrator.errors import BrokerError
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Verdict
from orchestrator.observability.events import emit, listeners_of
from orchestrator.slots import failpoints
from orchestrator.slots.acks import Refusal, handed_back
from orchestrator.slots.alone import Alone
from orchestrator.slots.lane_host import Codec, LaneHost, Source
from orchestrator.slots.running import RunningCall
from orchestrator.states import Completed

log = logging.getLogger("orchestrator.slots")
_on_end = listeners_of("run.ended")
Outcome = tuple[object, Verdict | None]
"""What the function of a plain task returned; or anything, and the verdict that came of it otherwise."""
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0


class GivenAway(Exception):
    """The call goes on under another consumer, which acknowledges it: there is nothing left to do here."""


class Door(Protocol):
    """Where calls are decoded and executed."""

    begins_runs: bool
    """Whether a run begins when its call is executed here; else what is started for it begins it."""

    not_started_by: tuple[type[BaseException], ...]
    """Errors after which the delivery goes to somebody else."""

    async def decode(self, delivery: Delivery) -> Attempt | Refusal:
        """The attempt, or why there can be none. Raises BrokerError: upstream results cannot be read."""

    async def execute(self, call: RunningCall, attempt: Attempt) -> Verdict:
        """Run the user's function; the call can be interrupted meanwhile."""


class Lane:
    """The life of a delivery.

    Args:
        host: the calls of this process.
        codec: from deliveries to attempts, and from verdicts to acks.
        door: where calls run.
        alone: who runs with nothing beside it, and keeps others out; ``None`` where that is asked before.
    """

    def __init__(self, host: LaneHost, codec: Codec, door: Door, alone: Alone | None = None) -> None:
        self._host, self._codec, self._door, self._alone = host, codec, door, alone

    def fetch(self, source: Source, want: int) -> list[Delivery]:
        """Send what has finished and fetch calls, in one round trip; wait for one if there are none.

        Raises:
            BrokerError: the outcomes are kept.
        """
        host = self._host
        deliveries = host.exchange(lambda acks: source.take(want, acks))
        if not deliveries and not host.draining:
            deliveries = source.wait(want)
        if deliveries:
            host.fetched(deliveries)
        return deliveries

    def admit(self, call: RunningCall) -> bool:
        """Have the call among the running ones; False when it is not to run here, and somebody else gets it."""
        if failpoints.armed:
            failpoints.fail_at("before_start")
        if not self._host.begin(call):
            return False
        if self._alone is not None and self._alone.ticket is not None and not self._alone.let_in(call):
            return False
        self._host.table.note(call.place, call.delivery.run_id)
        return True

    async def run(self, call: RunningCall) -> bool:
        """From an admitted delivery to its ack; whether enough acks have come together to be sent."""
        ack: Ack | None
        try:
            attempt = await self._door.decode(call.delivery)
            if isinstance(attempt, Refusal):
                ack = self._codec.refused(call.delivery, attempt)
            else:
                self._announce(call, attempt)
                verdict = await self._door.execute(call, attempt)
                ack = self._conclude(call, attempt, verdict)
        except BaseException as error:
            ack = self._ack_of_failure(call.delivery, error)
        return self._ack(call, ack)

    def run_plain(self, call: RunningCall, execute: Callable[[RunningCall, Attempt], Outcome]) -> bool | None:
        """:meth:`run` for a call that needs nothing but its function; ``None``, and nothing done, for any other."""
        ack: Ack | None
        try:
            attempt = self._codec.plain_attempt(call.delivery)
            if attempt is None:
                return None
            self._host.announce(call, attempt)
            value, verdict = execute(call, attempt)
            if verdict is not None:
                ack = self._conclude(call, attempt, verdict)
            else:
                if _on_end:
                    self._emit_end(call, attempt, Completed(data=value))
                ack = self._codec.ack_of_value(call.delivery, attempt, value)
        except BaseException as error:
            ack = self._ack_of_failure(call.delivery, error)
        return self._ack(call, ack)

    def _announce(self, call: RunningCall, attempt: Attempt) -> None:
        if self._door.begins_runs:
            self._host.announce(call, attempt)

    def _conclude(self, call: RunningCall, attempt: Attempt, verdict: Verdict) -> Ack:
        if _on_end:
            self._emit_end(call, attempt, verdict)
        return self._codec.ack(call.delivery, attempt, verdict)

    def _emit_end(self, call: RunningCall, attempt: Attempt, verdict: Verdict) -> None:
        emit("run.ended", attempt=attempt, verdict=verdict, seconds=time.monotonic() - call.started)

    def _ack_of_failure(self, delivery: Delivery, error: BaseException) -> Ack | None:
        """Not the task's error: those are verdicts. What exits must end neither a slot's thread nor the event loop."""
        if isinstance(error, GivenAway):
            return None
        if isinstance(error, BrokerError):
            log.warning("run %s could not be started: %s; handed back", delivery.run_id, error)
            return handed_back(delivery)
        if isinstance(error, self._door.not_started_by):
            return handed_back(delivery)
        return self._codec.broken(delivery, error)

    def _ack(self, call: RunningCall, ack: Ack | None) -> bool:
        self._host.table.clear(call.place)
        try:
            if failpoints.armed:
                failpoints.fail_at("after_user_code")
            return ack is not None and self._host.acks.add(ack)
        finally:  # after that: who waits for running calls then sends their acks
            self._host.running.pop(call.delivery.ticket, None)


class Retrying:
    """Pauses between tries to reach a server that is away: longer and longer.

    Args:
        host: is notified, and ends the pauses when the process stops.
    """

    def __init__(self, host: LaneHost) -> None:
        self._host = host
        self._seconds = FIRST_PAUSE_SECONDS

    def reached(self) -> None:
        """The server has answered."""
        self._seconds = FIRST_PAUSE_SECONDS

    def pause_after(self, error: BrokerError) -> None:
        """Log it, and sleep."""
        self._host.connection_lost(error)
        self._host.pause(self._seconds)
        self._seconds = min(self._seconds * 2, LONGEST_PAUSE_SECONDS)
