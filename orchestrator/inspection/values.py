"""Arguments and results as text, without unpickling, importing or constructing any user class.

Values that would need that (a pickle, a model) are replaced by a note. Values under secret names are masked.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from orchestrator import serializers
from orchestrator.errors import OrchestratorError
from orchestrator.observability.redaction import REDACTED as REDACTED
from orchestrator.observability.redaction import Redaction as Redaction
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers import known_types
from orchestrator.serializers.extensions import readers
from orchestrator.serializers.framing import DEFAULT_LIMITS, MSGPACK, open_body
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.signing import Parts
from orchestrator.serializers.values import serializer_name
from orchestrator.serializers.wire import PICKLE, RECORD, SECRET, UPSTREAM

MAX_TEXT: Final = 2000  # characters of one value


class Note:
    """Placeholder of a value that is not restored here; its ``repr`` describes the value."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


class PlainReading(Reading):
    """Deserializes plain values only."""

    __slots__ = ()

    def class_of(self, name: object) -> type | None:
        return None

    def extension(self, code: int, data: bytes) -> Any:
        if code == PICKLE:
            return Note(f"pickled object, {len(data):,} bytes")
        if code == SECRET:
            return REDACTED
        if code == UPSTREAM:
            return Note(f"result of run {data.decode('ascii', 'replace')}")
        if code == RECORD and (stored := _stored_in(data)) is not None:
            return Note(str(stored))
        if code not in readers:
            return Note(f"value of extension {code}, {len(data):,} bytes")
        try:
            return super().extension(code, data)
        except OrchestratorError as error:
            return Note(f"not shown: {error}")


def _stored_in(data: bytes) -> StoredResult | None:
    """The reference to a result in a file, if it is one."""
    name, values = PlainReading().unpack_list(data, 2)[:2]
    if name != known_types.name_of(StoredResult) or not isinstance(values, dict):
        return None
    try:
        stored = StoredResult(**values)
        return stored if isinstance(stored.size, int) and stored.where else None
    except (TypeError, AttributeError):  # damaged, or of a newer version
        return None


def arguments_text(
    body: bytes, context: Parts, redaction: Redaction, names: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The arguments of a call as pairs of name and text.

    Args:
        body: the packed call.
        context: the context of its signature or encryption, see ``orchestrator.submission.signed_calls.call_context``.
        redaction: the names to mask.
        names: the names of the task's parameters, where known; else ``args[0]`` and so on.

    Raises:
        SerializationError: it cannot be read here, for example because a key is missing.
    """
    opened = serializers.open_call(body, context=lambda: context)
    args, kwargs = PlainReading().unpack(opened.data)[:2]
    named = [(names[at] if at < len(names) else f"args[{at}]", value) for at, value in enumerate(args)]
    return [
        (name, REDACTED if redaction.hides(name) else value_text(value, redaction))
        for name, value in [*named, *kwargs.items()]
    ]


def result_text(run_id: str, body: bytes, redaction: Redaction) -> str:
    """The packed result of a run (already disclosed, see ``serializers.outcomes``) as text; never raises."""
    try:
        return value_text(_restore(run_id, body), redaction)
    except Exception as error:
        return repr(Note(f"cannot be shown: {error}"))


def _restore(run_id: str, body: bytes) -> Any:
    form, data, _ = open_body(body, lambda: ("result", run_id), DEFAULT_LIMITS, protected=False)
    if form == MSGPACK:
        return PlainReading().unpack(data)
    name = serializer_name(form)
    return json.loads(data) if name == "json" else Note(f"result in the format {name}, {len(data):,} bytes")


def value_text(value: Any, redaction: Redaction, max_characters: int = MAX_TEXT) -> str:
    """A value's ``repr``, cut to ``max_characters``; never raises."""
    try:
        text = repr(redaction.of(value))
    except Exception as error:  # repr is user code
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= max_characters else f"{text[:max_characters]}… ({len(text):,} characters)"


def plain_value(text: str) -> Any:
    """The value of which :func:`value_text` made this text, where JSON has it; else the text.

    >>> plain_value("{'city': 'Oslo', 'days': [1, 2.5, None]}"), plain_value("<a model>"), plain_value("nan")
    ({'city': 'Oslo', 'days': [1, 2.5, None]}, '<a model>', 'nan')
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if _is_json(value) else text


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(part) for name, part in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
