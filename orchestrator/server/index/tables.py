"""The index's SQLite file: one writer, any number of readers, and the counters that answer without it.

It is rebuilt at every start and never outlives its process, so nothing is written for durability.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from brokers.facets.runs import FlowRunName
from brokers.messages import FINAL_STATUSES
from orchestrator.server.index.durations import Durations
from orchestrator.server.index.encoding import Interned, id_of, key_of, moment_of, sequence_at
from orchestrator.server.index.facts import Facts, StateName
from orchestrator.server.index.folder import new_folder, remove

_SCHEMA: Final = """
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,  -- its place in the journal: newest first is the order of every list
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,    -- task and queue
    state INTEGER NOT NULL,   -- type and name
    flow INTEGER, parent BLOB, worker INTEGER, tags TEXT,
    started INTEGER, ended INTEGER,  -- unix milliseconds
    status BLOB NOT NULL,     -- the record's letter
    took INTEGER              -- microseconds of the last attempt
);
CREATE INDEX runs_kind ON runs (kind, state);
CREATE INDEX runs_flow ON runs (flow, kind, state) WHERE flow IS NOT NULL;
CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE TABLE tags (tag INTEGER, seq INTEGER, PRIMARY KEY (tag, seq)) WITHOUT ROWID;
CREATE TABLE messages (seq INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE events (id BLOB, seq INTEGER, status BLOB, PRIMARY KEY (id, seq)) WITHOUT ROWID;
CREATE TABLE flows (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, created INTEGER NOT NULL, flow INTEGER,
    type TEXT, ended INTEGER, parent BLOB, deployment BLOB);
CREATE INDEX flows_created ON flows (created);
CREATE INDEX flows_parent ON flows (parent) WHERE parent IS NOT NULL;
CREATE INDEX flows_deployment ON flows (deployment, created) WHERE deployment IS NOT NULL;
"""
_INSERT: Final = "INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
MAX_IN_QUERY: Final = 500
ENDED_TYPES: Final = frozenset(("COMPLETED", "FAILED", "CANCELLED", "CRASHED"))
Kind = tuple[str, str]  # task and queue


class End(NamedTuple):
    """The end of a run, from its row."""

    moment: int  # unix milliseconds
    place: int  # the same, as a place in the journal
    status: bytes
    is_noted: bool  # whether it is among the run's events too


class Tables:
    """The SQLite file, and counters in memory."""

    def __init__(self) -> None:
        self.folder, lock = new_folder()
        self._finalizer = weakref.finalize(self, remove, str(self.folder), lock)
        self._path = self.folder / "runs.sqlite"
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self.kinds: Interned[Kind] = Interned()
        self.states: Interned[StateName] = Interned()
        self.workers: Interned[str] = Interned()
        self.tags: Interned[str] = Interned()
        self.flow_names: Interned[str] = Interned()
        self.counts: Counter[tuple[int, int]] = Counter()  # (kind, state)
        self.durations = Durations()  # by kind
        self.task_names: dict[str, str] = {}  # task -> its name, where ``@task(name=...)`` gave it one
        self.tag_counts: Counter[int] = Counter()
        self.worker_counts: Counter[int] = Counter()
        self.flow_counts: defaultdict[int, Counter[tuple[int, int]]] = defaultdict(Counter)  # flow -> (kind, state)
        self.flow_times: dict[tuple[int, int], list[int | None]] = {}  # (flow, kind) -> first begun, last ended
        self._flow_numbers: dict[str, int] = {}
        self._named_flows: set[str] = set()
        self.writer = self._connect()
        self.writer.executescript(_SCHEMA)
        self.total = 0

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = WAL")  # readers see the last whole batch while one is written
        connection.execute("PRAGMA cache_size = -32000")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA mmap_size = 1073741824")
        with self._lock:
            self._connections.append(connection)
        return connection

    @property
    def reader(self) -> sqlite3.Connection:
        """This thread's connection for reading."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
        return found

    def close(self) -> None:
        """Close everything and remove the file."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._finalizer()

    @property
    def size(self) -> int:
        """Size of the file and its log."""
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self.folder))
        except OSError:
            return 0

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the writer."""
        self.writer.execute("BEGIN")
        try:
            yield self.writer
        except BaseException:
            self.writer.execute("ROLLBACK")
            raise
        self.writer.execute("COMMIT")

    # -- runs ----------------------------------------------------------------------------------------------------

    def sequences(self, run_ids: Iterable[str], connection: sqlite3.Connection | None = None) -> dict[str, int]:
        """The places of those runs that are indexed."""
        rows = _in_slices(connection or self.writer, "SELECT id, seq FROM runs WHERE id IN ({})", map(key_of, run_ids))
        return {id_of(key): seq for key, seq in rows}

    def write(self, runs: Sequence[tuple[int, Facts]], known: Container[int]) -> None:
        """Insert runs at their places, or replace those of known places; within :meth:`writing`."""
        self._uncount([seq for seq, _ in runs if seq in known])
        rows, tags, messages, silent = [], [], [], []
        for seq, facts in runs:
            row = self._row(seq, facts)
            rows.append(row)
            self._count(row, 1)
            if row[4] is not None:
                self._note_times(row)
            tags += [(tag, seq) for tag in map(self.tags.number, facts.tags)]
            if facts.task_name:
                self.task_names[facts.task] = facts.task_name
            if facts.message or facts.name:
                messages.append((seq, "\n".join(filter(None, (facts.message, facts.name)))))
            elif seq in known:
                silent.append((seq,))
        self.writer.executemany(_INSERT, rows)
        if tags:
            self.writer.executemany("INSERT OR IGNORE INTO tags VALUES (?,?)", tags)
        if messages:
            self.writer.executemany("INSERT OR REPLACE INTO messages VALUES (?,?)", messages)
        if silent:
            self.writer.executemany("DELETE FROM messages WHERE seq = ?", silent)

    def _row(self, seq: int, facts: Facts) -> tuple[Any, ...]:
        return (
            seq,
            key_of(facts.run_id),
            self.kinds.number((facts.task, facts.queue)),
            self.states.number(facts.state),
            self.flow_number(facts.flow_run_id, seq) if facts.flow_run_id else None,
            key_of(facts.parent) if facts.parent else None,
            self.workers.number(facts.worker) if facts.worker else None,
            " ".join(str(self.tags.number(tag)) for tag in facts.tags) or None,
            facts.started,
            facts.ended,
            facts.status,
            facts.took_us,
        )

    def _count(self, row: Sequence[Any], change: int) -> None:
        _, _, kind, state, flow, _, worker, tags = row[:8]
        if (took := row[-1]) is not None:
            self.durations.add(kind, took, change)
        self.total += change
        self.counts[kind, state] += change
        if flow is not None:
            self.flow_counts[flow][kind, state] += change
        if worker is not None:
            self.worker_counts[worker] += change
        if tags:
            for tag in tags.split(" "):
                self.tag_counts[int(tag)] += change

    def _note_times(self, row: Sequence[Any]) -> None:
        """Keep the first start and the last end of a task in a flow run."""
        times = self.flow_times.setdefault((row[4], row[2]), [None, None])
        started, ended = row[8], row[9]
        if started is not None and (times[0] is None or started < times[0]):
            times[0] = started
        if ended is not None and (times[1] is None or ended > times[1]):
            times[1] = ended

    def _uncount(self, sequences: Iterable[int]) -> list[tuple[Any, ...]]:
        sql = "SELECT seq, id, kind, state, flow, parent, worker, tags, took FROM runs WHERE seq IN ({})"
        rows = list(_in_slices(self.writer, sql, sequences))
        for row in rows:
            self._count(row, -1)
        return rows

    def remove(self, sequences: Iterable[int]) -> None:
        """Remove runs; within :meth:`writing`."""
        rows = self._uncount(sequences)
        places = [(row[0],) for row in rows]
        self.writer.executemany("DELETE FROM runs WHERE seq = ?", places)
        self.writer.executemany("DELETE FROM messages WHERE seq = ?", places)
        self.writer.executemany("DELETE FROM events WHERE id = ?", [(row[1],) for row in rows])
        tags = [(int(tag), row[0]) for row in rows if row[7] for tag in row[7].split(" ")]
        self.writer.executemany("DELETE FROM tags WHERE tag = ? AND seq = ?", tags)

    def add_events(self, events: Iterable[tuple[str, int, bytes]]) -> None:
        """Run, place in the journal, letter; within :meth:`writing`."""
        rows = [(key_of(run_id), seq, status) for run_id, seq, status in events]
        self.writer.executemany("INSERT OR IGNORE INTO events VALUES (?,?,?)", rows)

    def ends_of(self, sequences: Iterable[int]) -> dict[str, End]:
        """The ends of those runs that have ended."""
        last = "SELECT status FROM events WHERE events.id = runs.id ORDER BY seq DESC LIMIT 1"
        sql = f"SELECT id, ended, status, seq, ({last}) FROM runs WHERE ended IS NOT NULL AND seq IN ({{}})"
        return {
            id_of(key): End(ended, max(sequence_at(ended), seq + 1), status, noted in FINAL_STATUSES)
            for key, ended, status, seq, noted in _in_slices(self.writer, sql, sequences)
        }

    def runs_after(self, seq: int, last: int, most: int) -> list[tuple[int, str]]:
        """The next runs after a place, oldest first."""
        sql = "SELECT seq, id FROM runs WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?"
        return [(place, id_of(key)) for place, key in self.writer.execute(sql, (seq, last, most))]

    # -- flow runs -----------------------------------------------------------------------------------------------

    def flow_number(self, flow_run_id: str, seq: int) -> int:
        """The number of a flow run; an unknown one gets a row, as old as this place."""
        found = self._flow_numbers.get(flow_run_id)
        if found is None:
            sql = "INSERT INTO flows (id, created) VALUES (?, ?)"
            found = self.writer.execute(sql, (key_of(flow_run_id), moment_of(seq))).lastrowid or 0
            self._flow_numbers[flow_run_id] = found
        return found

    def flows_after(self, place: tuple[int, int], last: int, most: int) -> list[tuple[tuple[int, int], str]]:
        """The next flow runs after a place (moment and number) that began before a moment, oldest first."""
        later = "(created, number) > (?, ?) AND created < ?"
        sql = f"SELECT created, number, id FROM flows WHERE {later} ORDER BY created, number LIMIT ?"
        rows = self.writer.execute(sql, (*place, last, most))
        return [((created, number), id_of(key)) for created, number, key in rows]

    def known_flow(self, flow_run_id: str) -> int | None:
        """The number of a flow run, if it is known."""
        return self._flow_numbers.get(flow_run_id)

    def flow_is_named(self, flow_run_id: str) -> bool:
        """Whether the name of the flow is known."""
        return flow_run_id in self._named_flows

    def note_flow(
        self, flow_run_id: str, events: Sequence[tuple[int, bytes]], named: FlowRunName | None, newest: bool
    ) -> None:
        """Write events of a flow run, oldest first; within :meth:`writing`.

        Args:
            flow_run_id: the flow run.
            events: places in the journal, and types of state.
            named: what it is a run of, if that was read.
            newest: whether no later event is known.
        """
        number = self.flow_number(flow_run_id, events[0][0])
        if named is not None:
            self._named_flows.add(flow_run_id)
            keys = (key_of(other) if other else None for other in (named.parent, named.deployment))
            sql = "UPDATE flows SET flow = ?, parent = ?, deployment = ? WHERE number = ?"
            self.writer.execute(sql, (self.flow_names.number(named.flow), *keys, number))
        sql = "UPDATE flows SET created = min(created, ?) WHERE number = ?"
        self.writer.execute(sql, (moment_of(events[0][0]), number))
        place, status = events[-1]
        type_ = status.decode("ascii", "replace")
        ended = moment_of(place) if type_ in ENDED_TYPES else None
        sql = "UPDATE flows SET type = ?, ended = ? WHERE number = ?" + ("" if newest else " AND type IS NULL")
        self.writer.execute(sql, (type_, ended, number))

    def forget_flow(self, flow_run_id: str) -> None:
        """Remove a flow run whose record has expired; within :meth:`writing`."""
        number = self._flow_numbers.get(flow_run_id)
        counts = self.flow_counts.get(number, Counter()) if number is not None else Counter()
        if number is not None and not any(counts.values()):  # as long as one of its task runs is known, it is, too
            self.writer.execute("DELETE FROM flows WHERE number = ?", (number,))
            del self._flow_numbers[flow_run_id]
            self._named_flows.discard(flow_run_id)
            self.flow_counts.pop(number, None)
            for kind, _ in counts:
                self.flow_times.pop((number, kind), None)


def _in_slices(connection: sqlite3.Connection, sql: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query with ``IN ({})``, however many values there are."""
    every = list(values)
    for first in range(0, len(every), MAX_IN_QUERY):
        some = every[first : first + MAX_IN_QUERY]
        yield from connection.execute(sql.format(",".join("?" * len(some))), some)
