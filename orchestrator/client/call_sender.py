"""Sends calls, and reports what became of those that could not be sent: withdrawn, queued, or perhaps queued."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from brokers.base import Broker
from brokers.deadline import deadline
from brokers.errors import BrokerError, BrokerRefused
from brokers.loop_groups import LoopGroups
from brokers.messages import Envelope, Status
from brokers.parcel import Parcel, Rebind
from brokers.sender import Sender
from orchestrator.client.handles import Handle, run_ids_of
from orchestrator.client.open_block import OpenBlock
from orchestrator.client.open_futures import OpenFutures
from orchestrator.runs.run_ids import new_block, new_run_id
from orchestrator.states import State, StateType

log = logging.getLogger("orchestrator.fleet")
WITHDRAW_SECONDS: Final = 0.4
SAME_REASON_SECONDS: Final = 5.0  # failures that follow so soon after a line for the same reason are counted


class CallSender:
    """Sends the calls of one process.

    Args:
        sender: shares round trips among threads.
        broker: withdraws what must not stay queued.
        open_futures: settles the futures of calls that could not be sent.
        start_server: starts the private server before the time of a verb begins; ``None`` once nothing has to start.
        in_groups: plain calls of coroutines may go as blocks, and a queue takes any number of calls.

    Attributes:
        open_block: gives ids to calls that are sent by :meth:`send_buffered` one after another.
    """

    def __init__(
        self,
        sender: Sender,
        broker: Broker,
        open_futures: OpenFutures,
        start_server: Callable[[], object] | None,
        in_groups: bool = False,
    ) -> None:
        self._sender, self._broker, self._open_futures = sender, broker, open_futures
        self._start_server = start_server
        self.open_block = OpenBlock(lambda: sender.trips)
        self._failures = FailuresToSend()
        self._groups = LoopGroups(sender, new_block, new_run_id) if in_groups else None

    def send(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> Sequence[str]:
        """Send now; returns the run ids once the server has confirmed.

        Args:
            envelopes: what is sent.
            rebind: gives the body of the only call under another run id, so that it goes in a block with those of
                others; ``None``: it has to keep its own.

        Raises:
            BrokerError: what was queued all the same has been withdrawn, or is named by the error's run ids.
        """
        if self._start_server is not None:
            self._start()
        try:
            return self._sender.send(envelopes, rebind)
        except BrokerError as error:
            self._withdraw(error, len(envelopes))
            raise

    async def asend(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> Sequence[str]:
        """:meth:`send` without blocking the event loop."""
        if self._start_server is not None:
            await asyncio.to_thread(self._start)
        try:
            return await self._sender.asend(envelopes, rebind)
        except BrokerError as error:
            await self.refused(error, len(envelopes))
            raise

    @property
    def groups(self) -> LoopGroups | None:
        """:meth:`asend` for calls that share all but their bodies. Errors of what it returns go to :meth:`refused`.

        ``None``: only ``asend`` can send them: a server is to be started yet, or queues may be full.
        """
        return self._groups if self._start_server is None else None

    async def refused(self, error: BrokerError, count: int = 1) -> None:
        """Have the error of calls that could not all be sent say what became of them."""
        if error.queued_run_ids or error.doubtful_run_ids:
            await asyncio.to_thread(self._withdraw, error, count)

    def send_buffered(self, envelopes: Sequence[Envelope], futures: Sequence[Handle]) -> None:
        """Send within about a millisecond; if that fails the futures are Crashed with the error, which is logged.

        Those that are queued all the same, or may be, stay open: they end as the store says.
        """
        batch = self._open_futures.begin_to_send(run_ids_of(futures))

        def sent(parcel: Parcel) -> None:
            self._open_futures.has_sent(batch)
            error = parcel.error
            if error is not None:
                kept: frozenset[str] = frozenset()
                if isinstance(error, BrokerError):
                    if isinstance(error, BrokerRefused):
                        self._withdraw(error, len(futures))
                    kept = frozenset(error.queued_run_ids + error.doubtful_run_ids)
                    if error.doubtful_run_ids:
                        self._open_futures.ask_again()
                self._fail([future for future in futures if future.run_id not in kept], error)

        self._sender.send_buffered(envelopes, sent)

    def flush(self, wait_for_room: bool = False) -> None:
        """Send what waits, and log how many calls could not be sent, unless that is logged. Raises BrokerError."""
        try:
            self._sender.flush(wait_for_room=wait_for_room)
        finally:
            self._failures.say_how_many()

    def _start(self) -> None:
        """To start a server may take longer than a verb may, and many threads may wait for it."""
        start = self._start_server
        if start is not None:
            start()
            self._start_server = None

    def _withdraw(self, error: BrokerError, count: int) -> None:
        """Cancel what was queued although sending failed: nobody gets handles on it. The error says what stays."""
        if not error.queued_run_ids and not error.doubtful_run_ids:
            return
        withdrawn = 0
        if error.queued_run_ids and count > 1:
            queued = error.queued_run_ids
            with suppress(BrokerError), deadline(time.monotonic() + WITHDRAW_SECONDS):
                self._broker.runs.cancel(list(queued), "withdrawn: not all of its map was taken")
                stays = [one.run_id for one in self._broker.records.read(queued) if one.status != Status.CANCELLED]
                error.queued_run_ids = tuple(stays)  # workers had taken them
                withdrawn = len(queued) - len(stays)
        error.args = (f"{error} {what_became_of(count, withdrawn, error)}",)

    def _fail(self, futures: Sequence[Handle], error: BaseException) -> None:
        if not futures:
            return
        self._failures.add(len(futures), error)
        self._open_futures.forget(futures)
        for future in futures:
            future.settle_state(
                State(
                    StateType.CRASHED, "NotSent", f"could not be sent: {error}", data=error, task_run_id=future.run_id
                )
            )


class FailuresToSend:
    """Logs that calls could not be sent: the first at once, those that follow for the same reason in one line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason = ""
        self._at = 0.0
        self._more = 0

    def add(self, count: int, error: BaseException) -> None:
        """So many calls could not be sent."""
        reason, now = f"{type(error).__name__}: {error}", time.monotonic()
        with self._lock:
            if reason == self._reason and now - self._at < SAME_REASON_SECONDS:
                self._more += count
                return
        self.say_how_many()
        with self._lock:
            self._reason, self._at = reason, now
        log.error("%d call%s could not be sent: %s", count, "s" * (count != 1), error)

    def say_how_many(self) -> None:
        """How many more there were since the line that gave their reason."""
        with self._lock:
            more, self._more, reason, self._reason = self._more, 0, self._reason, ""
        if more:
            log.error("%d more call%s could not be sent for the same reason: %s", more, "s" * (more != 1), reason)


def what_became_of(count: int, withdrawn: int, error: BrokerError) -> str:
    """What is true of calls that could not all be sent, as a sentence."""
    queued, doubtful = len(error.queued_run_ids), len(error.doubtful_run_ids)
    if count == 1:
        (run_id,) = error.queued_run_ids or error.doubtful_run_ids
        return (
            f"The call {'is' if queued else 'may be'} queued as run {run_id}: ask PrefectFuture of that id for it, or "
            "repeat calls with an idempotency_key."
        )
    parts = [f"{withdrawn:,} were queued and have been withdrawn"] if withdrawn else []
    if queued:
        parts.append(f"{queued:,} are queued or have begun (queued_run_ids of this error)")
    if doubtful:
        parts.append(f"{doubtful:,} may be queued (doubtful_run_ids)")
    if rest := count - withdrawn - queued - doubtful:
        parts.append(f"{rest:,} were not sent")
    return f"Of {count:,} calls {', '.join(parts)}."
