"""What the facets of a broker give back, beside the messages of a call: rows, changes and figures.

The values are what the store holds, not yet opened: an outcome or a name may be signed and encrypted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from brokers.schema import Status

SUBMITTED: Final = b"S"  # the status of a new run in the journal
BEGINNING: Final = "0-0"  # the position before the journal's first entry
PURGED: Final = "purged"  # why the runs of a purged queue are cancelled
CALLS_AT_ONCE: Final = 500  # calls that one verb takes in one portion: a server serves others between two portions

Item = TypeVar("Item")


def in_portions(many: Sequence[Item], size: int = CALLS_AT_ONCE) -> Iterator[list[Item]]:
    """These, as many at a time as one script should take; nothing of nothing.

    >>> list(in_portions("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    return (list(many[first : first + size]) for first in range(0, len(many), size))


class Change(NamedTuple):
    """A run has a new status.

    ``status`` is :data:`SUBMITTED` for a new run, ``Status.UNKNOWN`` for one that was deleted; for a flow run it is the
    type of its state, such as ``b"RUNNING"``.

    ``name`` is that of a flow run's state, empty where it is the type's own.
    """

    run_id: str
    status: bytes
    moment: float  # unix seconds, by the server's clock
    of_flow: bool = False
    name: str = ""


class Place(NamedTuple):
    """What a named limit means for a run: whether the run waits for a place, and who holds the places."""

    limit: str
    size: int
    waits: bool
    holders: frozenset[str]  # run ids


class Row(NamedTuple):
    """What a list shows of a run; ``status`` is ``Status.UNKNOWN`` where the record has expired."""

    run_id: str
    status: bytes = Status.UNKNOWN
    task: str = ""
    queue: str = ""
    priority: str = ""  # one letter: h, d or l
    flow_run_id: str | None = None
    meta: bytes | None = None
    retries: int = 0
    crashes: int = 0
    take_overs: int = 0
    started_at: float | None = None  # unix seconds; only of runs that ran long enough to be noted
    due_at: float | None = None  # unix seconds; not to be queued before
    ticket: str = ""
    outcome: bytes | None = None  # absent where it was not asked for, is too large, or there is none
    name: bytes | None = None  # that the run was given (``task_run_name``), from its first longer attempt or end on


class Standing(NamedTuple):
    """Where the call of a run stands; ``Status.UNKNOWN`` where there is none (any more)."""

    status: bytes = Status.UNKNOWN
    is_held: bool = False  # a worker has it, and has not noted that it began


class Backlog(NamedTuple):
    """How many calls wait, and how many each consumer holds; ``due_soon`` counts delayed runs of every queue."""

    waiting: int
    due_soon: int
    held: dict[str, int]


class QueueFigures(NamedTuple):
    """What the server knows of a queue; ``None`` where that is not cheap to know."""

    name: str
    waiting: int
    held: int
    delayed: int | None
    oldest_seconds: float | None
    paused: bool


class ConsumerFigures(NamedTuple):
    """What the server knows of a live consumer."""

    name: str
    beat_age_seconds: float
    facts: dict[str, str]
    held: int
    running: list[str]


class ExternalRun(NamedTuple):
    """A run that a foreign Celery application is about to get. Absent parts are ``None``."""

    run_id: str
    task: str
    flow_run_id: str | None = None
    reply_to: str | None = None


class ExternalNote(NamedTuple):
    """What has become of such a run; ``how`` is :data:`BEGUN`, :data:`AGAIN` or a letter of ``AckKind``."""

    run_id: str
    how: str
    outcome: bytes = b""
    ttl_ms: int = 0
    retries: int = 0


BEGUN: Final = Status.AWAY_RUNNING.decode()  # an attempt has begun there
AGAIN: Final = Status.AWAY.decode()  # an attempt ended there, and another one follows
