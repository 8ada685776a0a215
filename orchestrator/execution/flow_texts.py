"""What a flow was called with and what came of it, as texts that its record keeps for people; nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from orchestrator import serializers
from orchestrator.errors import SerializationError
from orchestrator.inspection.values import REDACTED, Redaction, value_text
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers.exception_describing import traceback_of
from orchestrator.states import State

MAX_PARTS: Final = 100  # of a container are shown
DEEPEST: Final = 6
LONGEST_TRACEBACK: Final = 16_384  # bytes; its end is kept


def parameters_of(flow_run_id: str, parameters: Mapping[str, Any], redaction: Redaction) -> bytes:
    """The parameters as the record keeps them: pairs of name and text, without what is secret."""
    pairs = [
        (str(name), REDACTED if redaction.hides(name) else value_text(_few(value), redaction))
        for name, value in parameters.items()
    ]
    return _enclosed(flow_run_id, "parameters", pairs)


def end_of(
    flow_run_id: str, state: State[Any], redaction: Redaction, stored: StoredResult | None = None
) -> dict[str, str | bytes]:
    """What the record keeps of the end: the result as text, or where it is, or the traceback."""
    if state.is_completed() and stored is not None:
        return {"result": _enclosed(flow_run_id, "result", f"<{stored}>")}
    if state.is_completed():
        return {"result": _enclosed(flow_run_id, "result", value_text(_few(state.data), redaction))}
    error = state.data if isinstance(state.data, BaseException) else None
    if error is None:
        return {}
    return {"error": _enclosed(flow_run_id, "error", traceback_of(error, LONGEST_TRACEBACK).rstrip())}


def read(flow_run_id: str, field: str, stored: bytes | None) -> Any:
    """What was written so; ``None`` if it was not, or cannot be read here."""
    if not stored:
        return None
    try:
        return msgpack.unpackb(serializers.disclose(stored, lambda: (f"flow {field}", flow_run_id)))
    except (SerializationError, ValueError, msgpack.UnpackException):
        return None


def parameters_from(flow_run_id: str, stored: bytes | None) -> list[tuple[str, str]] | None:
    """The parameters of a record; ``None`` if they are not kept, or cannot be read here."""
    pairs = read(flow_run_id, "parameters", stored)
    if not isinstance(pairs, Sequence) or isinstance(pairs, str | bytes):
        return None
    return [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]


def text_from(flow_run_id: str, field: str, stored: bytes | None) -> str | None:
    """The text of a record's field; ``None`` as above."""
    text = read(flow_run_id, field, stored)
    return text if isinstance(text, str) else None


def _enclosed(flow_run_id: str, field: str, plain: Any) -> bytes:
    packed: bytes = msgpack.packb(plain, unicode_errors="replace")
    return serializers.enclose(packed, lambda: (f"flow {field}", flow_run_id))


def _few(value: Any, depth: int = DEEPEST) -> Any:
    """A large container cut down to what is shown of it anyway; anything else as it is."""
    if depth and type(value) is dict:
        return {name: _few(value[name], depth - 1) for name, _ in zip(value, range(MAX_PARTS), strict=False)}
    if depth and type(value) in (list, tuple):
        return type(value)(_few(part, depth - 1) for part in value[:MAX_PARTS])
    return value
