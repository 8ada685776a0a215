"""Pydantic models whose class is another one here than where they were sent: recognised, and validated."""

from __future__ import annotations

import functools
import re
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")


def _shape_of(cls: Any) -> str:
    fields = sorted(f"{name}: {field.annotation!r}" for name, field in cls.model_fields.items())
    text = _ADDRESS.sub("", known_types.with_script_named("; ".join(fields)))
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


shape_of: Final[Callable[[type], str]] = functools.lru_cache(4096)(_shape_of)
"""A digest of the names and types of a model's fields: the same in every process that has the same class."""


def validated(cls: Any, values: dict[str, Any], given: object) -> Any:
    """A model made by its own validators from the fields of another version of it.

    Raises:
        SerializationError: it refuses them; says which, and shows no values.
    """
    data = values.get("root") if cls.__pydantic_root_model__ else values
    try:
        model = _validate_by_name(cls, data)
    except ValueError as error:
        # `from None` and no inputs: the original's text shows values, and one of them may be a secret
        raise SerializationError(
            f"{known_types.name_of(cls)} refuses the fields that were sent: {_without_values(error)}"
        ) from None
    if isinstance(given, list):
        object.__setattr__(model, "__pydantic_fields_set__", {name for name in given if name in values})
    return model


def _without_values(error: ValueError) -> str:
    if not hasattr(error, "errors"):
        return type(error).__name__
    details: Any = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, detail['loc'])) or 'the model'}: {detail['msg']}" for detail in details)


def _validate_by_name(cls: Any, data: Any) -> Any:
    if _knows_by_name():
        return cls.model_validate(data, by_alias=False, by_name=True)
    aliases = {name: field.validation_alias for name, field in cls.model_fields.items()}
    if isinstance(data, dict) and not cls.__pydantic_root_model__ and not cls.model_config.get("populate_by_name"):
        data = {key if not isinstance(aliases.get(key), str) else aliases[key]: value for key, value in data.items()}
    return cls.model_validate(data)


@functools.cache
def _knows_by_name() -> bool:
    major, minor = sys.modules["pydantic"].VERSION.split(".")[:2]
    return (int(major), int(minor)) >= (2, 11)
