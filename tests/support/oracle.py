"""The one oracle: what must be true of a namespace after any test, whatever was broken meanwhile.

I1 every accepted run has exactly one final state. I2 results equal the model. I3 starts <= attempts of the model +
injected faults, and equal without any. I4 without faults no two attempts of a run are alive at once, and with faults a
late one overwrites nothing. I5 futures resolve or raise within their deadline. I6 retry and crash counters are exact.
I7 nothing is left: no pending entries, no keys without a time to live beyond the known few. I8 states never go
backwards.

It looks at the server directly, never through what is broken.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import redis

from brokers.block_ids import BLOCK_CHARACTERS, member_ids
from brokers.messages import FINAL_STATUSES, Record, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from orchestrator.errors import BrokerError
from orchestrator.futures import PrefectFuture
from orchestrator.serializers.outcomes import read_outcome
from tests.support.carriage import assert_nothing_left
from tests.support.servers import ServerProcess
from tests.support.tracing import notes
from tests.support.waiting import wait_until

T = TypeVar("T")
BETWEEN_LOOKS_SECONDS: Final = 0.01
IDLE_SECONDS: Final = 1.0  # what expires tells nobody
GRACE_SECONDS: Final = 4.0  # what a verb may take beyond a deadline: the promise is 2 s, the machine may be busy
NEVER: Final = object()


class Model(NamedTuple):
    """What is to become of a run."""

    status: bytes = Status.COMPLETED
    value: Any = None
    retries: int = 0
    starts: int = 1  # attempts of the user's code without any fault
    at_most: bool = False  # it was stopped on its way: starts and retries may be fewer


class Seen(NamedTuple):
    """What a record said at one moment."""

    status: bytes
    entry: tuple[int, int]  # of its ticket
    retries: int
    crashes: int
    outcome: bytes


class Oracle:
    """Watches a namespace while the scenario runs, and judges it afterwards. A context manager.

    Args:
        server: the real server.
        namespace: of the scenario.
        trace: the file its tasks write to.
        is_told: whoever has something changed calls :meth:`look_soon`; else it looks a hundred times a second.
    """

    def __init__(self, server: ServerProcess, namespace: str, trace: Path, *, is_told: bool = False) -> None:
        self._news = threading.Event() if is_told else None
        address = parse_url(server.url)
        self._wires = Wires(lambda: address, command_timeout_seconds=20)
        self.broker = RedisBroker(self._wires, namespace)
        self._client = server.client()
        self._trace = trace
        self.models: dict[str, Model] = {}
        """Run id -> what is to become of it; the scenario fills it in."""
        self.violations: list[str] = []
        self._seen: dict[str, Seen] = {}
        self._replays = 0
        self._to_be_replayed: set[str] = set()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="oracle", daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> Oracle:
        self._watcher.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop_watching()
        keys = self._keys("*")
        if keys:
            self._client.delete(*keys)
        self._client.close()
        self._wires.close()

    def expect(self, run_id: str, model: Model) -> None:
        """An accepted run, and what is to become of it."""
        self.models[run_id] = model

    def about_to_replay(self, run_id: str) -> None:
        """An ended run is given another life now."""
        self.look()
        self._to_be_replayed.add(run_id)
        self._replays += 1

    def blame(self, invariant: str, text: str) -> None:
        """Note a violation."""
        with self._lock:
            if len(self.violations) < 20:
                self.violations.append(f"{invariant}: {text}")

    # -- I5: asked by the scenario -------------------------------------------------------------------------------

    def within(self, seconds: float, ask: Callable[[], T], what: str) -> T:
        """Ask until an answer that is no BrokerError comes. Each time it must come, or raise, within its deadline."""
        last = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            try:
                return ask()
            except BrokerError:
                if time.monotonic() > last:
                    raise
            finally:
                took = time.monotonic() - began
                if took > seconds + GRACE_SECONDS:
                    self.blame("I5", f"{what} took {took:.1f} s, its deadline was {seconds:g} s")

    def await_all(self, futures: Sequence[PrefectFuture[Any]], seconds: float) -> None:
        """Every handle resolves in time; those that do not are violations."""
        deadline = time.monotonic() + seconds
        for future in futures:
            self.within(seconds, lambda future=future: future.wait(max(0.0, deadline - time.monotonic())), "wait()")  # type: ignore[misc]
        for future in futures:
            if not future.settled:
                self.blame("I5", f"the handle on run {future.run_id} has not resolved within {seconds:g} s")

    # -- I8: while it runs ---------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        """Something may have changed."""
        if self._news is not None:
            self._news.set()

    def _watch(self) -> None:
        while not self._stopping.wait(BETWEEN_LOOKS_SECONDS):
            if self._news is not None:
                self._news.wait(IDLE_SECONDS)
                self._news.clear()
            try:
                self.look()
            except (redis.RedisError, BrokerError):  # the test has stopped the server
                self._stopping.wait(0.1)

    def look(self) -> None:
        """Compare all records with what they said at the last look."""
        keys = [key for key in self._keys("r:*") if not _is_range(key)]
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(key, "s", "e", "a", "c", "o")
            rows = pipeline.execute()
        for key, (status, ticket, retries, crashes, outcome) in zip(keys, rows, strict=True):
            if status is not None:
                run_id = key.decode().rpartition(":")[2]
                now = Seen(status, _entry(ticket), int(retries or 0), int(crashes or 0), outcome or b"")
                before, self._seen[run_id] = self._seen.get(run_id), now
                if before is not None:
                    self._compare(run_id, before, now)
        self._look_into_blocks({key.decode().rpartition(":")[2] for key in keys})

    def _look_into_blocks(self, of_records: set[str]) -> None:
        together = [run_id for run_id in self._in_blocks() if run_id not in of_records]
        for record in self.broker.records.read(together) if together else ():
            if record.status == Status.UNKNOWN:
                continue  # moved out a moment ago, or gone
            entry = self._seen[record.run_id].entry if record.run_id in self._seen else NO_ENTRY
            now = Seen(record.status, entry, record.retries, record.crashes, record.outcome or b"")
            before, self._seen[record.run_id] = self._seen.get(record.run_id), now
            if before is not None and record.status in FINAL_STATUSES:
                self._compare(record.run_id, before, now)

    def _in_blocks(self) -> list[str]:
        names = [(key, key.decode().rpartition(":")[2]) for key in self._keys("b:*")]
        counts = [int(self._client.hget(key, "n") or 0) for key, _ in names]
        return [run for (_, name), count in zip(names, counts, strict=True) for run in member_ids(name, count)]

    def _compare(self, run_id: str, before: Seen, now: Seen) -> None:
        of_known_delivery = before.entry != NO_ENTRY  # else it was seen in a block, or as it left it
        if not of_known_delivery:
            before = before._replace(entry=now.entry)
        if before.status in FINAL_STATUSES and now != before:
            if run_id in self._to_be_replayed:
                self._to_be_replayed.remove(run_id)
                return  # counters begin again
            if now.status == before.status and now.outcome != before.outcome:
                self.blame("I4", f"the end of run {run_id} was overwritten: {before} -> {now}")
            else:
                self.blame("I1", f"run {run_id} was {before} and became {now}")
        if now.retries < before.retries or now.crashes < before.crashes:
            self.blame("I8", f"counters of run {run_id} went back: {before} -> {now}")
        if now.entry != NO_ENTRY and now.entry < before.entry:
            self.blame("I8", f"run {run_id} went back to an earlier delivery: {before} -> {now}")
        went_back = before.status == Status.RUNNING and now.status == Status.QUEUED and now.entry == before.entry
        if went_back and of_known_delivery:
            self.blame("I8", f"run {run_id} went from Running to Queued by itself")

    def _keys(self, pattern: str) -> list[bytes]:
        return list(self._client.keys(f"{self.broker.keys.prefix}{pattern}"))

    def _stop_watching(self) -> None:
        self._stopping.set()
        self.look_soon()
        if self._watcher.is_alive():
            self._watcher.join(10)

    # -- the judgement -------------------------------------------------------------------------------------------

    def run_ids(self) -> list[str]:
        """Every run that the server has a record of."""
        records = (key.decode().rpartition(":")[2] for key in self._keys("r:*") if not _is_range(key))
        return sorted({*records, *self._in_blocks()})

    def wait_until_settled(self, seconds: float = 15.0) -> None:
        """Until every run has ended; I1 is violated by those that do not."""

        def all_settled() -> bool:
            return all(record.status in FINAL_STATUSES for record in self.broker.records.read(self.run_ids()))

        try:
            wait_until(all_settled, seconds)
        except AssertionError:
            stuck = [
                record for record in self.broker.records.read(self.run_ids()) if record.status not in FINAL_STATUSES
            ]
            self.blame("I1", f"not ended after {seconds:g} s: {stuck}")

    def judge(self, *, faults: int = 0, crashes: int = 0, nothing_left: bool = True) -> list[str]:
        """Everything that is wrong.

        Args:
            faults: how many were injected.
            crashes: how often the model allows a worker to be taken for dead.
            nothing_left: all workers have left in peace.
        """
        self._stop_watching()
        self.look()
        found = self.run_ids()
        for run_id in self.models:
            if run_id not in found:
                self.blame("I1", f"run {run_id} was accepted and is gone")
        starts = Counter(note.run_id for note in notes(self._trace) if note.sign == "+")
        records = self.broker.records.read(found)
        self._judge_counts(records)
        for record in records:
            model = self.models.get(record.run_id)
            if model is not None:
                self._judge_run(record, model, starts[record.run_id], faults, crashes)
            elif starts[record.run_id] > 3 + faults:
                self.blame("I3", f"run {record.run_id}, which nobody waits for, started {starts[record.run_id]} times")
        if not faults:
            self._judge_overlaps()
        if nothing_left:
            self._judge_leftovers()
        return self.violations

    def _judge_run(self, record: Record, model: Model, starts: int, faults: int, crashes: int) -> None:
        run_id = record.run_id
        if record.status != model.status:
            return self.blame("I1", f"run {run_id} ended {record.status!r}, not {model.status!r}: {record}")
        if model.status == Status.COMPLETED:
            value = read_outcome(run_id, record.status, record.outcome or b"\0").data
            if value != model.value:
                self.blame("I2", f"run {run_id} returned {value!r}, not {model.value!r}")
        if starts > model.starts + faults or (starts < model.starts and not model.at_most):
            self.blame("I3", f"run {run_id} started {starts} times; model {model.starts}, faults {faults}")
        if record.retries > model.retries or (record.retries < model.retries and not model.at_most):
            self.blame("I6", f"run {run_id} counts {record.retries} retries, not {model.retries}")
        if record.crashes > crashes:
            self.blame("I6", f"run {run_id} counts {record.crashes} crashes, at most {crashes} happened")
        return None

    def _judge_counts(self, records: Sequence[Record]) -> None:
        """What the namespace counts as ended is what has ended."""
        ended = sum(record.status in FINAL_STATUSES for record in records) + self._replays
        counted = sum(self.broker.figures.ended().values())
        if counted != ended:
            self.blame("I6", f"{counted} ends are counted, {ended} runs have ended")

    def _judge_overlaps(self) -> None:
        alive: Counter[str] = Counter()
        for note in sorted(notes(self._trace), key=lambda note: note.at):
            alive[note.run_id] += 1 if note.sign == "+" else -1
            if alive[note.run_id] > 1:
                self.blame("I4", f"two attempts of run {note.run_id} were alive at {note.at}")

    def _judge_leftovers(self) -> None:
        try:
            assert_nothing_left(self.broker)
        except AssertionError as error:
            self.blame("I7", str(error))
        for name in ("delayed", "releasing"):
            left = self._client.zrange(self.broker.keys.prefix + name, 0, -1)
            if left:
                self.blame("I7", f"{name} still holds {left}")


def _is_range(key: bytes) -> bool:
    return key.rpartition(b":")[2][BLOCK_CHARACTERS : BLOCK_CHARACTERS + 1] == b"r"


NO_ENTRY: Final = (0, 0)


def _entry(ticket: bytes | None) -> tuple[int, int]:
    """The stream entry of a ticket, which grows with every delivery of a stream."""
    if not ticket:
        return NO_ENTRY
    milliseconds, _, number = ticket.decode().rpartition(" ")[2].partition("/")[0].partition("-")
    return int(milliseconds), int(number)
