"""Blocks in parameters of runs: what travels and is kept is a reference, the block is read where the run is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.blocks.core import Block
from orchestrator.blocks.errors import BlockLoadError
from orchestrator.errors import ObjectNotFound, SerializationError

KEY: Final = "$ref"


def with_blocks(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the blocks that ``{"$ref": {"block_document_id": id}}`` stands for.

    Raises:
        ObjectNotFound: one is gone. BlockLoadError: one does not fit its class any more.
        SerializationError: a secret of it cannot be read here. BrokerError: the server does not answer.
    """
    found = {}
    for name, value in parameters.items():
        try:
            found[name] = _resolved(value)
        except (ObjectNotFound, BlockLoadError, SerializationError) as error:
            raise type(error)(f"the parameter {name!r} is a block: {error}") from None
    return found


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    reference = value.get(KEY)
    if len(value) == 1 and isinstance(reference, Mapping) and "block_document_id" in reference:
        return Block.load_from_ref(reference, _sync=True)  # type: ignore[call-arg]
    return {key: _resolved(part) for key, part in value.items()}
