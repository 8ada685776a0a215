"""The journal: which runs were submitted and how they went on, in order; lists of runs and histories are made from it.

Every script that changes runs appends one entry to one stream, and the entries are kept as long as results are. The
journal is an index, not the truth: whoever shows a run reads its record, with :meth:`Journal.rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from brokers.contract import SETTLED, Status
from brokers.errors import BrokerRefused
from brokers.redis.broker import RedisBroker, unpack
from brokers.redis.keys import GROUP

SUBMITTED: Final = b"S"
BEGINNING: Final = "0-0"
ROWS_PER_TRIP: Final = 500


class Change(NamedTuple):
    """A run has a new status.

    ``status`` is :data:`SUBMITTED` for a new run, ``Status.UNKNOWN`` for one that was deleted; for a flow run it is the
    type of its state, such as ``b"RUNNING"``.
    """

    run_id: str
    status: bytes
    moment: float  # unix seconds, by the server's clock
    of_flow: bool = False


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


class Journal:
    """Reads the journal of a broker's namespace.

    Args:
        broker: whose server and namespace.
    """

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker

    def newest(self) -> str:
        """The position after everything that has been written until now."""
        found = self._entries("XREVRANGE", "+", "-", 1)
        return found[0][0].decode() if found else BEGINNING

    def after(self, position: str = BEGINNING, count: int = 1000) -> tuple[str, list[Change]]:
        """The changes after a position, oldest first, of at most ``count`` entries; and the position to go on from.

        Raises:
            BrokerError: the server does not answer.
        """
        entries = self._entries("XRANGE", f"({position}", "+", count)
        changes = [change for entry in entries for change in changes_of(entry)]
        return (entries[-1][0].decode() if entries else position), changes

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[tuple[str, list[Change]]]:
        """At most ``count`` entries after a position, the oldest first: position and changes of each."""
        return [(entry[0].decode(), changes_of(entry)) for entry in self._entries("XRANGE", f"({position}", "+", count)]

    def backwards(self, first: str = "+", count: int = 100) -> list[tuple[str, list[Change]]]:
        """At most ``count`` entries, the newest first: position and changes of each.

        Args:
            first: position of the first one, itself included; ``(`` in front of it: not included.
            count: how many at most; fewer come at the journal's beginning only.
        """
        return [(entry[0].decode(), changes_of(entry)) for entry in self._entries("XREVRANGE", first, "-", count)]

    def _entries(self, command: str, first: str, last: str, count: int) -> list[Any]:
        key = self._broker.keys.journal
        (found,) = self._broker.wires.commands([(command, key, first, last, "COUNT", count)])
        return found or []

    def rows(self, run_ids: Sequence[str], largest_outcome: int = 0) -> list[Row]:
        """The records of runs, in order, as a list shows them.

        Args:
            run_ids: which.
            largest_outcome: bytes; outcomes up to this size are given along.
        """
        rows: list[Row] = []
        for first in range(0, len(run_ids), ROWS_PER_TRIP):
            some = list(run_ids[first : first + ROWS_PER_TRIP])
            replies = self._broker._run("rows", [some, largest_outcome])
            rows += [_row(run_id, fields) for run_id, fields in zip(some, replies, strict=True)]
        return rows

    def holder(self, row: Row) -> str | None:
        """The consumer that has claimed a run and not ended it; ``None``: it waits, or has ended."""
        route, _, entry = row.ticket.partition(" ")
        if not entry or route.startswith("@") or row.status in SETTLED:
            return None
        stream = self._broker.keys.stream(route)
        try:
            (held,) = self._broker.wires.commands([("XPENDING", stream, GROUP, entry, entry, 1)])
        except BrokerRefused:  # nobody has read this stream yet
            return None
        return held[0][1].decode() if held else None


def changes_of(entry: Any) -> list[Change]:
    """The changes that one entry of the stream tells.

    >>> changes_of((b"1700000000000-0", [b"s", b"\\x91\\xa1x"]))
    [Change(run_id='x', status=b'S', moment=1700000000.0)]
    """
    position, (field, packed) = entry
    moment = int(position.split(b"-")[0]) / 1000
    told = unpack(packed)
    if field == b"s":
        return [Change(run_id.decode(), SUBMITTED, moment) for run_id in told]
    return [Change(told[i].decode(), told[i + 1], moment, field == b"f") for i in range(0, len(told), 2)]


def _row(run_id: str, fields: Any) -> Row:
    if not fields:
        return Row(run_id)
    status, task, route, flow, meta, retries, crashes, take_overs, started, due, ticket, outcome = fields
    home = (route or b"").decode()
    return Row(
        run_id,
        status,
        (task or b"").decode("utf-8", "replace"),
        home[:-3],
        home[-2:-1],
        flow.decode() if flow else None,
        meta or None,
        int(retries or 0),
        int(crashes or 0),
        int(take_overs or 0),
        int(started) / 1000 if started else None,
        float(due) / 1000 if due else None,
        (ticket or b"").decode(),
        outcome or None,
    )
