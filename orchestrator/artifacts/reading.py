"""Artifacts out of the store: records, whole tables, pages of tables, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from brokers.base import Broker
from orchestrator.artifacts.contents import ROWS_PER_CHUNK, disclosed, inflated, read_rows
from orchestrator.artifacts.images import MAX_IMAGE_BYTES, content_type_of
from orchestrator.artifacts.record import ArtifactRecord, record_of
from orchestrator.artifacts.tables import shaped
from orchestrator.errors import SerializationError

_CHUNKS_AT_ONCE = 20


def read_many(broker: Broker, artifact_ids: Sequence[str], *, with_data: bool = True) -> list[ArtifactRecord | None]:
    """Artifacts by their ids, those of tables without rows; ``None`` where there is none. Raises BrokerError."""
    stored = broker.artifacts.read(artifact_ids, with_data=with_data)
    return [None if one is None else record_of(one) for one in stored]


def read_one(broker: Broker, artifact_id: str) -> ArtifactRecord | None:
    """One by its id. Raises BrokerError."""
    return read_many(broker, [artifact_id])[0]


def newest_version(broker: Broker, key: str) -> ArtifactRecord | None:
    """The newest version of a key. Raises BrokerError."""
    _, ids = broker.artifacts.newest(0, 1, key=key)
    return read_one(broker, ids[0]) if key and ids else None


def with_table(broker: Broker, record: ArtifactRecord) -> ArtifactRecord:
    """A table with all of its rows as JSON text, in the shape in which it was handed in; others as they are.

    Raises:
        SerializationError: some rows are damaged, or not to be read here. BrokerError: the server does not answer.
    """
    if record.table is None:
        return record
    rows = [row for chunk in chunks_of(broker, record) for row in chunk]
    value = shaped(record.table.columns, rows, record.table.shape)
    return replace(record, data=json.dumps(value, ensure_ascii=False))


def with_short_table(broker: Broker, record: ArtifactRecord, most_rows: int) -> ArtifactRecord:
    """A table with its rows, as :func:`with_table`; of one with more rows the metadata says that they are not there."""
    if record.table is None or record.table.rows <= most_rows:
        return with_table(broker, record)
    left_out = {
        "rows": str(record.table.rows),
        "columns": str(len(record.table.columns)),
        "data": f"tables of more than {most_rows:,} rows are not sent whole: /api/artifacts/{record.id}/rows has pages",
    }
    return replace(record, metadata_={**(record.metadata_ or {}), **left_out})


def chunks_of(broker: Broker, record: ArtifactRecord, first: int = 0) -> Iterator[list[list[Any]]]:
    """The rows of a table, a chunk at a time, from one of them on. Raises SerializationError, BrokerError."""
    for start in range(first, record.chunks, _CHUNKS_AT_ONCE):
        numbers = range(start, min(start + _CHUNKS_AT_ONCE, record.chunks))
        for number, blob in zip(numbers, broker.artifacts.chunks(str(record.id), numbers), strict=True):
            yield _rows(record, number, blob)


def rows_at(broker: Broker, record: ArtifactRecord, places: Sequence[int]) -> list[list[Any]]:
    """Rows of a table by their places, in this order. Raises SerializationError, BrokerError."""
    numbers = sorted({place // ROWS_PER_CHUNK for place in places})
    chunks: dict[int, list[list[Any]]] = {}
    for start in range(0, len(numbers), _CHUNKS_AT_ONCE):
        some = numbers[start : start + _CHUNKS_AT_ONCE]
        for number, blob in zip(some, broker.artifacts.chunks(str(record.id), some), strict=True):
            chunks[number] = _rows(record, number, blob)
    found = ((chunks[place // ROWS_PER_CHUNK], place % ROWS_PER_CHUNK) for place in places)
    return [rows[at] for rows, at in found if at < len(rows)]


def picture_of_record(broker: Broker, record: ArtifactRecord) -> tuple[bytes, str] | None:
    """The bytes of a picture that is kept by us and what they are by themselves, whatever the record says.

    Raises:
        SerializationError: they are damaged, or not to be read here. BrokerError: the server does not answer.
    """
    if record.image is None:
        return None
    (blob,) = broker.artifacts.chunks(str(record.id), [0])
    if blob is None:
        return None
    content = inflated(disclosed(str(record.id), "picture", blob), 2 * MAX_IMAGE_BYTES)
    kind = content_type_of(content)
    return (content, kind) if kind is not None else None


def _rows(record: ArtifactRecord, number: int, blob: bytes | None) -> list[list[Any]]:
    if blob is None:
        raise SerializationError(f"rows {number * ROWS_PER_CHUNK:,} and on of the table are not there (any more)")
    return read_rows(str(record.id), number, blob)
