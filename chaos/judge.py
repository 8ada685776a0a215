"""The oracle of the soak: looks at the server's records, the handles and the notes of the tasks, and adds up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import redis

from brokers.block_ids import member_ids
from brokers.messages import FINAL_STATUSES, Record, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import BlockField
from chaos.faults import Driver
from chaos.load import Load, Sent
from chaos.site import Site
from chaos.tasks import Note, read_notes
from chaos.ticks import Ticks
from tests.support.carriage import KEPT

FOREVER: Final = frozenset((*KEPT, "expiring"))
"""Keys without a time to live, by design; streams of queues are counted by what is in them."""
NEIGHBOURS: Final = 3
OF_A_TICK: Final = "tick"
NOBODY_WAITS: Final = "not ours"
"""Runs that tasks submitted, and those whose confirmation was lost so that they were sent again."""


class Attempt(NamedTuple):
    """One attempt's code: when it was alive."""

    run_id: str
    process: int
    begun: float
    ended: float


class Row:
    """What became of one kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.starts = 0
        self.planned = 0  # starts without faults
        self.allowed = 0  # and one more for each time the run was given to another worker


class Judgement:
    """Everything that was found.

    Args:
        site: with all workers gone.
        load: what was sent.
        driver: what was done to it.
        ticks: of the schedules that were due meanwhile.
        broker: on the server.
        open_handles: futures that were not settled in time.
    """

    def __init__(
        self, site: Site, load: Load, driver: Driver, ticks: Ticks, broker: RedisBroker, open_handles: int
    ) -> None:
        self._load, self._driver, self._ticks, self._broker = load, driver, ticks, broker
        self._client = site.client()
        self._sent = {sent.future.run_id: sent for sent in load.sent}
        self.notes = read_notes(site.traces)
        self.killed_for_cancel = sum(len(worker.told("its process was killed after")) for worker in site.workers)
        stuck = [int(count) for worker in site.workers for count in worker.told(r"is stuck: (\d+) calls")]
        self.handed_back_for_stuck = sum(stuck)
        self.starts_beyond = 0
        self.rows: dict[str, Row] = defaultdict(Row)
        self.totals: dict[str, int] = {"handles unresolved": open_handles}
        self.examples: list[str] = []
        self._judge()

    @property
    def violations(self) -> int:
        wrong = ("crashed", "lost", "wrong", "too few starts")
        return sum(row.counts[name] for row in self.rows.values() for name in wrong) + sum(self.totals.values())

    def _blame(self, text: str) -> None:
        if len(self.examples) < 30:
            self.examples.append(text)

    def _judge(self) -> None:
        keys = list(self._client.scan_iter(f"{self._broker.keys.prefix}*", count=1000))
        records = self._records(keys)
        starts = Counter(note.run_id for note in self.notes if note.sign == "+")
        for run_id in self._sent.keys() | records.keys() | self._ticks.run_ids:
            self._judge_run(self._sent.get(run_id), records.get(run_id), run_id, starts[run_id])
        # Two ways of being delivered again are not counted in the record: a call that a supervisor took from a child
        # that seemed stuck, and the neighbours of a cancelled call for which its process was killed.
        uncounted = self.handed_back_for_stuck + NEIGHBOURS * self.killed_for_cancel
        self.totals["starts without cause"] = max(0, self.starts_beyond - uncounted)
        self._ended_twice(records.values())
        self._overlaps()
        for name, wrong in self._ticks.violations(records).items():
            self.totals[name] = len(wrong)
            for text in wrong:
                self._blame(f"{name}: {text}")
        self._leftovers(keys)

    def _records(self, keys: Iterable[bytes]) -> dict[str, Record]:
        run_ids: set[str] = set()
        for key in map(bytes.decode, keys):
            if key.startswith(self._broker.keys.record("")):
                run_ids.add(key.removeprefix(self._broker.keys.record("")))
            elif key.startswith(self._broker.keys.prefix + "b:"):
                count = int(self._client.hget(key, BlockField.COUNT) or 0)
                run_ids.update(member_ids(key.removeprefix(self._broker.keys.prefix + "b:"), count))
        records = self._broker.records.read(sorted(run_ids))
        return {record.run_id: record for record in records if record.status != Status.UNKNOWN}

    # -- each run ------------------------------------------------------------------------------------------------

    def _judge_run(self, sent: Sent | None, record: Record | None, run_id: str, starts: int) -> None:
        nobody_waits = OF_A_TICK if run_id in self._ticks.run_ids else NOBODY_WAITS
        row = self.rows[sent.kind if sent else nobody_waits]
        row.counts["accepted"] += 1
        row.starts += starts
        if record is None or record.status not in FINAL_STATUSES:
            row.counts["lost"] += 1
            return self._blame(f"lost: {run_id} {sent} {record}")
        row.counts[record.status.decode()] += 1
        if record.status == Status.CRASHED:
            row.counts["crashed"] += 1
            self._blame(f"crashed: {record}")
        if sent is not None and not self._is_right(sent, record):
            row.counts["wrong"] += 1
            self._blame(f"wrong: {sent} {record} {sent.future.state!r}")
        self._judge_starts(row, sent, record, starts)
        return None

    def _is_right(self, sent: Sent, record: Record) -> bool:
        if record.status not in sent.statuses:
            return False
        if not sent.future.settled:
            return True  # counted as unresolved
        state = sent.future.state
        if record.status == Status.COMPLETED:
            return bool(state.is_completed() and state.data == sent.value)
        if record.status == Status.FAILED:
            return bool(state.is_failed() and "always" in str(state.message))
        return not state.is_completed()

    def _judge_starts(self, row: Row, sent: Sent | None, record: Record, starts: int) -> None:
        planned = sent.starts if sent else 1 + record.retries
        allowed = planned + min(record.take_overs, self._driver.total)
        row.planned += planned
        row.allowed += allowed
        if starts > allowed:
            row.counts["beyond"] += 1
            self.starts_beyond += starts - allowed
            self._blame(f"{starts} starts, {allowed} allowed: {record}")
        if starts < (sent.fewest if sent else record.status == Status.COMPLETED):
            row.counts["too few starts"] += 1
            self._blame(f"{starts} starts: {record}")

    # -- all together --------------------------------------------------------------------------------------------

    def _ended_twice(self, records: Iterable[Record]) -> None:
        """The server counts every end; there must be as many as there are ended runs."""
        ends = Counter(self._broker.figures.ended())
        ends.subtract(
            Counter((record.task or "?", record.status) for record in records if record.status in FINAL_STATUSES)
        )
        self.totals["runs ended twice"] = sum(abs(count) for count in ends.values())
        for key, count in ends.items():
            if count:
                self._blame(f"{count} more ends than runs: {key}")

    def _overlaps(self) -> None:
        """Two attempts of a run alive at once, though no worker had been cut off from the server."""
        unexplained = self.explained_overlaps = 0
        by_run: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts(self.notes, self._driver.deaths):
            by_run[attempt.run_id].append(attempt)
        for some in by_run.values():
            some.sort(key=lambda attempt: attempt.begun)
            for first, second in pairwise(some):
                if second.begun >= first.ended:
                    continue
                if any(w.begun <= second.begun and w.ended >= first.begun for w in self._driver.windows):
                    self.explained_overlaps += 1
                else:
                    unexplained += 1
                    self._blame(f"overlap: {first} {second}")
        self.totals["overlaps without cause"] = unexplained

    def _leftovers(self, keys: list[bytes]) -> None:
        prefix = self._broker.keys.prefix
        names = [key.decode()[len(prefix) :] for key in keys]
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.pttl(key)
            ttls = pipeline.execute()
        streams = [prefix + name for name in names if name.startswith("q:")]
        eternal = [
            name
            for name, ttl in zip(names, ttls, strict=True)
            if ttl == -1 and name not in FOREVER and not name.startswith("q:")
        ]
        self.totals["pending entries left"] = sum(self._pending(stream) for stream in streams)
        self.totals["queue entries left"] = sum(int(self._client.xlen(stream)) for stream in streams)
        self.totals["keys left without a time to live"] = len(eternal)
        if eternal:
            self._blame(f"keys without a time to live: {eternal[:5]}")

    def _pending(self, stream: str) -> int:
        try:
            return sum(int(group["pending"]) for group in self._client.xinfo_groups(stream))
        except redis.ResponseError:
            return 0


def attempts(notes: list[Note], deaths: dict[int, float]) -> Iterator[Attempt]:
    """Attempts, made of their notes. One without an end died with its process, at the latest when it was killed."""
    last_seen = {note.process: note.at for note in notes}
    open_ones: dict[tuple[str, int], float] = {}
    for note in notes:
        key = note.run_id, note.process
        if note.sign == "+":
            open_ones[key] = note.at
        elif key in open_ones:
            yield Attempt(*key, open_ones.pop(key), note.at)
    for (run_id, process), begun in open_ones.items():
        yield Attempt(run_id, process, begun, deaths.get(process, last_seen[process]))


def table(judgement: Judgement) -> list[list[Any]]:
    """The rows to print: kinds, and their sum."""
    shown = (
        "accepted", "C", "F", "N", "K", "crashed", "lost", "wrong", "too few starts", "beyond",
    )  # fmt: skip
    rows = [[kind, *(row.counts[name] for name in shown), row.starts, row.planned, row.allowed]
            for kind, row in sorted(judgement.rows.items())]  # fmt: skip
    return [*rows, ["sum", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]]


HEADER: Final = (
    "kind", "accepted", "completed", "failed", "not ready", "cancelled", "crashed", "lost", "wrong", "< starts",
    "> allowed", "starts", "planned", "allowed",
)  # fmt: skip
