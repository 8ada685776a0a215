"""Fills the index from the journal: new entries as they arrive, and the past backwards from its newest end.

So the newest runs are indexed at once, however long the journal is. The journal says which runs to read; their records
say what is stored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import SUBMITTED, Change, Row
from brokers.schema import is_flow_call
from brokers.stored import number
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import created_at
from orchestrator.server.index.chart import Chart
from orchestrator.server.index.encoding import moment_of, sequence_at, sequence_of
from orchestrator.server.index.facts import MAX_OUTCOME, Facts, facts_of
from orchestrator.server.index.tables import End, Tables

ENTRIES_AHEAD: Final = 300
CHANGES_BACK: Final = 4_000  # about so many are read of the past at a time
MAX_ENTRIES_BACK: Final = 1_000
EXPIRED_AT_A_TIME: Final = 1_000
LISTED_AT_A_TIME: Final = 500
MAX_SECONDS: Final = 4e9  # a moment in the year 2096: others are damaged
Events = dict[str, list[tuple[int, bytes]]]  # run -> place in the journal, letter


class Feed:
    """Reads and writes from one thread; only :meth:`recheck` may be called from others.

    Args:
        fleet: the fleet whose runs are indexed.
        tables: the tables to fill.
        chart: counts what the journal reports.
    """

    def __init__(self, fleet: Fleet, tables: Tables, chart: Chart) -> None:
        self._fleet, self._tables, self._chart = fleet, tables, chart
        self.journal = fleet.broker.journal
        self.position = self.journal.newest()
        self._back: str | None = self.position
        self._listed: int | None = None  # how many of the lists of deployments have been read; None: nothing is to be
        self._back_count = 10  # entries; a map has hundreds of runs in one
        self._waiting: Events = {}  # of runs whose submission has not been read yet
        self._to_recheck: set[str] = set()
        self._in_progress: set[str] = set()
        self._recheck_lock = threading.Lock()
        self._expiry_at = 0
        self._flow_expiry_at = (0, 0)
        self.behind_ms = 0
        self.read_back_to: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the past has been read to its beginning."""
        return self._back is None

    @property
    def has_lists_to_read(self) -> bool:
        """Whether runs of deployments are older than the journal, perhaps, and have not been read."""
        return self._listed is not None

    def recheck(self, run_ids: Iterable[str]) -> None:
        """Read these runs again: their records differ from the index."""
        with self._recheck_lock:
            self._to_recheck.update(run_ids)

    @property
    def rechecking(self) -> bool:
        """Whether runs are still to be read again."""
        return bool(self._to_recheck or self._in_progress)

    def step(self) -> bool:
        """Read what is new, and a part of the past; returns whether there may be more. Raises BrokerError."""
        busy = self.follow()
        if not self.complete:
            self.read_back()
        elif self.has_lists_to_read:
            self.read_lists()
        else:
            return busy
        return True

    # -- what is new ---------------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """Read new entries; returns whether there were any. Raises BrokerError."""
        entries = self.journal.forwards(self.position, ENTRIES_AHEAD)
        with self._recheck_lock:
            to_recheck = self._in_progress = self._in_progress | self._to_recheck  # with those of a failed round
            self._to_recheck = set()
        new, events, flows = self._by_run(entries)
        self._write(new, events, to_recheck)
        self._note_flows(flows, newest=True)
        self._count(entries)
        self._in_progress = set()
        if entries:
            self.position = entries[-1][0]
        full = len(entries) == ENTRIES_AHEAD
        self.behind_ms = max(0, int(time.time() * 1000) - moment_of(sequence_of(self.position))) if full else 0
        return bool(entries or to_recheck)

    def _by_run(self, entries: list[tuple[str, list[Change]]]) -> tuple[dict[str, int], Events, Events]:
        """New runs with their places, events by run, and events by flow run."""
        new: dict[str, int] = {}
        events: Events = {}
        flows: Events = {}
        for position, changes in entries:
            first = sequence_of(position)
            for at, change in enumerate(changes):
                if change.of_flow:
                    flows.setdefault(change.run_id, []).append((first + at, change.status))
                    continue
                if change.status == SUBMITTED:
                    new[change.run_id] = first + at
                else:
                    events.setdefault(change.run_id, []).append((first + at, change.status))
        return new, events, flows

    def _count(self, entries: list[tuple[str, list[Change]]]) -> None:
        """Add entries to the chart; only once they have been written, lest they be counted twice."""
        for position, changes in entries:
            moment = moment_of(sequence_of(position))
            for change in changes:
                if not change.of_flow:
                    self._chart.note(change.status, moment)

    def _write(
        self, new: dict[str, int], events: Events, to_recheck: Iterable[str] = (), of_the_past: bool = False
    ) -> None:
        """Write these runs to the tables.

        ``of_the_past``: known runs are newer than these events, and submissions not read so far will not follow.
        """
        tables = self._tables
        concerned = list({**new, **events, **dict.fromkeys(to_recheck)})
        known = tables.sequences(concerned)
        if of_the_past and known:
            concerned = [run_id for run_id in concerned if run_id not in known]
            new = {run_id: seq for run_id, seq in new.items() if run_id not in known}
            known = {}
        if not concerned:
            return
        places = {**known, **new}
        for run_id in concerned:
            if run_id in places:
                continue
            if run_id in events and not (self.complete or of_the_past):
                self._waiting.setdefault(run_id, []).extend(events.pop(run_id))
            elif run_id in events:
                places[run_id] = _place_of_unsubmitted(run_id, events[run_id])
        rows = self._fleet.broker.records.rows(list(places), MAX_OUTCOME)
        with tables.writing():
            gone = [known[row.run_id] for row in rows if row.status == Status.UNKNOWN and row.run_id in known]
            gone += [seq for run_id, seq in known.items() if new.get(run_id, seq) != seq]  # an id was reused
            before = tables.ends_of(known.values())
            tables.remove(gone)
            there = [row for row in rows if row.status != Status.UNKNOWN and not is_flow_call(row.task)]
            by_place = [self._run_facts(places[row.run_id], row, events, before) for row in there]
            tables.write(by_place, set(known.values()) - set(gone))
            tables.add_events(self._kept_events({facts.run_id: facts.status for _, facts in by_place}, events, before))

    def _run_facts(self, seq: int, row: Row, events: Events, before: dict[str, End]) -> tuple[int, Facts]:
        """The indexed facts of a run: from its record, with the moment of its end from the journal.

        A record may be newer than the journal read so far: the moment follows a little later then.
        """
        if row.status not in FINAL_STATUSES:
            return seq, facts_of(row, None)
        ends = [place for place, status in events.get(row.run_id, ()) if status in FINAL_STATUSES]
        ended = moment_of(max(ends)) if ends else None
        if row.run_id in before and row.run_id not in events and before[row.run_id].status == row.status:
            ended = before[row.run_id].moment
        facts = facts_of(row, ended)
        if ends and ended is not None and facts.started and facts.run_count <= 1:
            ready = max(moment_of(seq), int((row.due_at or 0) * 1000))
            self._chart.note_wait(ended, facts.started - ready)
        return seq, facts

    def _kept_events(
        self, kept: dict[str, bytes], events: Events, before: dict[str, End]
    ) -> Iterable[tuple[str, int, bytes]]:
        """All events but the sole end of a run, which its row holds already."""
        for run_id, some in events.items():
            if run_id not in kept:
                continue
            if len(some) == 1 and some[0][1] in FINAL_STATUSES and some[0][1] == kept[run_id]:
                continue
            earlier = before.get(run_id)
            if earlier is not None and not earlier.is_noted and some[0][1] not in FINAL_STATUSES:
                yield run_id, earlier.place, earlier.status  # it was retried after its end: that end is kept
            for place, status in some:
                yield run_id, place, status

    # -- the past ------------------------------------------------------------------------------------------------

    def read_back(self) -> None:
        """Read a part of the past. Raises BrokerError."""
        assert self._back is not None
        count = self._back_count
        entries = self.journal.backwards(self._back, count)
        new, events, flows = self._by_run(entries)
        for run_id, some in events.items():
            self._waiting.setdefault(run_id, []).extend(some)
        whole = {run_id: sorted(set(self._waiting[run_id])) for run_id in new if run_id in self._waiting}
        self._write(new, whole, of_the_past=True)
        self._note_flows(flows, newest=False)
        self._count(entries)
        for run_id in whole:
            self._waiting.pop(run_id, None)
        if len(entries) < count:
            self._finish()
        else:
            self._back = f"({entries[-1][0]}"
            self.read_back_to = moment_of(sequence_of(entries[-1][0]))
            changes = sum(len(changes) for _, changes in entries)
            self._back_count = max(2, min(MAX_ENTRIES_BACK, count * CHANGES_BACK // max(1, changes)))

    def read_lists(self) -> None:
        """Read a part of the runs of deployments that are older than the journal. Raises BrokerError."""
        assert self._listed is not None
        flow_runs, tables = self._fleet.broker.flow_runs, self._tables
        _, ids = flow_runs.listed(None, self._listed, LISTED_AT_A_TIME)
        unknown = [run_id for run_id in ids if tables.known_flow(run_id) is None]
        records = zip(unknown, flow_runs.read_many(unknown), flow_runs.names(unknown), strict=True)
        with tables.writing():
            for run_id, fields, name in records:
                if fields.get("type"):
                    tables.note_flow(run_id, _events_of(fields), name, newest=False)
        self._listed = self._listed + len(ids) if len(ids) == LISTED_AT_A_TIME else None

    def _finish(self) -> None:
        """Write the runs whose submission is no longer in the journal."""
        left = {run_id: sorted(some) for run_id, some in self._waiting.items()}
        self._write({}, left, of_the_past=True)
        self._waiting.clear()
        self._back = None
        self._listed = 0

    # -- flow runs -----------------------------------------------------------------------------------------------

    def _note_flows(self, flows: Events, newest: bool) -> None:
        unnamed = [flow_run_id for flow_run_id in flows if not self._tables.flow_is_named(flow_run_id)]
        names = dict(zip(unnamed, self._fleet.broker.flow_runs.names(unnamed), strict=True))
        with self._tables.writing():
            for flow_run_id, some in flows.items():
                self._tables.note_flow(flow_run_id, sorted(some), names.get(flow_run_id), newest)

    # -- forgetting ----------------------------------------------------------------------------------------------

    def forget_expired(self) -> None:
        """Remove the oldest runs whose records have expired, then flow runs. Raises BrokerError."""
        self._chart.forget_old()
        before_ms = time.time() * 1000 - self._fleet.broker.ttl_ms
        self._forget_expired_runs(sequence_at(before_ms))
        self._forget_expired_flow_runs(int(before_ms))

    def _forget_expired_runs(self, last: int) -> None:
        for _ in range(20):
            some = self._tables.runs_after(self._expiry_at, last, EXPIRED_AT_A_TIME)
            rows = self._fleet.broker.records.rows([run_id for _, run_id in some])
            gone = [seq for (seq, _), row in zip(some, rows, strict=True) if row.status == Status.UNKNOWN]
            with self._tables.writing():
                self._tables.remove(gone)
            self._expiry_at = some[-1][0] if len(some) == EXPIRED_AT_A_TIME else 0
            if not gone or not self._expiry_at:
                return

    def _forget_expired_flow_runs(self, before_ms: int) -> None:
        for _ in range(20):
            some = self._tables.flows_after(self._flow_expiry_at, before_ms, EXPIRED_AT_A_TIME)
            records = self._fleet.broker.flow_runs.read_many([flow_run_id for _, flow_run_id in some], ("type",))
            gone = [flow_run_id for (_, flow_run_id), fields in zip(some, records, strict=True) if not fields]
            with self._tables.writing():
                for flow_run_id in gone:
                    self._tables.forget_flow(flow_run_id)
            self._flow_expiry_at = some[-1][0] if len(some) == EXPIRED_AT_A_TIME else (0, 0)
            if not gone or self._flow_expiry_at == (0, 0):
                return

    def store_was_emptied(self) -> bool:
        """Whether the journal has started over, since the server was emptied. Raises BrokerError."""
        return sequence_of(self.journal.newest()) < sequence_of(self.position)


def _place_of_unsubmitted(run_id: str, events: list[tuple[int, bytes]]) -> int:
    """The place of a run whose submission is no longer in the journal."""
    made, first = created_at(run_id), moment_of(events[0][0])
    made_ms = int(made.timestamp() * 1000) if made is not None else 0
    moment = made_ms if 0 < made_ms <= first else first
    return sequence_at(moment) + hash(run_id) % (1 << 20)


def _events_of(fields: Mapping[str, bytes]) -> list[tuple[int, bytes]]:
    """What the journal may have had of a flow run, from its record: that it was made, and how it stands."""
    made, stands = (number(fields.get(name)) or 0.0 for name in ("created", "at"))
    moments = (min(max(0.0, moment), MAX_SECONDS) * 1000 for moment in (made or stands, stands))
    return list(zip(map(sequence_at, moments), (b"SCHEDULED", fields["type"]), strict=True))
