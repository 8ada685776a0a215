"""What a block holds as plain values, secrets included: for what a worker starts, and for nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.blocks.contents import MOST_NESTED, put
from orchestrator.blocks.errors import BlockLoadError
from orchestrator.blocks.loading import secrets_of
from orchestrator.blocks.lookup import blocks_by_id, find_block
from orchestrator.blocks.record import BlockRecord
from orchestrator.client.fleet import Fleet

_VALUE: Final = "value"


def plain_value(fleet: Fleet, name: str, keys: Sequence[str] = ()) -> Any:
    """A block's value, where it has a field of that name (Secret, String, JSON), else all of its fields.

    Args:
        fleet: whose store and keys.
        name: ``slug/name``.
        keys: fields inside of it, from the outermost on.

    Raises:
        BlockNotFound: there is none. BlockLoadError: it is damaged, or has no such field.
        SerializationError: a secret cannot be had here. BrokerError: the server does not answer.
    """
    record = find_block(fleet.broker, name)
    found: Any = _fields(fleet, record)
    for at, key in enumerate(keys):
        if at == 0 and key not in found and isinstance(found.get(_VALUE), dict):
            found = found[_VALUE]  # {{ prefect.blocks.json.shop.bucket }}
        if not isinstance(found, dict) or key not in found:
            raise BlockLoadError(f"the block {record.full_name!r} has no {'.'.join(keys)!r}")
        found = found[key]
    return found[_VALUE] if not keys and _VALUE in found else found


def _fields(fleet: Fleet, record: BlockRecord, depth: int = 0) -> dict[str, Any]:
    if record.trouble:
        raise BlockLoadError(f"the block {record.full_name!r} cannot be read: {record.trouble}")
    if depth > MOST_NESTED:
        raise BlockLoadError(f"the block {record.full_name!r} is nested too deeply: it contains itself")
    data = record.contents().data
    for path, secret in secrets_of(fleet, record).items():
        put(data, path, secret.value)
    inside = blocks_by_id(fleet.broker, list(record.references.values()))
    for (path, block_id), inner in zip(record.references.items(), inside, strict=True):
        if inner is None:
            raise BlockLoadError(f"the block {record.full_name!r} has another one inside, which is gone ({block_id})")
        put(data, path, _fields(fleet, inner, depth + 1))
    return data
