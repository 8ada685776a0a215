"""Dataclass instances and pydantic models: a name, a dict of fields, and whatever else the instance holds.

They arrive as they were: nothing is validated or computed again, no ``__init__``, ``__post_init__`` or validator runs.
Fields that the reader's class does not have are ignored, new ones get their defaults, so that old and new code can
work on the same queue. Only where a model has other fields here than where it was sent does it validate what it gets.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from orchestrator.errors import SerializationError
from orchestrator.serializers import generics, known_types
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.models import shape_of, validated
from orchestrator.serializers.naming import as_pickle, attributes_of, goes_by_name, put_attributes
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import RECORD, ExtType

# The keys of the fourth part of a record, which is left out when it would be empty.
_OTHERS: Final = "o"  # attributes that are no fields
_ABSENT: Final = "a"  # fields that the instance does not have
_PRIVATE: Final = "p"  # a model's private attributes
_SHAPE: Final = "s"  # a digest of a model's fields and their types
_PARAMETERS: Final = "g"  # what the class was parametrized with


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
        if not goes_by_name(cls, packing):
            return as_pickle(obj, packing)
        others = attributes_of(obj)
        values = {field: others.pop(field) for field in field_names if field in others}
        more = _more(others, [field for field in field_names if field not in values])
        return ExtType(RECORD, packing.pack([name, values, None, more] if more else [name, values]))

    return write


def _model_writer(cls: Any) -> Writer:
    field_names = tuple(cls.model_fields)

    def write(obj: Any, packing: Packing) -> object:
        name, parameters = _name_and_parameters(cls, packing)
        if name is None:
            return as_pickle(obj, packing)
        others = attributes_of(obj)
        values = {field: others.pop(field) for field in field_names if field in others}
        more = _more(others, [field for field in field_names if field not in values])
        if obj.__pydantic_extra__:
            values.update(obj.__pydantic_extra__)
        if obj.__pydantic_private__:
            more[_PRIVATE] = dict(obj.__pydantic_private__)
        more[_SHAPE] = shape_of(cls)
        if parameters is not None:
            more[_PARAMETERS] = parameters
        given = obj.__pydantic_fields_set__
        record = [name, values, None if given == values.keys() else sorted(given)]
        return ExtType(RECORD, packing.pack([*record, more]))

    return write


def _name_and_parameters(cls: Any, packing: Packing) -> tuple[str | None, Any]:
    """Under which name a model travels, and, if it is a parametrized class that nobody has named, for which types."""
    made = generics.parameters_of(cls)
    if made is None or known_types.is_learned(cls):
        return (known_types.name_of(cls) if goes_by_name(cls, packing) else None), None
    origin, arguments = made
    parameters = [generics.written(argument) for argument in arguments]
    if None in parameters or not goes_by_name(origin, packing):
        return None, None
    return known_types.name_of(origin), parameters


def _more(others: dict[str, Any], absent: list[str]) -> dict[str, Any]:
    return ({_OTHERS: others} if others else {}) | ({_ABSENT: absent} if absent else {})


def _read_record(data: bytes, reading: Reading) -> Any:
    name, values, given, more = (*reading.unpack_list(data, 2)[:4], None, None)[:4]
    if type(values) is not dict or not all(type(key) is str for key in values):
        raise SerializationError("a dataclass or model in the body has no fields")
    cls: Any = reading.class_of(name)
    if cls is None:
        return values
    more = more if type(more) is dict else {}
    absent = _list_in(more, _ABSENT)
    if known_types.is_pydantic_model(cls):
        if _PARAMETERS in more:
            cls = _parametrized(cls, more[_PARAMETERS], reading)
        if more.get(_SHAPE) == shape_of(cls):
            obj = _model(cls, values, given, absent)
        else:
            obj = validated(cls, values, given)
        _put_private(obj, cls, _dict_in(more, _PRIVATE))
    elif not dataclasses.is_dataclass(cls):
        raise SerializationError(f"{name} is neither a dataclass nor a model here")
    else:
        obj = _instance(cls, values, absent)
    others = _dict_in(more, _OTHERS)
    if others:
        put_attributes(obj, others)
    return obj


def _parametrized(cls: Any, parameters: Any, reading: Reading) -> Any:
    made = generics.read([known_types.name_of(cls), parameters], reading.class_of)
    if not known_types.is_class(made) or not issubclass(made, cls):
        raise SerializationError(f"{known_types.name_of(cls)} cannot be parametrized as it was where it was sent")
    return made


def _instance(cls: Any, values: dict[str, Any], absent: list[Any]) -> Any:
    obj: Any = object.__new__(cls)
    put = object.__setattr__  # frozen classes refuse to be set in any other way
    for field in dataclasses.fields(cls):
        if field.name in values:
            put(obj, field.name, values[field.name])
        elif field.name not in absent:
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


def _model(cls: Any, values: dict[str, Any], given: Any, absent: list[Any]) -> Any:
    """A model with these fields, as it was: the constructor and the validators have seen them where it was made."""
    fields = cls.model_fields
    held = {name: values[name] for name in fields if name in values}
    if len(held) + len(absent) < len(fields):
        raise SerializationError(f"a {known_types.name_of(cls)} in the body lacks some of its fields")
    extra = None
    if cls.model_config.get("extra") == "allow" and not cls.__pydantic_root_model__:
        extra = {name: value for name, value in values.items() if name not in fields}
    obj = object.__new__(cls)
    put = object.__setattr__
    put(obj, "__dict__", held)
    put(obj, "__pydantic_fields_set__", set(given if isinstance(given, list) else values))
    if not cls.__pydantic_root_model__:  # those have it as an attribute of the class
        put(obj, "__pydantic_extra__", extra)
        put(obj, "__pydantic_private__", None)
    return obj


def _put_private(obj: Any, cls: Any, sent: dict[Any, Any]) -> None:
    """The private attributes that were sent; defaults for those that the class did not have there."""
    declared = cls.__private_attributes__
    if not declared:
        return
    from pydantic_core import PydanticUndefined

    kept = {name: value for name, value in sent.items() if name in declared}
    for name, attribute in declared.items():
        if name not in kept and not sent:
            default = attribute.get_default()
            if default is not PydanticUndefined:
                kept[name] = default
    object.__setattr__(obj, "__pydantic_private__", kept)


def _dict_in(more: dict[Any, Any], key: str) -> dict[Any, Any]:
    value = more.get(key)
    return value if type(value) is dict else {}


def _list_in(more: dict[Any, Any], key: str) -> list[Any]:
    value = more.get(key)
    return value if type(value) is list else []


readers[RECORD] = _read_record
