"""A fleet without a server: what is sent is run, there and then.

The seam is ``fleet.use_fleet``: tasks, flows and handles speak to the process's fleet, whichever that is, so nothing on
the way of a call has to ask whether this is a test. Here a call is bound, packed, unpacked, run, and its end packed and
read, by the code that does it on a worker; only the queue, the server and the waiting are missing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, NamedTuple

from brokers.base import Broker
from brokers.memory.broker import MemoryBroker
from brokers.messages import Ack, AckKind, Delivery, Envelope, Status
from brokers.parcel import Parcel, Rebind
from brokers.schema import Extra, ScriptedEnd
from brokers.sender import Sender
from orchestrator.client.fleet import Fleet
from orchestrator.client.open_futures import OpenFutures
from orchestrator.client.own_loop import beside_this_thread
from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.drivers import run_attempt, run_attempt_async
from orchestrator.execution.verdicts import Retry, Verdict
from orchestrator.futures import PrefectFuture
from orchestrator.observability.log_shipper import LogShipper
from orchestrator.serializers import CipherRing, KeyRing
from orchestrator.settings import Settings
from orchestrator.slots.acks import Refusal, ack_for, refused
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.states import State


class InlineRun(NamedTuple):
    """Something that was sent."""

    task_key: str
    run_id: str
    state: State[Any]


class _Accepted(NamedTuple):
    """A call about to be run."""

    delivery: Delivery
    attempt: Attempt


class InlineFleet(Fleet):
    """Runs what is sent to it.

    Attributes:
        store: ends of runs, cached results; in memory.
    """

    def __init__(self, settings: Settings) -> None:
        self._memory = MemoryBroker(settings.result_ttl_seconds)
        self.store = self._memory.store
        self._ring = KeyRing([secrets.token_bytes(32)])
        self._secrets = CipherRing([secrets.token_bytes(32)])
        super().__init__(settings)
        self._unpacker = AttemptBuilder(self)

    def _connect(self) -> Broker:
        return self._memory

    def _make_sender(self) -> Sender:
        return _AtOnce(self)

    def _make_open_futures(self) -> OpenFutures:
        return _OpenFutures(self.broker, self.sender, self.process, self.broker.seconds)

    def _make_logs(self) -> LogShipper:
        return _LogsWhenRead(self.broker.logs, self.settings.log_lines_per_run)

    def key_ring(self) -> KeyRing:
        return self._ring

    def secrets_ring(self) -> CipherRing:
        return self._secrets

    @property
    def ready(self) -> bool:
        return True

    @property
    def runs(self) -> list[InlineRun]:
        """Everything that was sent, in order, with its latest state."""
        calls = [run.envelope for run in list(self.store.runs.values())]
        return [InlineRun(call.task, call.run_id, self.latest_state(call.run_id)) for call in calls]

    # -- running what is sent ------------------------------------------------------------------------------------

    def run(self, envelope: Envelope) -> str:
        """Run a call in this thread, all attempts; returns its run id (another one for a known idempotency key)."""
        if (run_id := self.store.add(envelope)) != envelope.run_id:
            return run_id
        wait_for_all(self._upstreams(envelope), None)
        call = self._accept(envelope)
        while call is not None:
            call = self._after(call, _drive(call.attempt))
        return envelope.run_id

    async def arun(self, envelope: Envelope) -> str:
        """:meth:`run` on this event loop; a sync task in a thread beside it."""
        if (run_id := self.store.add(envelope)) != envelope.run_id:
            return run_id
        await wait_async(self._upstreams(envelope))
        call = self._accept(envelope)
        while call is not None:
            call = self._after(call, await _drive_async(call.attempt))
        return envelope.run_id

    def _upstreams(self, envelope: Envelope) -> list[PrefectFuture[Any]]:
        """Runs it waits for; they have ended, unless another thread is at it."""
        wanted = (envelope.extras or {}).get(Extra.UPSTREAMS, ())
        return [PrefectFuture(run_id, source=self) for run_id, _ in wanted]

    def _accept(self, envelope: Envelope) -> _Accepted | None:
        """The first attempt, or ``None`` when an upstream did not complete."""
        delivery = self.store.begin(envelope.run_id, "inline")
        for run_id, after_failure in (envelope.extras or {}).get(Extra.UPSTREAMS, ()):
            if not after_failure and self.broker.records.read([run_id])[0].status != Status.COMPLETED:
                self._end(envelope.run_id, Status.NOT_READY, ScriptedEnd(run_id).pack())
                return None
        return self._attempt(delivery)

    def _attempt(self, delivery: Delivery) -> _Accepted | None:
        attempt = self._unpacker.attempt(delivery)
        if isinstance(attempt, Refusal):
            self._settle_with(refused(delivery, attempt, self))
            return None
        return _Accepted(delivery, attempt)

    def _after(self, call: _Accepted, verdict: Verdict) -> _Accepted | None:
        if isinstance(verdict, Retry):
            return self._attempt(call.delivery._replace(retries=call.delivery.retries + 1))
        self._settle_with(ack_for(call.delivery, call.attempt, verdict, self))
        return None

    def _settle_with(self, ack: Ack) -> None:
        how = AckKind.CRASHED if ack.how == AckKind.DEAD else ack.how
        self._end(ack.run_id, how.encode(), ack.outcome)

    def _end(self, run_id: str, status: bytes, outcome: bytes) -> None:
        self.store.end(run_id, status, outcome)
        self.open_futures.settle(run_id, status, outcome)


def _drive(attempt: Attempt) -> Verdict:
    """One attempt. Nothing of the caller's context reaches it, as on a worker.

    A thread whose event loop is running cannot start another one, which code on a worker may: then a thread is lent.
    """
    if _loop_runs_here():
        return beside_this_thread(lambda: run_attempt(attempt))
    return Context().run(run_attempt, attempt)


async def _drive_async(attempt: Attempt) -> Verdict:
    loop = asyncio.get_running_loop()
    if attempt.task.isasync:
        return await loop.create_task(run_attempt_async(attempt), context=Context())
    return await loop.run_in_executor(None, run_attempt, attempt)


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _OpenFutures(OpenFutures):
    """Ends come in the thread that sends."""

    def open_inbox(self) -> str:
        return self._process


class _AtOnce(Sender):
    """Sends to nobody: what is sent is run, in the thread or on the loop that sends it."""

    def __init__(self, fleet: InlineFleet) -> None:
        super().__init__(self.send)
        self._fleet = fleet

    def send(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> list[str]:
        return [self._fleet.run(envelope) for envelope in envelopes]

    def send_buffered(self, envelopes: Sequence[Envelope], notify: Callable[[Parcel], None]) -> None:
        self.send(envelopes)

    async def asend(self, envelopes: Sequence[Envelope], rebind: Rebind | None = None) -> list[str]:
        return [await self._fleet.arun(envelope) for envelope in envelopes]

    def flush(self, until: float | None = None, wait_for_room: bool = False) -> None:
        """Nothing ever waits."""


class _LogsWhenRead(LogShipper):
    """Keeps lines until they are read: no thread writes them."""

    def _write_soon(self) -> None:
        """Whoever reads them writes them first."""


__all__ = ["InlineFleet", "InlineRun"]
