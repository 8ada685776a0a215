"""Blocks as people see them: never a secret, nor a part of one."""

from __future__ import annotations

import math
from typing import Any, Final

from orchestrator.blocks.contents import put
from orchestrator.blocks.record import BlockRecord
from orchestrator.blocks.sealing import STARS
from orchestrator.serializers import CipherRing

NO_KEY: Final = "(encrypted with a key that is not here)"


def data_shown(record: BlockRecord, ring: CipherRing | None) -> dict[str, Any]:
    """The fields of a block, stars for secrets, ``{"$ref": ...}`` for blocks that are saved by themselves.

    Args:
        record: the block.
        ring: the keys of this process: a secret that they cannot open is shown as that.
    """
    data = record.contents().data
    for path, sealed in record.sealed.items():
        put(data, path, STARS if ring is not None and ring.knows(sealed) else NO_KEY)
    for path, block_id in record.references.items():
        put(data, path, {"$ref": {"block_document_id": block_id}})
    found: dict[str, Any] = _as_json(data)
    return found


def without_key(record: BlockRecord, ring: CipherRing | None) -> int:
    """How many of its secrets cannot be opened here."""
    return sum(ring is None or not ring.knows(sealed) for sealed in record.sealed.values())


def _as_json(value: Any) -> Any:
    """The same where JSON has no word for a value: NaN and infinities are null, bytes are text."""
    if isinstance(value, dict):
        return {str(key): _as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_as_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
