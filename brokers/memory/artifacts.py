"""What runs leave behind, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from brokers.errors import BrokerConflict
from brokers.facets.artifacts import ArtifactField, NewArtifact, StoredArtifact


class MemoryArtifacts:
    """See :class:`brokers.base.Artifacts`. Like everything here, artifacts without a key are kept with the process."""

    def __init__(self) -> None:
        self._made: dict[str, StoredArtifact] = {}  # in the order in which they were made
        self._chunks: dict[str, dict[int, bytes]] = {}
        self._lock = threading.RLock()
        self._last_us = 0

    def put_chunks(self, artifact_id: str, first: int, chunks: Sequence[bytes]) -> None:
        with self._lock:
            self._chunks.setdefault(artifact_id, {}).update(enumerate(chunks, first))

    def create(self, artifact: NewArtifact, keep_versions: int) -> None:
        with self._lock:
            if artifact.id in self._made:
                return
            there = self._chunks.get(artifact.id, {})
            if any(number not in there for number in range(artifact.chunks)):
                raise BrokerConflict("the artifact was not made: chunks of it are gone")
            self._last_us = max(int(time.time() * 1_000_000), self._last_us + 1)
            self._made[artifact.id] = StoredArtifact(
                artifact.id,
                artifact.type,
                artifact.key,
                artifact.flow_run_id,
                artifact.task_run_id,
                self._last_us,
                self._last_us // 1000,
                artifact.chunks,
                artifact.description,
                artifact.facts,
                artifact.data,
            )
            if artifact.key:
                self.delete(self.newest(keep_versions, len(self._made), key=artifact.key)[1])

    def change(self, changes: Mapping[str, Mapping[str, str | bytes]]) -> list[bool]:
        with self._lock:
            return [self._change(artifact_id, fields) for artifact_id, fields in changes.items()]

    def _change(self, artifact_id: str, fields: Mapping[str, str | bytes]) -> bool:
        before = self._made.get(artifact_id)
        if before is None:
            return False
        values = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
        self._made[artifact_id] = before._replace(
            updated_ms=int(time.time() * 1000),
            data=values.get(ArtifactField.DATA, before.data),
            description=values.get(ArtifactField.DESCRIPTION, before.description),
            facts=values.get(ArtifactField.FACTS, before.facts),
        )
        return True

    def read(self, artifact_ids: Sequence[str], *, with_data: bool = True) -> list[StoredArtifact | None]:
        found = [self._made.get(artifact_id) for artifact_id in artifact_ids]
        return [one if with_data or one is None else one._replace(data=None) for one in found]

    def chunks(self, artifact_id: str, numbers: Sequence[int]) -> list[bytes | None]:
        there = self._chunks.get(artifact_id, {})
        return [there.get(number) for number in numbers]

    def newest(
        self, first: int = 0, limit: int = 200, *, key: str | None = None, run_id: str | None = None
    ) -> tuple[int, list[str]]:
        with self._lock:
            ids = [one.id for one in reversed(self._made.values()) if _is_listed(one, key, run_id)]
        return len(ids), ids[first : first + limit]

    def keys(self, first: int = 0, limit: int = 200) -> tuple[int, list[tuple[str, str]]]:
        with self._lock:
            newest: dict[str, str] = {}
            for one in reversed(self._made.values()):
                if one.key:
                    newest.setdefault(one.key, one.id)
        return len(newest), list(newest.items())[first : first + limit]

    def delete(self, artifact_ids: Sequence[str] = (), keys: Sequence[str] = ()) -> int:
        with self._lock:
            of_keys = [one.id for one in self._made.values() if one.key in keys]
            gone = [one for one in {*artifact_ids, *of_keys} if self._made.pop(one, None) is not None]
            for artifact_id in gone:
                self._chunks.pop(artifact_id, None)
            return len(gone)


def _is_listed(one: StoredArtifact, key: str | None, run_id: str | None) -> bool:
    if run_id is not None:
        return run_id in (one.flow_run_id, one.task_run_id)
    return key is None or (one.key == key if key else bool(one.key))
