"""Errors about fields of blocks, without values: pydantic's show what was given, and that may be a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.blocks.schema import schema_of
from orchestrator.errors import SerializationError

_NOT_SHOWN: Final = "the value is not valid (the text of this error is not shown: it has a secret in it)"


def without_values(error: ValidationError, cls: type[Any], data: Mapping[str, Any]) -> ValidationError:
    """The same error with the same places and types, and no values.

    Args:
        error: pydantic's.
        cls: whose fields.
        data: what was given.
    """
    secrets = {text for text in _secret_texts(cls, data) if text}
    details = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        shows = any(text in one["msg"] for text in secrets)
        message = _NOT_SHOWN if shows else one["msg"]
        kind = PydanticCustomError(one["type"], message)  # without context nothing is filled in
        details.append(InitErrorDetails(type=kind, loc=one["loc"], input=None))
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _secret_texts(cls: Any, data: Mapping[str, Any]) -> Iterator[str]:
    try:
        fields = schema_of(cls)["secret_fields"]
    except SerializationError:
        fields = list(data)
    names = {str(field).partition(".")[0] for field in fields}
    for name, value in data.items():
        yield from _texts(value, name in names)


def _texts(value: Any, is_secret: bool, depth: int = 0) -> Iterator[str]:
    if isinstance(value, SecretStr | SecretBytes | Secret):
        yield from _texts(value.get_secret_value(), True, depth + 1)
    elif isinstance(value, bytes):
        yield from _texts(value.decode("utf-8", "replace"), is_secret, depth + 1)
    elif isinstance(value, str) and is_secret:
        yield value
    elif isinstance(value, int | float) and is_secret and not isinstance(value, bool):
        yield str(value)
    elif depth < 32:
        if isinstance(value, BaseModel):
            value = vars(value)
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple | set) else ()
        for part in parts:
            yield from _texts(part, is_secret, depth + 1)
