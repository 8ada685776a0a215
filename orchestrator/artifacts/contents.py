"""The bytes of artifacts: JSON values and chunks of rows, compressed, and protected as all that we write."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgpack

from orchestrator import serializers
from orchestrator.artifacts.cells import plain
from orchestrator.artifacts.tables import check_length, plain_rows
from orchestrator.errors import SerializationError

ROWS_PER_CHUNK: Final = 1_000
MAX_BYTES: Final = 64 * 1024 * 1024  # of the rows of a table, before they are compressed
MAX_JSON_BYTES: Final = 5 * 1024 * 1024  # of anything else
_COMPRESS_ABOVE: Final = 4_096
_PLAIN, _DEFLATED = b"\x01", b"\x02"  # what compressed() puts first


def pack_json(artifact_id: str, part: str, value: Any) -> bytes:
    """A JSON value as a part of an artifact.

    Raises:
        ValueError: it is larger than 5 MB, or holds something that JSON cannot.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the {part} of an artifact is JSON: {error}") from None
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(
            f"the {part} has {len(data):,} bytes, an artifact holds at most {MAX_JSON_BYTES // 2**20} MB of it. Write "
            "it to a file and leave a link, or a part of it"
        )
    return enclosed(artifact_id, part, compressed(data))


def read_json(artifact_id: str, part: str, blob: bytes) -> Any:
    """What :func:`pack_json` packed.

    Raises:
        SerializationError: it is damaged, or not to be read here.
    """
    data = inflated(disclosed(artifact_id, part, blob), 2 * MAX_JSON_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"the {part} of an artifact cannot be read: {error}") from None


def pack_rows(artifact_id: str, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[bytes, int]]:
    """Rows in chunks of 1,000, each with the number of its rows.

    Raises:
        ValueError: there are too many, or they are too large; a cell that nests too deep.
    """
    cells = plain_rows(rows)
    number, count, size = 0, 0, 0
    while some := list(islice(cells, ROWS_PER_CHUNK)):
        packed = _packed(some)
        count, size = count + len(some), size + len(packed)
        check_length(count)
        if size > MAX_BYTES:
            raise ValueError(
                f"the first {count:,} rows of the table have {size:,} bytes: an artifact holds at most 1,000,000 rows "
                "or 64 MB. Write it to a file and leave a link, or a part of it"
            )
        yield enclosed(artifact_id, f"rows {number}", compressed(packed)), len(some)
        number += 1


def read_rows(artifact_id: str, number: int, blob: bytes) -> list[list[Any]]:
    """The rows of a chunk.

    Raises:
        SerializationError: it is damaged, or not to be read here.
    """
    data = inflated(disclosed(artifact_id, f"rows {number}", blob), 2 * MAX_BYTES)
    try:
        rows = msgpack.unpackb(data, strict_map_key=False)
    except Exception as error:  # msgpack raises half a dozen kinds
        raise SerializationError(f"rows of a table cannot be read: {error}") from None
    if not isinstance(rows, list) or any(type(row) is not list for row in rows):
        raise SerializationError("rows of a table cannot be read: they are no lists")
    return rows


def _packed(rows: list[list[Any]]) -> bytes:
    try:
        packed: bytes = msgpack.packb(rows)
    except (OverflowError, UnicodeEncodeError):  # integers beyond 64 bits, characters that no encoding carries
        packed = msgpack.packb([[plain(cell) for cell in row] for row in rows])
    return packed


def compressed(data: bytes) -> bytes:
    """Bytes, smaller where that is worth it."""
    if len(data) > _COMPRESS_ABOVE and len(small := zlib.compress(data, 1)) < len(data):
        return _DEFLATED + small
    return _PLAIN + data


def inflated(data: bytes, most: int) -> bytes:
    """What :func:`compressed` made smaller. Raises SerializationError: it is not, or grows beyond ``most`` bytes."""
    if data[:1] == _PLAIN:
        return data[1:]
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data[1:] if data[:1] == _DEFLATED else b"?", most)
    except zlib.error as error:
        raise SerializationError(f"a part of an artifact cannot be read: {error}") from None
    if not inflater.eof:
        raise SerializationError("a part of an artifact is damaged, or larger than one may be")
    return found


def enclosed(artifact_id: str, part: str, data: bytes) -> bytes:
    """Bytes of an artifact, signed and encrypted where this process does so."""
    return serializers.enclose(data, lambda: ("artifact", artifact_id, part))


def disclosed(artifact_id: str, part: str, blob: bytes) -> bytes:
    """The bytes that were enclosed. Raises SerializationError."""
    return serializers.disclose(blob, lambda: ("artifact", artifact_id, part))
