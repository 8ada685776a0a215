"""A fleet without a server: what is sent is run, there and then.

The seam is ``fleet.use_fleet``: tasks, flows and handles speak to the process's fleet, whichever that is, so nothing on
the way of a call has to ask whether this is a test. Here a call is bound, packed, unpacked, run, and its end packed and
read, by the code that does it on a worker; only the queue, the server and the waiting are missing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any, NamedTuple, NoReturn, cast

from brokers.contract import Delivery, Ending, Envelope, Settlement, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.sender import Parcel, Sender
from brokers.urls import ServerAddress
from orchestrator.drivers import run_attempt, run_attempt_async
from orchestrator.engine import Again, Attempt, Verdict
from orchestrator.errors import BrokerUnavailable
from orchestrator.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.log_shipper import LogShipper
from orchestrator.serializers import KeyRing
from orchestrator.settings import Settings
from orchestrator.slots.delivered import Refusal, Unpacker, refused, settlement_for
from orchestrator.states import State
from orchestrator.testing.inline_store import InlineLogs, InlineStore
from orchestrator.waiting import wait_async, wait_for_all


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
        super().__init__(settings)
        self.store = InlineStore(settings.result_ttl_seconds)
        self.broker = cast(RedisBroker, self.store)  # the verbs that clients and the engine use
        self.sender = cast(Sender, _AtOnce(self))
        self.logs = cast(LogShipper, InlineLogs())
        self._ring = KeyRing([secrets.token_bytes(32)])
        self._unpacker = Unpacker(self)

    def _locator(self) -> Callable[[], ServerAddress]:
        def nowhere() -> NoReturn:
            raise BrokerUnavailable("there is no server inside inline(); use private_fleet() for what needs one")

        return nowhere

    def key_ring(self) -> KeyRing:
        return self._ring

    @property
    def ready(self) -> bool:
        return True

    def open_inbox(self) -> str:
        return self.process

    @property
    def runs(self) -> list[InlineRun]:
        """Everything that was sent, in order, with its latest state."""
        records = list(self.store.records.values())
        return [InlineRun(record.task or "?", record.run_id, self.latest_state(record.run_id)) for record in records]

    # -- running what is sent ------------------------------------------------------------------------------------

    def run(self, envelope: Envelope) -> str:
        """Run a call in this thread, all attempts; returns its run id (another one for a known idempotency key)."""
        if (known := self.store.known(envelope)) is not None:
            return known
        wait_for_all(self._upstreams(envelope), None)
        call = self._accept(envelope)
        while call is not None:
            call = self._after(call, _drive(call.attempt))
        return envelope.run_id

    async def arun(self, envelope: Envelope) -> str:
        """:meth:`run` on this event loop; a sync task in a thread beside it."""
        if (known := self.store.known(envelope)) is not None:
            return known
        await wait_async(self._upstreams(envelope))
        call = self._accept(envelope)
        while call is not None:
            call = self._after(call, await _drive_async(call.attempt))
        return envelope.run_id

    def _upstreams(self, envelope: Envelope) -> list[PrefectFuture[Any]]:
        """Runs it waits for; they have ended, unless another thread is at it."""
        wanted = (envelope.extras or {}).get("r", ())
        return [PrefectFuture(run_id, source=self) for run_id, _ in wanted]

    def _accept(self, envelope: Envelope) -> _Accepted | None:
        """The first attempt, or ``None`` when an upstream did not complete."""
        self.store.note_running(envelope)
        extras = envelope.extras or {}
        for run_id, goes_on in extras.get("r", ()):
            if not goes_on and self.store.status(run_id) != Status.COMPLETED:
                self._end(envelope.run_id, Status.NOT_READY, b"\0" + run_id.encode())
                return None
        return self._attempt(
            Delivery(
                f"{envelope.route} inline",
                envelope.run_id,
                envelope.task,
                envelope.body,
                retries=0,
                crashes=0,
                flow_run_id=envelope.flow_run_id,
                meta=envelope.meta,
                deliveries=1,
                upstreams=extras.get("u"),
            )
        )

    def _attempt(self, delivery: Delivery) -> _Accepted | None:
        attempt = self._unpacker.attempt(delivery)
        if isinstance(attempt, Refusal):
            self._settle_with(refused(delivery, attempt, self))
            return None
        return _Accepted(delivery, attempt)

    def _after(self, call: _Accepted, verdict: Verdict) -> _Accepted | None:
        if isinstance(verdict, Again):
            return self._attempt(call.delivery._replace(retries=call.delivery.retries + 1))
        self._settle_with(settlement_for(call.delivery, call.attempt, verdict, self))
        return None

    def _settle_with(self, settlement: Settlement) -> None:
        how = Ending.CRASHED if settlement.how == Ending.DEAD else settlement.how
        self._end(settlement.run_id, how.encode(), settlement.outcome)

    def _end(self, run_id: str, status: bytes, outcome: bytes) -> None:
        self.store.end(run_id, status, outcome)
        self._settle(run_id, status, outcome)


def _drive(attempt: Attempt) -> Verdict:
    """One attempt. Nothing of the caller's context reaches it, as on a worker.

    A thread whose event loop is running cannot start another one, which code on a worker may: then a thread is lent.
    """
    if _loop_runs_here():
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run_attempt, attempt).result()
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


class _AtOnce:
    """Sends as :class:`brokers.redis.sender.Sender` does, to nobody."""

    def __init__(self, fleet: InlineFleet) -> None:
        self._fleet = fleet

    def send(self, envelopes: Sequence[Envelope]) -> list[str]:
        return [self._fleet.run(envelope) for envelope in envelopes]

    def send_soon(self, envelopes: Sequence[Envelope], notify: Callable[[Parcel], None]) -> None:
        self.send(envelopes)

    async def asend(self, envelopes: Sequence[Envelope]) -> list[str]:
        return [await self._fleet.arun(envelope) for envelope in envelopes]

    def flush(self) -> None:
        """Nothing ever waits."""


__all__ = ["InlineFleet", "InlineRun"]
