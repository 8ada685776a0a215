"""What people define (deployments, blocks, users, ...) as documents keep it: plain values, under their kind and id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack

from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers import framing
from orchestrator.serializers.protection import signs

_FORM: Final = 1


def pack_document(kind: str, document_id: str, plain: Mapping[str, Any]) -> bytes:
    """Plain values as a document keeps them, signed and encrypted where the fleet has keys.

    Raises:
        SerializationError: JSON could not hold them either.
    """
    try:
        data: bytes = msgpack.packb([_FORM, plain])
    except (TypeError, ValueError, OverflowError) as error:
        raise SerializationError(f"this {kind} cannot be stored: {error}") from None
    return framing.enclose(data, lambda: (kind, document_id))


def unpack_document(kind: str, document_id: str, stored: bytes) -> tuple[dict[str, Any], str]:
    """Those values, or why there are none: whatever became of them in the store is no error here."""
    try:
        form, plain = msgpack.unpackb(framing.disclose(stored, lambda: (kind, document_id)), strict_map_key=False)
    except SerializationError as error:
        return {}, str(error)
    except Exception as error:  # msgpack raises half a dozen kinds for foreign bytes
        return {}, f"what the store keeps of it is damaged ({type(error).__name__})"
    if not isinstance(plain, dict) or form != _FORM:
        return {}, "what the store keeps of it is damaged, or was written by a newer version"
    return plain, ""


def check_signed(what: str, stored: bytes) -> None:
    """Refuse to load code that is named here, unless whoever wrote it has the fleet's secret key, if there is one.

    Args:
        what: what names the code, for the message.
        stored: as the store has it.

    Raises:
        UntrustedPayload: it has no signature, and this fleet signs.
    """
    if signs() and not framing.is_signed(stored):
        raise UntrustedPayload(
            f"{what} has no signature, and this fleet has a secret key: whoever wrote it did not have it, so no "
            "code is loaded that it names. If it is yours, write it once more where ORCHESTRATOR_SECRET_KEY is set"
        )
