"""Taking blocks apart: values as JSON has them, secrets, and the blocks inside, each by the place where it belongs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.blocks.model import BlockModel
from orchestrator.blocks.schema import Path, key_of, schema_of, secret_places
from orchestrator.errors import SerializationError

RAW: Final = "raw"
KINDS: Final[dict[str, type]] = {"SecretStr": SecretStr, "SecretBytes": SecretBytes, "Secret": Secret}
MOST_NESTED: Final = 64


class SecretValue:
    """A secret on its way between a block and the store.

    Attributes:
        kind: what it is wrapped in, a key of :data:`KINDS`; ``raw``: what the field's type says.
        value: as JSON has it, or bytes.
    """

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value

    def __repr__(self) -> str:  # secrets do not belong into logs
        return f"SecretValue({self.kind!r}, '**********')"

    def wrapped(self) -> Any:
        """As a block has it."""
        cls = KINDS.get(self.kind)
        return self.value if cls is None else cls(self.value)

    def hidden(self) -> Any:
        """As it is where no class says what it is: its text does not show it."""
        if self.kind in KINDS:
            return self.wrapped()
        if isinstance(self.value, str):
            return SecretStr(self.value)
        return SecretBytes(self.value) if isinstance(self.value, bytes) else Secret(self.value)


@dataclasses.dataclass(slots=True)
class Contents:
    """What a block consists of.

    Attributes:
        data: its fields as JSON has them; ``None`` where something below stands.
        secrets: by their places.
        references: the ids of blocks that are saved under names of their own.
        inline: the slugs of blocks that are a part of this one.
    """

    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    secrets: dict[Path, SecretValue] = dataclasses.field(default_factory=dict)
    references: dict[Path, str] = dataclasses.field(default_factory=dict)
    inline: dict[Path, str] = dataclasses.field(default_factory=dict)


def contents_of(block: BlockModel, depth: int = 0) -> Contents:
    """What a block consists of.

    Raises:
        SerializationError: a field has a value that JSON cannot hold, or blocks are nested too deeply.
    """
    if depth > MOST_NESTED:
        raise SerializationError(f"blocks are nested more than {MOST_NESTED} deep: does one contain itself?")
    cls, found = type(block), Contents()
    block, dumped = _dumped(block)
    for name, field in cls.model_fields.items():
        key, before = key_of(name, field), field.serialization_alias or name
        if before in dumped:
            found.data[key] = _take_field(getattr(block, name, None), dumped[before], (key,), found, depth)
    hide(found, schema_of(cls))
    return found


def hide(contents: Contents, schema: Mapping[str, Any]) -> None:
    """What stands in data at the places of secrets goes there."""
    for path in list(secret_places(schema, contents.data)):
        inside = {*contents.references, *contents.inline}
        if (
            path in contents.secrets
            or at(contents.data, path) in ([], {})
            or any(other[: len(path)] == path for other in inside)
        ):
            continue
        value = at(contents.data, path)
        for other in [each for each in contents.secrets if each[: len(path)] == path]:
            put(value, other[len(path) :], contents.secrets.pop(other).value)
        contents.secrets[path] = SecretValue(RAW, value)
        put(contents.data, path, None)


def _dumped(block: BlockModel) -> tuple[BlockModel, dict[str, Any]]:
    """A block and its fields as JSON has them; of one whose fields were set to what does not fit, a validated copy."""
    try:
        return block, block.model_dump(mode="json", by_alias=True, warnings=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        reason = _reason(error)
    values = {key_of(name, field): getattr(block, name, None) for name, field in type(block).model_fields.items()}
    try:
        copy = type(block).model_validate(values)
        return copy, copy.model_dump(mode="json", by_alias=True, warnings=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        reason = _reason(error) or reason
    raise SerializationError(f"a {type(block).__name__} cannot be stored: {reason}")


def _reason(error: Exception) -> str:
    """What hinders it; not what code of users has to say about a value, which may be a secret."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    text = str(error)
    return text if text.startswith(("Unable to serialize", "invalid utf-8")) else type(error).__name__


def _take_field(value: Any, plain: Any, path: Path, found: Contents, depth: int) -> Any:
    """As :func:`_take`; a field whose type writes secrets in a form of its own becomes one secret."""
    known = len(found.secrets)
    plain = _take(value, plain, path, found, depth)
    if path in found.inline or path in found.references or _secrets_in(value) <= len(found.secrets) - known:
        return plain
    for other in [each for each in found.secrets if each[: len(path)] == path]:
        put(plain, other[len(path) :], found.secrets.pop(other).value)
    found.secrets[path] = SecretValue(RAW, plain)
    return None


def _secrets_in(value: Any, depth: int = 0) -> int:
    """How many secrets a value has, other than those of blocks in it."""
    if isinstance(value, SecretStr | SecretBytes | Secret):
        return 1
    if isinstance(value, BlockModel) or depth > MOST_NESTED:
        return 0
    if isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
        value = getattr(value, "__dict__", {})
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return 0
    return sum(_secrets_in(part, depth + 1) for part in value)


def _take(value: Any, plain: Any, path: Path, found: Contents, depth: int) -> Any:
    """The JSON of a value without what is not its own; that goes into ``found``."""
    if isinstance(value, BlockModel):
        return _take_block(value, path, found, depth)
    if isinstance(value, SecretStr | SecretBytes | Secret):
        found.secrets[path] = SecretValue(_kind_of(value), _open(value.get_secret_value(), depth))
        return None
    for key, part in list(_parts(value, plain)):
        plain[key] = _take(part, plain[key], (*path, key), found, depth)
    return plain


def _kind_of(secret: Any) -> str:
    return next(name for name, cls in KINDS.items() if isinstance(secret, cls))


def _open(value: Any, depth: int) -> Any:
    """A secret's value as JSON has it, with the secrets inside of it."""
    if isinstance(value, str | bytes | int | float | None):
        return value
    inside = Contents()
    try:
        plain = to_jsonable_python(value, by_alias=True)
    except (PydanticSerializationError, ValueError, RecursionError):
        # its text may show the value
        raise SerializationError(f"a secret of the type {type(value).__name__} cannot be stored as JSON") from None
    holder = {"value": _take(value, plain, ("value",), inside, depth)}
    if inside.references or inside.inline:
        raise SerializationError("a secret cannot contain blocks: give the block a field of its own")
    for path, secret in inside.secrets.items():
        put(holder, path, secret.value)
    return holder["value"]


def _take_block(block: BlockModel, path: Path, found: Contents, depth: int) -> Any:
    if block._block_document_id is not None:
        found.references[path] = str(block._block_document_id)
        return None
    inner = contents_of(block, depth + 1)
    found.inline[path] = block.get_block_type_slug()
    for name in ("secrets", "references", "inline"):
        getattr(found, name).update({path + inside: one for inside, one in getattr(inner, name).items()})
    return inner.data


def _parts(value: Any, plain: Any) -> Iterator[tuple[str | int, Any]]:
    """The parts of a value by their keys in its JSON."""
    if isinstance(value, BaseModel) and isinstance(plain, dict):
        named = {(field.serialization_alias or name): name for name, field in type(value).model_fields.items()}
        named |= {name: name for name in value.model_extra or ()}
        yield from ((key, getattr(value, name, None)) for key, name in named.items() if key in plain)
    elif dataclasses.is_dataclass(value) and isinstance(plain, dict):
        yield from ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value) if each.name in plain)
    elif isinstance(value, Mapping) and isinstance(plain, dict) and len(value) == len(plain):
        yield from zip(plain, value.values(), strict=True)
    elif isinstance(plain, list) and isinstance(value, Iterable) and not isinstance(value, str | bytes):
        parts = list(value)
        if len(parts) == len(plain):
            yield from enumerate(parts)


# -- places ------------------------------------------------------------------------------------------------------------


def at(data: Any, path: Path) -> Any:
    """What stands at a place. Raises LookupError or TypeError where there is none."""
    for part in path:
        data = data[part]
    return data


def put(data: Any, path: Path, value: Any) -> None:
    """Set what stands at a place; nothing where there is none: data from the store may have changed its form."""
    try:
        holder, key = at(data, path[:-1]), path[-1]
    except (LookupError, TypeError):
        return
    if isinstance(holder, dict):
        holder[key] = value
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        holder[key] = value


def text_of(path: Path) -> str:
    """A place for people.

    >>> text_of(("users", 0, "password"))
    'users[0].password'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
