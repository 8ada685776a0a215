"""What is kept beside runs: cached results, log lines, progress, flow runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from brokers.facets.runs import FlowRunName
from brokers.stored import text, text_or_none


class MemoryCache:
    """See :class:`brokers.base.Cache`."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, float]] = {}

    def get(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, 0.0))
        return value if time.monotonic() < until else None

    def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        self._values[key] = value, time.monotonic() + ttl_seconds

    def lock(self, key: str, run_id: str, ttl_seconds: float) -> str:
        """Whoever asks may compute a key: nobody waits for another."""
        return run_id

    def unlock(self, key: str, holder: str) -> None:
        """It was not locked."""


class MemoryLogs:
    """See :class:`brokers.base.Logs`."""

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}
        self._progress: dict[str, tuple[str, bytes]] = {}

    def append(self, lines: Mapping[str, Sequence[bytes]], keep: int) -> None:
        for run_id, some in lines.items():
            self._lines[run_id] = [*self._lines.get(run_id, ()), *some][-keep:] if keep else []

    def read(self, run_id: str) -> list[bytes]:
        return list(self._lines.get(run_id, ()))

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        return {run_id: next(reversed(self._lines.get(run_id, [])), None) for run_id in run_ids}

    def note_progress(self, notes: Sequence[tuple[str, str, bytes]]) -> None:
        """Note (run, ticket, value): how far attempts have come."""
        self._progress.update({run_id: (ticket, value) for run_id, ticket, value in notes})

    def read_progress(self, run_ids: Sequence[str]) -> list[tuple[str, bytes] | None]:
        """Of each run, the ticket of its latest attempt that reported something, and what."""
        return [self._progress.get(run_id) for run_id in run_ids]


class MemoryUndoLogs:
    """See :class:`brokers.base.UndoLogs`. They go with their process, as the runs do that they are of."""

    def __init__(self) -> None:
        self._entries: dict[str, list[bytes]] = {}

    def write(self, run_id: str, ticket: str, stay: int, entries: Sequence[bytes], ttl_seconds: float) -> bool:
        kept = [*self._entries.pop(run_id, [])[:stay], *entries]
        if kept:
            self._entries[run_id] = kept
        return True

    def read(self, run_id: str) -> list[bytes]:
        return list(self._entries.get(run_id, ()))


class MemoryFlowRuns:
    """See :class:`brokers.base.FlowRuns`."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, bytes]] = {}

    def write(self, flow_run_id: str, fields: Mapping[str, str | bytes]) -> None:
        noted = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
        self._records.setdefault(flow_run_id, {}).update(noted)

    def note(self, notes: Sequence[tuple[str, Mapping[str, str | bytes], bool]], only_new: bool = False) -> None:
        """Note (flow run, fields, whether it goes on), in order."""
        for flow_run_id, fields, _ in notes:
            if not (only_new and self.read(flow_run_id)):
                self.write(flow_run_id, fields)

    def beat(self, flow_run_ids: Sequence[str], lease_seconds: float) -> tuple[list[str], list[str]]:
        """Whoever could look is the process that runs them: none is forgotten, none silent."""
        return [], []

    def end_silent(self, flow_run_id: str, lease_seconds: float, fields: Mapping[str, str | bytes]) -> bool:
        """None is silent."""
        return False

    def read(self, flow_run_id: str) -> dict[str, bytes]:
        return dict(self._records.get(flow_run_id, {}))

    def read_many(self, flow_run_ids: Sequence[str], names: Sequence[str] = ()) -> list[dict[str, bytes]]:
        records = [self.read(flow_run_id) for flow_run_id in flow_run_ids]
        return [{name: record[name] for name in record if not names or name in names} for record in records]

    def listed(self, deployment_id: str | None = None, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        of = deployment_id.encode() if deployment_id else None
        found = [
            (float(fields.get("expected", b"0")), run_id)
            for run_id, fields in self._records.items()
            if fields.get("deployment") and of in (None, fields["deployment"])
        ]
        ordered = [run_id for _, run_id in sorted(found, reverse=True)]
        return len(ordered), ordered[first : first + limit]

    def names(self, flow_run_ids: Sequence[str]) -> list[FlowRunName]:
        return [
            FlowRunName(
                text(record.get("flow")), text_or_none(record.get("parent")), text_or_none(record.get("deployment"))
            )
            for record in self.read_many(flow_run_ids)
        ]
