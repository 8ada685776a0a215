"""Artifacts: a hash each, chunks beside it, and zsets that list them by the moment of their creation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from brokers.errors import BrokerConflict
from brokers.facets.artifacts import CHUNK_SECONDS, ArtifactField, NewArtifact, StoredArtifact
from brokers.records import in_portions
from brokers.stored import exact, text, whole

from .store import RedisStore, flat

_PORTION_BYTES: Final = 4_000_000  # of chunks in one write: the server serves others in between
_DELETED_AT_ONCE: Final = 50  # each may have a thousand chunks
_LISTED: Final = (
    ArtifactField.TYPE,
    ArtifactField.KEY,
    ArtifactField.FLOW_RUN,
    ArtifactField.TASK_RUN,
    ArtifactField.CREATED,
    ArtifactField.UPDATED,
    ArtifactField.CHUNKS,
    ArtifactField.DESCRIPTION,
    ArtifactField.FACTS,
)


class RedisArtifacts:
    """See :class:`brokers.base.Artifacts`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def put_chunks(self, artifact_id: str, first: int, chunks: Sequence[bytes]) -> None:
        ttl_ms, keys = int(CHUNK_SECONDS * 1000), self._store.keys
        for some in _portions(list(enumerate(chunks, first))):
            commands = [("SET", keys.chunk(artifact_id, number), chunk, "PX", ttl_ms) for number, chunk in some]
            self._store.wires.commands(commands)

    def create(self, artifact: NewArtifact, keep_versions: int) -> None:
        runs = [artifact.flow_run_id, artifact.task_run_id]
        arguments = [artifact.id, flat(_fields_of(artifact)), artifact.key, runs, artifact.chunks]
        if not self._store.run("artifact_create", [*arguments, self._store.ttl_ms, keep_versions, artifact.type]):
            raise BrokerConflict(
                f"the artifact was not made: chunks of it are gone, it took longer than {CHUNK_SECONDS:.0f} s to write "
                "them, or the server was emptied meanwhile"
            )

    def change(self, changes: Mapping[str, Mapping[str, str | bytes]]) -> list[bool]:
        there: list[bool] = []
        for some in in_portions(list(changes.items())):
            there += map(bool, self._store.run("artifact_change", [[one, flat(fields)] for one, fields in some]))
        return there

    def read(self, artifact_ids: Sequence[str], *, with_data: bool = True) -> list[StoredArtifact | None]:
        fields = (*_LISTED, ArtifactField.DATA) if with_data else _LISTED
        found: list[StoredArtifact | None] = []
        for some in in_portions(artifact_ids):
            rows = self._store.look([("HMGET", self._store.keys.artifact(one), *fields) for one in some])
            found += [_stored(one, row) for one, row in zip(some, rows, strict=True)]
        return found

    def chunks(self, artifact_id: str, numbers: Sequence[int]) -> list[bytes | None]:
        return self._store.look([("GET", self._store.keys.chunk(artifact_id, number)) for number in numbers])

    def newest(
        self, first: int = 0, limit: int = 200, *, key: str | None = None, run_id: str | None = None
    ) -> tuple[int, list[str]]:
        total, ids = self._page(self._store.keys.artifacts(key, run_id), first, limit)
        return total, [text(one) for one in ids]

    def keys(self, first: int = 0, limit: int = 200) -> tuple[int, list[tuple[str, str]]]:
        total, keys = self._page(self._store.keys.artifact_keys, first, limit)
        names = [exact(key) for key in keys]
        newest = self._store.look([("ZREVRANGE", self._store.keys.artifacts(name), 0, 0) for name in names])
        return total, [(name, text(ids[0])) for name, ids in zip(names, newest, strict=True) if ids]

    def delete(self, artifact_ids: Sequence[str] = (), keys: Sequence[str] = ()) -> int:
        deleted = 0
        for some in in_portions(artifact_ids, _DELETED_AT_ONCE):
            deleted += whole(self._store.run("artifact_delete", [some, []]))
        for some in in_portions(keys, 1):
            deleted += whole(self._store.run("artifact_delete", [[], some]))
        return deleted

    def _page(self, key: str, first: int, limit: int) -> tuple[int, list[bytes]]:
        if limit < 1:
            return whole(self._store.look([("ZCARD", key)])[0]), []
        total, members = self._store.look([("ZCARD", key), ("ZREVRANGE", key, first, first + limit - 1)])
        return whole(total), list(members or ())


def _portions(chunks: Sequence[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    some: list[tuple[int, bytes]] = []
    size = 0
    for number, chunk in chunks:
        if some and size + len(chunk) > _PORTION_BYTES:
            yield some
            some, size = [], 0
        some.append((number, chunk))
        size += len(chunk)
    if some:
        yield some


def _fields_of(artifact: NewArtifact) -> dict[str, str | bytes]:
    fields: dict[str, str | bytes | None] = {
        ArtifactField.TYPE: artifact.type,
        ArtifactField.KEY: artifact.key,
        ArtifactField.FLOW_RUN: artifact.flow_run_id,
        ArtifactField.TASK_RUN: artifact.task_run_id,
        ArtifactField.DATA: artifact.data,
        ArtifactField.DESCRIPTION: artifact.description,
        ArtifactField.FACTS: artifact.facts,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _stored(artifact_id: str, row: Sequence[Any] | None) -> StoredArtifact | None:
    if not row:
        return None
    type_, key, flow_run_id, task_run_id, created, updated, chunks, description, facts, *data = row
    if created is None:
        return None
    return StoredArtifact(
        artifact_id,
        text(type_),
        text(key),
        text(flow_run_id),
        text(task_run_id),
        whole(created),
        whole(updated),
        max(0, whole(chunks)),
        description,
        facts,
        data[0] if data else None,
    )
