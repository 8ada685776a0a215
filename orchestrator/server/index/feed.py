"""Fills the index from the journal: what is new as it comes, and the past from its newest end backwards.

So the newest runs are there at once, however long the journal is. The journal says which runs to look at; what is
written down is what their records say at that moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final

from brokers.contract import SETTLED, Status
from brokers.redis.journal import SUBMITTED, Change, Journal, Row
from orchestrator.fleet import Fleet
from orchestrator.ids import created_at
from orchestrator.server.index.chart import Chart
from orchestrator.server.index.facts import LARGEST_OUTCOME, Facts, facts_of
from orchestrator.server.index.tables import End, Tables
from orchestrator.server.index.words import moment_of, sequence_at, sequence_of

ENTRIES_AHEAD: Final = 300
CHANGES_BACK: Final = 4_000  # about so many are read of the past at a time
MOST_ENTRIES_BACK: Final = 1_000
EXPIRED_AT_A_TIME: Final = 1_000
Events = dict[str, list[tuple[int, bytes]]]  # run -> place in the journal, letter


class Feed:
    """Reads and writes from one thread; only :meth:`doubt` may be called from others.

    Args:
        fleet: whose runs.
        tables: where they go.
        chart: what is counted on the way.
    """

    def __init__(self, fleet: Fleet, tables: Tables, chart: Chart) -> None:
        self._fleet, self._tables, self._chart = fleet, tables, chart
        self.journal = Journal(fleet.broker)
        self.position = self.journal.newest()
        self._back: str | None = self.position
        self._back_count = 10  # entries; a map has hundreds of runs in one
        self._waiting: Events = {}  # of runs whose beginning has not been read yet
        self._doubted: set[str] = set()
        self._in_hand: set[str] = set()
        self._doubt_lock = threading.Lock()
        self._expiry_at = 0
        self.behind_ms = 0
        self.read_back_to: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the past has been read to its beginning."""
        return self._back is None

    def doubt(self, run_ids: Iterable[str]) -> None:
        """The records of these runs say something else than the index: they are read again."""
        with self._doubt_lock:
            self._doubted.update(run_ids)

    @property
    def doubts(self) -> bool:
        """Whether there are such runs."""
        return bool(self._doubted or self._in_hand)

    # -- what is new ---------------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """Read what has been written since; whether there was any. Raises BrokerError."""
        entries = self.journal.forwards(self.position, ENTRIES_AHEAD)
        with self._doubt_lock:
            doubted = self._in_hand = self._in_hand | self._doubted  # those in hand are left from a round that failed
            self._doubted = set()
        new, events, flows = self._sorted(entries)
        self._write(new, events, doubted)
        self._note_flows(flows, newest=True)
        self._count(entries)
        self._in_hand = set()
        if entries:
            self.position = entries[-1][0]
        full = len(entries) == ENTRIES_AHEAD
        self.behind_ms = max(0, int(time.time() * 1000) - moment_of(sequence_of(self.position))) if full else 0
        return bool(entries or doubted)

    def _sorted(self, entries: list[tuple[str, list[Change]]]) -> tuple[dict[str, int], Events, Events]:
        """New runs with their places, what happened to which runs, and to which flow runs."""
        new: dict[str, int] = {}
        events: Events = {}
        flows: Events = {}
        for position, changes in entries:
            first = sequence_of(position)
            for number, change in enumerate(changes):
                if change.of_flow:
                    flows.setdefault(change.run_id, []).append((first + number, change.status))
                    continue
                if change.status == SUBMITTED:
                    new[change.run_id] = first + number
                else:
                    events.setdefault(change.run_id, []).append((first + number, change.status))
        return new, events, flows

    def _count(self, entries: list[tuple[str, list[Change]]]) -> None:
        """Put them into the chart; once they have been written, lest they be counted twice."""
        for position, changes in entries:
            moment = moment_of(sequence_of(position))
            for change in changes:
                if not change.of_flow:
                    self._chart.note(change.status, moment)

    def _write(
        self, new: dict[str, int], events: Events, doubted: Iterable[str] = (), of_the_past: bool = False
    ) -> None:
        """Write down what became of these runs.

        ``of_the_past``: what is known already is newer; and what was not begun will not be met any more.
        """
        tables = self._tables
        concerned = list({**new, **events, **dict.fromkeys(doubted)})
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
                places[run_id] = _place_without_beginning(run_id, events[run_id])
        rows = self.journal.rows(list(places), LARGEST_OUTCOME)
        with tables.writing():
            gone = [known[row.run_id] for row in rows if row.status == Status.UNKNOWN and row.run_id in known]
            gone += [seq for run_id, seq in known.items() if new.get(run_id, seq) != seq]  # an id was used again
            before = tables.ends_of(known.values())
            tables.remove(gone)
            there = [row for row in rows if row.status != Status.UNKNOWN]
            told = [self._told(places[row.run_id], row, events, before) for row in there]
            tables.write(told, set(known.values()) - set(gone))
            tables.add_events(
                self._events_worth_keeping({facts.run_id: facts.status for _, facts in told}, events, before)
            )

    def _told(self, seq: int, row: Row, events: Events, before: dict[str, End]) -> tuple[int, Facts]:
        """What is written down of a run: its record, and the moment of its end as the journal told it.

        A record may be newer than what has been read of the journal: the moment comes a little later then.
        """
        if row.status not in SETTLED:
            return seq, facts_of(row, None)
        ends = [place for place, status in events.get(row.run_id, ()) if status in SETTLED]
        ended = moment_of(max(ends)) if ends else None
        if row.run_id in before and row.run_id not in events and before[row.run_id].status == row.status:
            ended = before[row.run_id].moment
        facts = facts_of(row, ended)
        if ends and ended is not None and facts.started and facts.run_count <= 1:
            ready = max(moment_of(seq), int((row.due_at or 0) * 1000))
            self._chart.note_wait(ended, facts.started - ready)
        return seq, facts

    def _events_worth_keeping(
        self, kept: dict[str, bytes], events: Events, before: dict[str, End]
    ) -> Iterable[tuple[str, int, bytes]]:
        """All but the one end of a run to which nothing else happened: its row tells that."""
        for run_id, some in events.items():
            if run_id not in kept:
                continue
            if len(some) == 1 and some[0][1] in SETTLED and some[0][1] == kept[run_id]:
                continue
            earlier = before.get(run_id)
            if earlier is not None and not earlier.is_noted and some[0][1] not in SETTLED:
                yield run_id, earlier.place, earlier.status  # it has another life: the end of the last is kept
            for place, status in some:
                yield run_id, place, status

    # -- the past ------------------------------------------------------------------------------------------------

    def read_back(self) -> None:
        """Read a portion of the past. Raises BrokerError."""
        assert self._back is not None
        count = self._back_count
        entries = self.journal.backwards(self._back, count)
        new, events, flows = self._sorted(entries)
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
            self._back_count = max(2, min(MOST_ENTRIES_BACK, count * CHANGES_BACK // max(1, changes)))

    def _finish(self) -> None:
        """What is left over began before the journal does."""
        left = {run_id: sorted(some) for run_id, some in self._waiting.items()}
        self._write({}, left, of_the_past=True)
        self._waiting.clear()
        self._back = None

    # -- flow runs -----------------------------------------------------------------------------------------------

    def _note_flows(self, flows: Events, newest: bool) -> None:
        strange = [flow_run_id for flow_run_id in flows if not self._tables.flow_is_named(flow_run_id)]
        keys = self._fleet.broker.keys
        commands = [("HMGET", keys.flow(flow_run_id), "flow", "parent") for flow_run_id in strange]
        replies = self._fleet.broker.wires.commands(commands) if commands else []
        names = {
            flow_run_id: (name.decode("utf-8", "replace") if name else "", parent.decode() if parent else None)
            for flow_run_id, (name, parent) in zip(strange, replies, strict=True)
        }
        with self._tables.writing():
            for flow_run_id, some in flows.items():
                self._tables.note_flow(flow_run_id, sorted(some), names.get(flow_run_id), newest)

    # -- forgetting ----------------------------------------------------------------------------------------------

    def forget_expired(self) -> None:
        """Look at the oldest runs, and forget those whose records have expired. Raises BrokerError."""
        self._chart.forget_old()
        last = sequence_at(time.time() * 1000 - self._fleet.broker.ttl_ms)
        for _ in range(20):
            some = self._tables.some_after(self._expiry_at, last, EXPIRED_AT_A_TIME)
            rows = self.journal.rows([run_id for _, run_id in some])
            gone = [seq for (seq, _), row in zip(some, rows, strict=True) if row.status == Status.UNKNOWN]
            with self._tables.writing():
                self._tables.remove(gone)
            self._expiry_at = some[-1][0] if len(some) == EXPIRED_AT_A_TIME else 0
            if not gone or not self._expiry_at:
                return

    def is_of_another_time(self) -> bool:
        """Whether the journal begins anew: the server was emptied. Raises BrokerError."""
        return sequence_of(self.journal.newest()) < sequence_of(self.position)


def _place_without_beginning(run_id: str, events: list[tuple[int, bytes]]) -> int:
    """The place of a run whose submission the journal does not tell any more."""
    try:
        made = int(created_at(run_id).timestamp() * 1000) if run_id[14:15] == "7" else 0
    except (ValueError, OverflowError, OSError):
        made = 0
    first = moment_of(events[0][0])
    moment = made if 0 < made <= first else first
    return sequence_at(moment) + hash(run_id) % (1 << 20)
