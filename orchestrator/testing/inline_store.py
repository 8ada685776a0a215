"""What an inline fleet remembers, under the names by which clients and the engine ask a broker."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from brokers.contract import SETTLED, Envelope, Record, Settled, Status
from orchestrator.log_shipper import LogLine
from orchestrator.progress_notes import Progress


class InlineStore:
    """Runs, cached results and flow runs, in memory.

    Args:
        result_ttl_seconds: noted in outcomes as elsewhere; nothing is forgotten before the test ends.
    """

    def __init__(self, result_ttl_seconds: float) -> None:
        self.ttl_ms = int(result_ttl_seconds * 1000)
        self.records: dict[str, Record] = {}
        self._by_key: dict[str, str] = {}  # idempotency key -> run
        self._cache: dict[str, tuple[bytes, float]] = {}
        self._flow_runs: dict[str, dict[str, bytes]] = {}

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an inline fleet has no {name!r}; use private_fleet() for what needs a server")

    # -- runs ----------------------------------------------------------------------------------------------------

    def known(self, envelope: Envelope) -> str | None:
        """The run that had this call's idempotency key before."""
        key, _ = (envelope.extras or {}).get("i", (None, None))
        first = envelope.run_id if key is None else self._by_key.setdefault(key, envelope.run_id)
        return None if first == envelope.run_id else first

    def note_running(self, envelope: Envelope) -> None:
        self.records[envelope.run_id] = Record(
            envelope.run_id, Status.RUNNING, None, task=envelope.task, flow_run_id=envelope.flow_run_id
        )

    def end(self, run_id: str, status: bytes, outcome: bytes) -> None:
        self.records[run_id] = self.records[run_id]._replace(status=status, outcome=outcome)

    def status(self, run_id: str) -> bytes:
        return self.read([run_id])[0].status

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        return [self.records.get(run_id) or Record(run_id, Status.UNKNOWN, None) for run_id in run_ids]

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[Settled]:
        ended = SETTLED | {Status.UNKNOWN}
        return [(run.run_id, run.status, run.outcome or b"\0") for run in self.read(run_ids) if run.status in ended]

    def cancel(self, run_ids: Sequence[str], reason: str = "") -> list[bytes]:
        """Too late: a run that could be cancelled is running in this very thread, or in one that nobody watches."""
        return [Status.UNKNOWN for _ in run_ids]

    # -- beside the runs -----------------------------------------------------------------------------------------

    def cache_get(self, key: str) -> bytes | None:
        value, until = self._cache.get(key, (None, 0.0))
        return value if time.monotonic() < until else None

    def cache_put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        self._cache[key] = value, time.monotonic() + ttl_seconds

    def cache_lock(self, key: str, run_id: str, ttl_seconds: float) -> str:
        return run_id  # one call at a time

    def cache_unlock(self, key: str, holder: str) -> None:
        """It was not locked."""

    def write_flow_run(self, flow_run_id: str, fields: Mapping[str, str | bytes]) -> None:
        noted = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
        self._flow_runs.setdefault(flow_run_id, {}).update(noted)

    def read_flow_run(self, flow_run_id: str) -> dict[str, bytes]:
        return dict(self._flow_runs.get(flow_run_id, {}))

    def workers(self, lease_seconds: float) -> dict[str, dict[str, Any]]:
        return {}

    def reachable(self) -> bool:
        return True

    def close(self) -> None:
        """It goes with its fleet."""


class InlineLogs:
    """Log lines of runs, kept and read like those of :class:`orchestrator.run_logs.LogShipper`."""

    waiting = False

    def __init__(self) -> None:
        self._lines: dict[str, list[LogLine]] = {}
        self._progress: dict[str, Progress] = {}

    def add(self, run_id: str, level: str, message: str, created: float) -> None:
        self._lines.setdefault(run_id, []).append(LogLine(datetime.fromtimestamp(created, UTC), level, message))

    def read(self, run_id: str) -> list[LogLine]:
        return list(self._lines.get(run_id, ()))

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        return {run_id: str(len(self._lines.get(run_id, ()))).encode() for run_id in run_ids}

    def note_progress(self, run_id: str, ticket: str, progress: Progress) -> None:
        self._progress[run_id] = progress

    def progress_of(self, run_ids: Sequence[str]) -> dict[str, Progress]:
        return {run_id: self._progress[run_id] for run_id in run_ids if run_id in self._progress}

    def flush(self, ending: Collection[str] | None = None) -> None:
        """Nothing ever waits."""
