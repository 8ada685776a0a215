"""What a class of blocks looks like from outside: a JSON schema that says also which fields are secret.

The markers are those of Prefect 3 (``block_type_slug``, ``secret_fields``, ``block_schema_references``), so that forms
and clients made for it can read ours.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any, Final, TypeAlias, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic.errors import PydanticUserError

from orchestrator.blocks.registry import slug_of
from orchestrator.errors import SerializationError

Path: TypeAlias = tuple[str | int, ...]
SECRET_TYPES: Final = (SecretStr, SecretBytes, Secret)
_SECTION: Final = re.compile(r"^\s*(Arg|Argument|Attribute|Example|Raise|Return|Yield|Note)s?:\s*$", re.M)
_CHECKED: Final = ("secret_fields", "block_schema_references", "title", "description")  # do not make another schema


def key_of(name: str, field: Any) -> str:
    """The key of a field in data: its alias, where it has one."""
    alias = field.validation_alias
    alias = getattr(alias, "choices", [alias])[0]  # the first of several
    return alias if isinstance(alias, str) else name


def add_markers(schema: dict[str, Any], cls: type[Any]) -> None:
    """Write what is special about blocks into the schema of a class."""
    schema["block_type_slug"] = cls.get_block_type_slug()
    schema.pop("description", None)  # else every class would have that of ``Block``
    if description := cls.get_description():
        schema["description"] = description
    keys = {key_of(name, field): field.annotation for name, field in cls.model_fields.items()}
    marked = [key for key, one in (schema.get("properties") or {}).items() if _is_write_only(one)]
    found = [path for key, annotation in keys.items() for path in _secret_fields(key, annotation, ())]
    schema["secret_fields"] = list(dict.fromkeys([*found, *marked]))
    schema["block_schema_references"] = {
        key: [_reference(one) for one in blocks] if len(blocks) > 1 else _reference(blocks[0])
        for key, annotation in keys.items()
        if (blocks := blocks_in(annotation))
    }


def _reference(cls: type[Any]) -> dict[str, str]:
    return {"block_type_slug": cls.get_block_type_slug()}


def _is_write_only(schema: object) -> bool:
    return isinstance(schema, Mapping) and (schema.get("writeOnly") is True or schema.get("format") == "password")


def _secret_fields(name: str, annotation: Any, seen: tuple[type, ...]) -> Iterator[str]:
    """Names of fields that hold secrets, as ``connection.password``; lists and dicts on the way are passed over."""
    for cls in classes_in(annotation):
        if issubclass(cls, SECRET_TYPES):
            yield name
        elif issubclass(cls, BaseModel) and cls not in seen:
            for inner, field in cls.model_fields.items():
                yield from _secret_fields(f"{name}.{key_of(inner, field)}", field.annotation, (*seen, cls))
        elif (fields := getattr(cls, "__dataclass_fields__", None)) and cls not in seen:
            for inner, field in fields.items():
                yield from _secret_fields(f"{name}.{inner}", field.type, (*seen, cls))


def classes_in(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of, whatever is around them: unions, lists, dicts, ``Annotated``."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        yield annotation
        return
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, SECRET_TYPES):
        yield origin
        return
    for part in get_args(annotation) or _named(annotation):
        yield from classes_in(part)


def _named(annotation: Any) -> tuple[Any, ...]:
    """What a ``type X = ...`` or the bound of a type variable stands for."""
    found = getattr(annotation, "__value__", None) or getattr(annotation, "__bound__", None)
    return () if found is None else (found,)


def blocks_in(annotation: Any) -> list[type[Any]]:
    """The classes of blocks in an annotation."""
    return [cls for cls in classes_in(annotation) if getattr(cls, "_is_block", False)]


@functools.lru_cache(1024)
def schema_of(cls: Any) -> dict[str, Any]:
    """The JSON schema of a class; shared: do not change it.

    Raises:
        SerializationError: a field has a type that JSON schemas do not know.
    """
    try:
        found: dict[str, Any] = cls.model_json_schema()
    except PydanticUserError as error:
        raise SerializationError(f"the block type {cls.__name__} has no JSON schema: {error.message}") from None
    return found


def checksum_of(fields: Mapping[str, Any]) -> str:
    """What distinguishes two schemas of a type: ``sha256:...``."""
    kept = {key: value for key, value in fields.items() if key not in _CHECKED}
    text = json.dumps(kept, sort_keys=True, default=str).encode("utf-8", "replace")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def secret_places(schema: Mapping[str, Any], data: Any) -> Iterator[Path]:
    """Where in data the secret fields of a schema are.

    >>> schema = {"secret_fields": ["token", "users.password"]}
    >>> list(secret_places(schema, {"token": "a", "users": [{"name": "ann", "password": "b"}]}))
    [('token',), ('users', 0, 'password')]
    """
    found = schema.get("secret_fields")
    for text in found if isinstance(found, list) else ():
        names = str(text).removesuffix(".*").split(".")
        yield from dict.fromkeys(_places(data, names, ()))


def _places(data: Any, names: list[str], at: Path) -> Iterator[Path]:
    if isinstance(data, list):
        for number, part in enumerate(data):
            yield from _places(part, names, (*at, number))
    elif isinstance(data, Mapping):
        for key, part in data.items():
            if key == names[0] and len(names) == 1:
                if part is not None:
                    yield (*at, key)
            elif key == names[0]:
                yield from _places(part, names[1:], (*at, key))
            elif at:  # below a field: the keys of a dict of models
                yield from _places(part, names, (*at, key))


# -- for people --------------------------------------------------------------------------------------------------------


def description_in(docstring: str | None) -> str | None:
    """The text of a class before its sections."""
    text = inspect.cleandoc(docstring or "")
    return _SECTION.split(text, maxsplit=1)[0].strip() or None


def example_in(docstring: str | None) -> str | None:
    """The section ``Example`` of a docstring."""
    parts = _SECTION.split(inspect.cleandoc(docstring or ""))
    for heading, text in zip(parts[1::2], parts[2::2], strict=False):
        if heading.startswith("Example") and text.strip():
            return dedent(text).strip()
    return None


def usual_example(cls: type[Any]) -> str:
    """How a block of a class is loaded."""
    name = cls.__name__.partition("[")[0]
    variable = slug_of(cls.get_block_type_slug()).replace("-", "_")
    return f'```python\nfrom {cls.__module__} import {name}\n\n{variable}_block = {name}.load("BLOCK_NAME")\n```'
