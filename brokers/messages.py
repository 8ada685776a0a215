"""What a broker speaks: bytes under ids, never a Task or a State.

A call is written down once as an :class:`Envelope` (``submit``). A worker gets it as a :class:`Delivery`
(``fetch``) together with a *ticket*, the right to say how this delivery ended. It ends with a :class:`Ack`
(``complete``); an ack whose ticket is no longer the record's is ignored, so a run ends once. Whoever wants the
end of a run registers with ``expect`` and finds it in the inbox of its process.

All values here are tuples: they are created once per call on the hot path and cross the wire as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from .errors import BrokerError
from .schema import FINAL_STATUSES as FINAL_STATUSES
from .schema import AckKind as AckKind
from .schema import Status as Status

PRIORITIES: Final = ("high", "default", "low")
SYNC_LANE: Final = "s"  # calls that occupy a thread
ASYNC_LANE: Final = "a"  # calls that live on an event loop


class Route(NamedTuple):
    """Where a call queues: ``default:ds`` is queue *default*, default priority, sync lane."""

    queue: str
    priority: str = "default"
    lane: str = SYNC_LANE

    def __str__(self) -> str:
        return f"{self.queue}:{self.priority[0]}{self.lane}"


PRIORITY_LETTERS: Final = ("r", "H", "h", "D", "d", "L", "l")
"""From the first that is read: ``r`` has calls that come back, capitals what is left of ranges taken in part."""


def routes_of(queues: Sequence[str], lane: str) -> list[str]:
    """The routes that a worker of these queues reads for one lane, first come first read.

    >>> routes_of(["a", "b"], "s")[:4]
    ['a:rs', 'b:rs', 'a:Hs', 'b:Hs']
    """
    return [f"{queue}:{letter}{lane}" for letter in PRIORITY_LETTERS for queue in queues]


def is_async(ticket: str) -> bool:
    """Whether a delivery came by the lane of async calls.

    >>> is_async("mail:ha 1700000000000-0"), is_async("mail:hs 1700000000000-0"), is_async("")
    (True, False, False)
    """
    return ticket.partition(" ")[0].endswith(ASYNC_LANE)


def queue_of(ticket: str) -> str | None:
    """The queue that a delivery came from; ``None`` if the ticket does not say.

    >>> queue_of("mail:hs 1700000000000-0"), queue_of("@mail:hs 42")
    ('mail', 'mail')
    """
    route, space, _ = ticket.partition(" ")
    return route[:-3].removeprefix("@") if space and route[-3:-2] == ":" else None


class Envelope(NamedTuple):
    """One call on its way to the store. Optional parts are ``None``; times are milliseconds.

    ``extras`` holds what few calls have, under the keys of :class:`brokers.schema.Extra`.
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
    results: Mapping[str, tuple[bytes, bytes]] | None = None  # status and outcome of all of these, if they came along


class NotSettled(BrokerError):
    """Calls were taken, but the acks that went along may not be stored: they are to be sent again.

    Args:
        deliveries: the calls, which the consumer holds now.
        error: why the acks were not stored.
    """

    def __init__(self, deliveries: list[Delivery], error: BrokerError) -> None:
        super().__init__(str(error))
        self.deliveries, self.error = deliveries, error


class Named(NamedTuple):
    """What a message of another broker names: a call by its run id, or a range of a block by the range's id."""

    key: str
    ticket: str
    first: int = 0  # place in its block
    calls: int = 0  # of a range; 0: it is a call


class Ack(NamedTuple):
    """How one delivery ended. ``outcome`` is kept with the record for ``ttl_ms`` and given to whoever waits.

    Of one that ends as ``UNKNOWN``, ``behind`` says that no live worker knows the task (empty: one does), ``delay_ms``
    is how long that may last, and ``outcome`` is the end of the run if it lasts longer.
    """

    ticket: str
    run_id: str
    how: str
    outcome: bytes
    ttl_ms: int
    delay_ms: int = 0
    behind: str = ""
    drop_body: int = 0  # 1: the arguments are large and nobody will want them again
    name: bytes = b""  # of the run, where its task gives names


class KillVerdict(NamedTuple):
    """What becomes of a call whose process was killed because the call did not stop.

    ``how`` is ``FAILED``, ``CANCELLED`` or ``RETRY`` of :class:`AckKind`; the rest as in
    :class:`brokers.schema.ScriptedEnd`.
    """

    how: str
    text: str
    delay_ms: int = 0  # until the retry
    reason: str = ""
    stack: str = ""  # the last one of the call


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
    due_at: float | None = None  # unix seconds; when one that waits for a moment is queued


RunEnd: TypeAlias = tuple[str, bytes, bytes]
"""(run id, status, outcome)"""
