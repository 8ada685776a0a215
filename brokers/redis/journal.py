"""The journal: which runs were submitted and how they went on, in order; lists of runs and histories are made from it.

Every script that changes runs appends one entry to one stream, and the entries are kept as long as results are. The
journal is an index, not the truth: whoever shows a run reads its record, with ``records.rows``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from brokers.records import BEGINNING, SUBMITTED, Change
from brokers.schema import JournalField
from brokers.stored import text

from .blocks import letters_of, run_ids_of
from .store import RedisStore, unpack
from .streams import newest_first

_SUBMITTED: Final = JournalField.SUBMITTED.encode()
_BLOCKS: Final = JournalField.BLOCKS.encode()
_PIECES: Final = JournalField.PIECES.encode()
_FLOW_RUNS: Final = JournalField.FLOW_RUNS.encode()
_NAMES: Final = JournalField.NAMES.encode()


class RedisJournal:
    """See :class:`brokers.base.Journal`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def newest(self) -> str:
        found = newest_first(self._store, self._store.keys.journal, "+", 1)
        return text(found[0][0]) if found else BEGINNING

    def after(self, position: str = BEGINNING, count: int = 1000) -> tuple[str, list[Change]]:
        entries = self._after(position, count)
        changes = [change for entry in entries for change in changes_of(entry)]
        return (entries[-1][0].decode() if entries else position), changes

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[tuple[str, list[Change]]]:
        return [(entry[0].decode(), changes_of(entry)) for entry in self._after(position, count)]

    def backwards(self, first: str = "+", count: int = 100) -> list[tuple[str, list[Change]]]:
        return [
            (entry[0].decode(), changes_of(entry))
            for entry in newest_first(self._store, self._store.keys.journal, first, count)
        ]

    def _after(self, position: str, count: int) -> list[Any]:
        (found,) = self._store.look([("XRANGE", self._store.keys.journal, f"({position}", "+", "COUNT", count)])
        return found or []


def changes_of(entry: Any) -> list[Change]:
    """The changes in one entry of the stream.

    >>> changes_of((b"1700000000000-0", [b"s", b"\\x91\\xa1x"]))
    [Change(run_id='x', status=b'S', moment=1700000000.0, of_flow=False, name='')]
    """
    position, fields = entry
    moment = int(position.split(b"-")[0]) / 1000
    try:
        field, packed = fields[:2]
        changes = unpack(packed)
        if field == _BLOCKS:
            new = zip(changes[::2], changes[1::2], strict=True)
            return [Change(run_id, SUBMITTED, moment) for name, count in new for run_id in run_ids_of(name, count)]
        if field == _PIECES:
            ended = zip(changes[::2], changes[1::2], strict=True)
            return [
                Change(run_id, status, moment)
                for name, (places, letters) in ended
                for run_id, status in letters_of(name, places, letters)
            ]
        if field == _SUBMITTED:
            return [Change(run_id.decode(), SUBMITTED, moment) for run_id in changes]
        pairs = [(changes[i].decode(), changes[i + 1]) for i in range(0, len(changes), 2)]
    except Exception:  # somebody damaged it; the records of the runs that it named are true all the same
        return []
    of_flows = field == _FLOW_RUNS
    names = _names(fields[2:]) if of_flows else ()
    return [
        Change(run_id, status, moment, of_flows, text(names[at]) if at < len(names) else "")
        for at, (run_id, status) in enumerate(pairs)
        if isinstance(status, bytes)
    ]


def _names(rest: Sequence[Any]) -> Sequence[Any]:
    """The names of flow runs' states, those that are not their types' own; older versions wrote none."""
    try:
        found = unpack(rest[1]) if rest and rest[0] == _NAMES else ()
    except Exception:
        return ()
    return found if isinstance(found, list) else ()
