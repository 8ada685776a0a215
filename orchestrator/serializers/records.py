"""Dataclass instances and pydantic models: a name and a dict of fields.

Fields that the reader's class does not have are ignored, new ones get their defaults, so that old and new code can
work on the same queue. No ``__init__`` and no ``__post_init__`` of a dataclass runs; a pydantic model is validated.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import PICKLE, RECORD, ExtType


def find(cls: type) -> Writer | None:
    """The writer of a dataclass or pydantic model."""
    if known_types.is_pydantic_model(cls):
        return _model_writer(cls)
    if dataclasses.is_dataclass(cls) and _is_plain_object(cls):
        return _dataclass_writer(cls)
    return None


def _is_plain_object(cls: type) -> bool:
    # A dataclass that is also a dict, an exception, ... cannot be rebuilt from its fields alone.
    try:
        object.__new__(cls)
    except TypeError:
        return False
    return True


def _dataclass_writer(cls: Any) -> Writer:
    name = known_types.name_of(cls)
    field_names = tuple(field.name for field in dataclasses.fields(cls))

    def write(obj: Any, packing: Packing) -> object:
        if packing.key_ring is not None and not known_types.is_known(cls):
            return ExtType(PICKLE, packing.pickled(obj))
        try:
            values = {field: getattr(obj, field) for field in field_names}
        except AttributeError:  # fields with init=False may never have been set
            values = {field: getattr(obj, field) for field in field_names if hasattr(obj, field)}
        return ExtType(RECORD, packing.pack([name, values]))

    return write


def _model_writer(cls: Any) -> Writer:
    name = known_types.name_of(cls)
    field_names = tuple(cls.model_fields)

    def write(obj: Any, packing: Packing) -> object:
        if packing.key_ring is not None and not known_types.is_known(cls):
            return ExtType(PICKLE, packing.pickled(obj))
        stored = obj.__dict__  # also holds cached properties, so only the fields are taken
        values = {field: stored[field] for field in field_names if field in stored}
        if obj.__pydantic_extra__:
            values.update(obj.__pydantic_extra__)
        given = obj.__pydantic_fields_set__
        return ExtType(RECORD, packing.pack([name, values, None if len(given) == len(values) else sorted(given)]))

    return write


def _read_record(data: bytes, reading: Reading) -> Any:
    items = reading.unpack_list(data, 2)
    name, values = items[0], items[1]
    if type(values) is not dict or not all(type(key) is str for key in values):
        raise SerializationError("a dataclass or model in the body has no fields")
    cls = known_types.find(name)
    if cls is None:
        return values
    if known_types.is_pydantic_model(cls):
        return _validated(cls, values, items[2] if len(items) > 2 else None)
    return _rebuilt(cls, values) if dataclasses.is_dataclass(cls) else values


def _rebuilt(cls: type, values: Mapping[str, Any]) -> Any:
    obj: Any = object.__new__(cls)
    put = object.__setattr__  # frozen classes refuse to be set in any other way
    for field in dataclasses.fields(cls):
        if field.name in values:
            put(obj, field.name, values[field.name])
        else:
            default = _default_of(field)
            if default is not dataclasses.MISSING:
                put(obj, field.name, default)
    return obj


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    default: Any = field.default
    if not hasattr(default, "get_default"):
        return default
    # Pydantic's dataclasses keep a description of the field there.
    return dataclasses.MISSING if default.is_required() else default.get_default(call_default_factory=True)


def _validated(cls: Any, values: dict[str, Any], given: object) -> Any:
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


readers[RECORD] = _read_record
