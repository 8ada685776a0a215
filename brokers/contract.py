"""What a broker speaks: bytes under ids, never a Task or a State.

A call is written down once as an :class:`Envelope` (``submit``). A worker gets it as a :class:`Delivery`
(``fetch``) together with a *ticket*, the right to say how this delivery ended. It ends with a :class:`Settlement`
(``complete``); a settlement whose ticket is no longer the record's is ignored, so a run ends once. Whoever wants the
end of a run says so with ``expect`` and finds it in the inbox of its process.

All values here are tuples: they are created once per call on the hot path and cross the wire as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

PRIORITIES: Final = ("high", "default", "low")
SYNC_LANE: Final = "s"  # calls that occupy a thread
ASYNC_LANE: Final = "a"  # calls that live on an event loop


class Status:
    """Where a run stands, one byte each, as kept in its record."""

    PARKED: Final = b"P"  # waits for other runs
    LIMITED: Final = b"W"  # waits for a place under a named limit
    DELAYED: Final = b"D"  # waits for a moment: countdown, eta, retry
    QUEUED: Final = b"Q"
    RUNNING: Final = b"R"
    CANCELLING: Final = b"X"  # someone asked the running call to stop
    AWAY: Final = b"A"  # a foreign Celery application has it, and has not begun
    AWAY_RUNNING: Final = b"B"  # it runs there
    COMPLETED: Final = b"C"
    FAILED: Final = b"F"
    CANCELLED: Final = b"K"
    CRASHED: Final = b"Z"
    NOT_READY: Final = b"N"  # an upstream did not complete: will never run
    UNKNOWN: Final = b"?"  # there is no record of such a run (any more)


SETTLED: Final = frozenset((Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.CRASHED, Status.NOT_READY))


class Route(NamedTuple):
    """Where a call queues: ``default:ds`` is queue *default*, default priority, sync lane."""

    queue: str
    priority: str = "default"
    lane: str = SYNC_LANE

    def __str__(self) -> str:
        return f"{self.queue}:{self.priority[0]}{self.lane}"


class Envelope(NamedTuple):
    """One call on its way to the store. Optional parts are ``None``; times are milliseconds.

    ``extras`` holds what few calls have, under one-letter keys (see ``brokers/redis/scripts/submit.lua``): ``d`` delay,
    ``r`` runs it waits for as pairs (run id, goes on after a failure), ``i`` idempotency key and its time to live,
    ``u`` packed list of the runs whose results the body refers to, ``x`` expiry from now, ``l`` and ``g`` named limits,
    ``p`` the process that keeps this call to itself, ``y`` deliveries allowed, ``k`` time to live.
    """

    run_id: str
    task: str
    route: str
    body: bytes
    flow_run_id: str | None = None
    reply_to: str | None = None
    meta: bytes | None = None
    extras: dict[str, Any] | None = None


class Delivery(NamedTuple):
    """One call handed to a worker."""

    ticket: str
    run_id: str
    task: str
    body: bytes
    retries: int  # attempts that ended and were followed by another
    crashes: int  # attempts that died with their worker
    flow_run_id: str | None
    meta: bytes | None
    deliveries: int  # 1 for the first time
    upstreams: bytes | None = None  # packed list of the runs whose results the body refers to


class Ending:
    """How a delivery ends (the ``how`` of a settlement)."""

    COMPLETED: Final = "C"
    FAILED: Final = "F"
    CANCELLED: Final = "K"
    CRASHED: Final = "Z"
    RETRY: Final = "D"  # again, after a delay
    BEHIND: Final = "P"  # again, when another run has ended; after the delay if the store does not know that run
    HAND_BACK: Final = "H"  # not started: someone else may have it
    DEAD: Final = "L"  # Crashed, and kept among the dead letters


class Settlement(NamedTuple):
    """How one delivery ended. ``outcome`` is kept with the record for ``ttl_ms`` and given to whoever waits."""

    ticket: str
    run_id: str
    how: str
    outcome: bytes
    ttl_ms: int
    delay_ms: int = 0
    behind: str = ""
    drop_body: int = 0  # 1: the arguments are large and nobody will want them again


class KillVerdict(NamedTuple):
    """What becomes of a call whose process was killed because the call did not stop.

    ``how`` is ``FAILED``, ``CANCELLED`` or ``RETRY`` of :class:`Ending`. ``text`` is one sentence; a zero byte and the
    last stack of the call may follow.
    """

    how: str
    text: str
    delay_ms: int = 0  # until the retry


class Record(NamedTuple):
    """What the store knows of a run."""

    run_id: str
    status: bytes
    outcome: bytes | None
    retries: int = 0
    crashes: int = 0
    task: str | None = None
    flow_run_id: str | None = None
    started_at: float | None = None  # unix seconds
    take_overs: int = 0  # how often it was given to another worker because its own had died


Settled: TypeAlias = tuple[str, bytes, bytes]
"""(run id, status, outcome)"""


class Broker(Protocol):
    """The verbs. Every one may raise :class:`brokers.errors.BrokerError` and is safe to repeat."""

    def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        """Write records and queue entries; returns the run ids (another one where an idempotency key was known)."""

    def complete(self, consumer: str, settlements: Sequence[Settlement]) -> list[str]:
        """Settle; returns the run ids whose settlement was refused because the ticket was stale."""

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        """What is known of these runs, in order."""

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[Settled]:
        """Have the ends of these runs sent to an inbox; returns those that have ended already."""

    def cancel(self, run_ids: Sequence[str], reason: str = ...) -> list[bytes]:
        """Cancel; returns the status each run had before."""
