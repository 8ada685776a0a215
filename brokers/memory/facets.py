"""The other facets of a process: runs, records, consumers, queues, and what is kept beside runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from brokers.errors import BrokerUnavailable
from brokers.facets.events import EVENTS_TTL_SECONDS
from brokers.messages import ASYNC_LANE, FINAL_STATUSES, SYNC_LANE, Envelope, Record, Status, routes_of
from brokers.records import Backlog, Place, Row, Standing
from brokers.schema import Extra, Reason, ScriptedEnd

from .kept import MemoryFlowRuns
from .store import MemoryStore


def unsupported(what: str) -> NoReturn:
    """Raises BrokerUnavailable: this needs a server."""
    raise BrokerUnavailable(
        f"there is no server here, calls are kept in memory: {what} needs one; orchestrator.testing.private_fleet() has"
    )


class MemoryRuns:
    """See :class:`brokers.base.Runs`."""

    def __init__(self, store: MemoryStore, flow_runs: MemoryFlowRuns) -> None:
        self._store, self._flow_runs = store, flow_runs

    keeps_blocks = False

    def submit(self, envelopes: Sequence[Envelope], behind: str = "") -> list[str]:
        """Queue calls; returns the run ids (another one where an idempotency key was known).

        Args:
            envelopes: the calls.
            behind: an open run whose end they wait for; empty: they wait for none.
        """
        self._store.check()
        run_ids = []
        for envelope in envelopes:
            is_new = envelope.run_id not in self._store.runs
            run_ids.append(self._store.add(envelope))
            if run_ids[-1] == envelope.run_id:
                self._store.park(envelope.run_id, behind) if behind else self._store.queue(envelope.run_id)
                if is_new and (fields := (envelope.extras or {}).get(Extra.FLOW_RECORD)):
                    self._flow_runs.write(envelope.run_id, dict(zip(fields[::2], fields[1::2], strict=True)))
        return run_ids

    def cancel(
        self, run_ids: Sequence[str], reason: str = "cancelled before it started", *, only_waiting: bool = False
    ) -> list[bytes]:
        """Cancel what waits, and have what runs stop; returns the status each run had before."""
        self._store.check()
        before: list[bytes] = []
        with self._store.changed:
            for run_id in run_ids:
                run = self._store.runs.get(run_id)
                begun = run is not None and only_waiting and run.has_begun
                before.append(Status.RUNNING if begun else run.status if run else Status.UNKNOWN)
                if run is None or begun or run.status in FINAL_STATUSES:
                    continue
                if run.status == Status.RUNNING:
                    run.status = Status.CANCELLING
                else:
                    self._store.end(run_id, Status.CANCELLED, ScriptedEnd(reason, Reason.CANCELLED).pack())
        return before

    def replay(self, run_ids: Sequence[str]) -> list[str]:
        self._store.check()
        ended = [record.run_id for record in self._store.records(run_ids) if record.status in FINAL_STATUSES]
        for run_id in ended:
            self._store.queue(run_id)
        return ended

    def run_now(self, run_ids: Sequence[str]) -> list[str]:
        """Nothing waits for a moment here."""
        return []

    def delete(self, run_ids: Sequence[str]) -> list[str]:
        """Forget ended runs; returns those that were deleted."""
        self._store.check()
        ended = [record.run_id for record in self._store.records(run_ids) if record.status in FINAL_STATUSES]
        for run_id in ended:
            del self._store.runs[run_id]
        return ended

    def move_due(self, limit: int = 200) -> float | None:
        """Nothing waits for a moment here."""
        return None


class MemoryRecords:
    """See :class:`brokers.base.Records`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        self._store.check()
        return self._store.records(run_ids)

    def rows(self, run_ids: Sequence[str], largest_outcome: int = 0) -> list[Row]:
        unsupported("a list of runs")

    def standings(self, run_ids: Sequence[str]) -> list[Standing]:
        self._store.check()
        found = zip(self._store.records(run_ids), map(self._store.runs.get, run_ids), strict=True)
        return [
            Standing(record.status, record.status == Status.QUEUED and bool(run and run.consumer))
            for record, run in found
        ]

    def bodies(self, run_ids: Sequence[str]) -> list[tuple[bytes | None, bytes | None]]:
        """Packed arguments and meta of each run."""
        found = [self._store.runs.get(run_id) for run_id in run_ids]
        return [(run.envelope.body, run.envelope.meta) if run else (None, None) for run in found]

    def upstreams(self, run_ids: Sequence[str]) -> list[bytes | None]:
        found = [self._store.runs.get(run_id) for run_id in run_ids]
        return [(run.envelope.extras or {}).get(Extra.BODY_UPSTREAMS) if run else None for run in found]

    def delayed(self, first: int, limit: int) -> tuple[int, list[str]]:
        """Nothing waits for a moment here."""
        return 0, []

    def places(self, run_ids: Sequence[str]) -> list[Place | None]:
        """There are no limits here."""
        return [None for _ in run_ids]

    def holder(self, row: Row) -> str | None:
        """The consumer that has claimed a run and not ended it."""
        run = self._store.runs.get(row.run_id)
        return run.consumer or None if run else None


class MemoryConsumers:
    """See :class:`brokers.base.Consumers`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._facts: dict[str, dict[str, str]] = {}

    def beat(self, consumers: Sequence[str], lease_seconds: float) -> list[str]:
        self._store.check()
        self._store.beats.update(dict.fromkeys(consumers, time.monotonic()))
        return self._store.silent(lease_seconds)

    def tidy(
        self, patience_seconds: float, dead_letter_ttl_seconds: float, events_ttl_seconds: float = EVENTS_TTL_SECONDS
    ) -> int:
        """There is nothing to tidy."""
        return 0

    def describe(self, consumer: str, facts: Mapping[str, str], ttl_seconds: float) -> None:
        """The description of a consumer."""
        self._facts[consumer] = dict(facts)

    def leave(self, names: Sequence[str]) -> None:
        """Nobody looks for it."""

    def alive(self, lease_seconds: float) -> dict[str, dict[str, str]]:
        self._store.check()
        gone = self._store.silent(lease_seconds)
        return {name: self._facts.get(name, {}) for name in self._store.beats if name not in gone}

    def note_project(self, project: str) -> None:
        """Nobody else could read it."""

    def projects(self, lease_seconds: float) -> list[str]:
        """There are no others in this process."""
        return []


class MemoryQueues:
    """See :class:`brokers.base.Queues`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def paused(self) -> set[str]:
        self._store.check()
        return set(self._store.paused)

    def pause(self, queue: str) -> bool:
        """Hand out no more calls of a queue; whether it was not paused before."""
        with self._store.changed:
            fresh = queue not in self._store.paused
            self._store.paused.add(queue)
        return fresh

    def resume(self, queue: str) -> bool:
        with self._store.changed:
            was = queue in self._store.paused
            self._store.paused.discard(queue)
            self._store.changed.notify_all()
        return was

    def purge(self, queue: str) -> int:
        unsupported("purging a queue")

    def backlog(self, queues: Sequence[str], soon_seconds: float = 1.0) -> Backlog:
        """What is left on these queues."""
        routes = {route for lane in (SYNC_LANE, ASYNC_LANE) for route in routes_of(list(queues), lane)}
        with self._store.changed:
            there = [run for run in self._store.runs.values() if run.envelope.route in routes]
            held: dict[str, int] = {}
            for run in there:
                if run.consumer:
                    held[run.consumer] = held.get(run.consumer, 0) + 1
            return Backlog(sum(run.status == Status.QUEUED and not run.ticket for run in there), 0, held)

    def unknown_tasks(self) -> list[tuple[str, str]]:
        """Nobody waits for a worker that knows a task."""
        return []

    def adopt(self, tasks: Sequence[tuple[str, str]]) -> int:
        """Nobody waits for a worker that knows a task."""
        return 0


class MemoryHealth:
    """See :class:`brokers.base.Health`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def ping(self) -> None:
        """Raises BrokerUnavailable while the store is away."""
        self._store.check()

    def is_reachable(self) -> bool:
        """Whether the store is there."""
        return not self._store.away

    def facts(self) -> dict[str, str]:
        """A process says nothing of its memory."""
        return {}

    def warnings(self) -> list[str]:
        """What is kept in memory is meant to be lost."""
        return []
