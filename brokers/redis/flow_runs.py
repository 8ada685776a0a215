"""Records of flow runs, and which of them go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from brokers.facets.runs import FlowRunName
from brokers.records import in_portions
from brokers.stored import text, text_or_none, whole

from .store import RedisStore, flat

FLOW_RUNS_AT_ONCE: Final = 200


class RedisFlowRuns:
    """See :class:`brokers.base.FlowRuns`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def write(self, flow_run_id: str, fields: Mapping[str, str | bytes]) -> None:
        for_journal = [flow_run_id, fields["type"], fields.get("state")] if "type" in fields else None
        self._store.describe(self._store.keys.flow(flow_run_id), fields, self._store.ttl_ms, for_journal)

    def note(self, notes: Sequence[tuple[str, Mapping[str, str | bytes], bool]], only_new: bool = False) -> None:
        for some in in_portions(notes, FLOW_RUNS_AT_ONCE):
            rows = [
                [flow_run_id, flat(fields), fields["type"], after_failure, only_new, fields.get("state")]
                for flow_run_id, fields, after_failure in some
            ]
            self._store.run("flow_runs", [self._store.ttl_ms, rows])

    def beat(self, flow_run_ids: Sequence[str], lease_seconds: float) -> tuple[list[str], list[str]]:
        forgotten: list[str] = []
        silent: list[bytes] = []
        for first in range(0, max(1, len(flow_run_ids)), FLOW_RUNS_AT_ONCE):
            some = list(flow_run_ids[first : first + FLOW_RUNS_AT_ONCE])
            unknown, silent = self._store.run("flow_beat", [some, int(lease_seconds * 1000), self._store.ttl_ms])
            forgotten += [flow_run_id.decode() for flow_run_id in unknown]
        return forgotten, [flow_run_id.decode() for flow_run_id in silent]

    def end_silent(self, flow_run_id: str, lease_seconds: float, fields: Mapping[str, str | bytes]) -> bool:
        arguments = [flow_run_id, int(lease_seconds * 1000), self._store.ttl_ms, flat(fields), fields["type"]]
        return bool(self._store.run("flow_silent", arguments))

    def read(self, flow_run_id: str) -> dict[str, bytes]:
        (fields,) = self.read_many([flow_run_id])
        return fields

    def read_many(self, flow_run_ids: Sequence[str], names: Sequence[str] = ()) -> list[dict[str, bytes]]:
        if names:
            return self._some_of(flow_run_ids, names)
        hashes = self._store.hashes([self._store.keys.flow(flow_run_id) for flow_run_id in flow_run_ids])
        return [{text(name): value for name, value in fields.items()} for fields in hashes]

    def _some_of(self, flow_run_ids: Sequence[str], names: Sequence[str]) -> list[dict[str, bytes]]:
        keys = self._store.keys
        rows = self._store.look([("HMGET", keys.flow(flow_run_id), *names) for flow_run_id in flow_run_ids])
        return [
            {name: value for name, value in zip(names, row or (), strict=False) if value is not None} for row in rows
        ]

    def listed(self, deployment_id: str | None = None, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        key = self._store.keys.runs_of(deployment_id)
        total, ids = self._store.look([("ZCARD", key), ("ZREVRANGE", key, first, first + limit - 1)])
        return whole(total), [text(run_id) for run_id in ids or ()]

    def names(self, flow_run_ids: Sequence[str]) -> list[FlowRunName]:
        keys = self._store.keys
        rows = self._store.look(
            [("HMGET", keys.flow(run_id), "flow", "parent", "deployment") for run_id in flow_run_ids]
        )
        return [
            FlowRunName(text(row[0]), text_or_none(row[1]), text_or_none(row[2])) if row else FlowRunName()
            for row in rows
        ]
