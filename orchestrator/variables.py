"""Values under names that flows read while they run, and people change without a deploy.

>>> from orchestrator.testing import inline
>>> with inline():
...     _ = Variable.set("cities", ["Oslo", "Rome"], tags=["etl"])
...     Variable.get("cities"), Variable.get("colour", default="red")
(['Oslo', 'Rome'], 'red')

A variable is not a secret: whoever sees the dashboard or the store sees it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid5

from pydantic import BaseModel, ConfigDict

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.facets.documents import Document
from brokers.stored import whole
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.deployments.names import NAMESPACE
from orchestrator.errors import SerializationError
from orchestrator.serializers.documents import pack_document, unpack_document

KIND: Final = "variable"
MAX_VALUE: Final = 5_000
MAX_TAGS: Final = 200
MAX_TAG: Final = 200
MAX_DEPTH: Final = 64
_NAME: Final = re.compile(r"[a-z0-9_-]{1,255}")


class Variable(BaseModel):
    """A variable as it was read.

    Attributes:
        name: lowercase letters, digits, ``_`` and ``-``.
        value: what JSON can hold.
        tags: for people, in lists.
        id: the same for a name in every process.
        generation: how often it was written.
        created, updated: by the clocks of the writer and of the store.
        trouble: why it cannot be read here; its value is ``None`` then.

    Follows Prefect 3 (``prefect.variables.Variable``).
    """

    model_config = ConfigDict(frozen=True)

    name: str
    value: Any = None
    tags: list[str] = []
    id: str = ""
    generation: int = 0
    created: datetime | None = None
    updated: datetime | None = None
    trouble: str = ""

    @classmethod
    @async_dispatch("aset")
    def set(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """Write a variable; on an event loop it returns an awaitable.

        Args:
            name: lowercase letters, digits, ``_`` and ``-``, up to 255.
            value: anything that JSON can hold, up to 5,000 characters.
            tags: for people; one that is overwritten has these, or none.
            overwrite: change one that is there.

        Raises:
            ValueError: there is one of that name; or a name, value or tag that cannot be one.
            BrokerError: the server does not answer.

        >>> from orchestrator.testing import inline
        >>> with inline():
        ...     _ = Variable.set("answer", 41)
        ...     _ = Variable.set("answer", 42, overwrite=True)
        ...     Variable.get("answer")
        42
        """
        return write(current_fleet(), name, value, tags or (), overwrite=overwrite)

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """:meth:`set` for event loops, which it never blocks."""
        return await asyncio.to_thread(write, current_fleet(), name, value, tags or (), overwrite=overwrite)

    @classmethod
    @async_dispatch("aget")
    def get(cls, name: str, default: Any = None) -> Any:
        """The value of a variable, read from the store each time; on an event loop it returns an awaitable.

        Args:
            name: of the variable.
            default: what is returned where there is none of that name.

        Raises:
            SerializationError: what the store keeps of it cannot be read here.
            BrokerError: the server does not answer.
        """
        return value_named(current_fleet(), name, default)

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """:meth:`get` for event loops, which it never blocks."""
        return await asyncio.to_thread(value_named, current_fleet(), name, default)

    @classmethod
    @async_dispatch("aunset")
    def unset(cls, name: str) -> bool:
        """Delete a variable; returns whether there was one. On an event loop it returns an awaitable.

        Raises:
            BrokerError: the server does not answer.
        """
        return delete(current_fleet(), name)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """:meth:`unset` for event loops, which it never blocks."""
        return await asyncio.to_thread(delete, current_fleet(), name)


get = Variable.get  # under the name that the second generation of Prefect gave it


def variable_id_of(namespace: str, name: str) -> str:
    """The id of a variable.

    >>> variable_id_of("shop", "cities") == variable_id_of("shop", "cities")
    True
    """
    return str(uuid5(NAMESPACE, f"{namespace}\0variable\0{name}"))


def write(fleet: Fleet, name: str, value: Any, tags: Iterable[str] = (), *, overwrite: bool = False) -> Variable:
    """See :meth:`Variable.set`."""
    check_name(name)
    made = _made(variable_id_of(fleet.settings.namespace, name), name, value, tags)
    documents, fields = fleet.broker.documents, _fields(made)
    try:
        first = fields | {"c": str(round(time.time() * 1000))}
        generation = documents.write(KIND, made.id, first, name=name, only_new=True)
    except BrokerConflict:
        if not overwrite:
            raise ValueError(f"Variable {name!r} already exists. Use `overwrite=True` to update it.") from None
        generation = documents.write(KIND, made.id, fields, name=name)
    return made.model_copy(update={"generation": generation})


def change(fleet: Fleet, before: Variable, value: Any, tags: Iterable[str]) -> Variable:
    """Change a variable as it was read.

    Raises:
        ValueError: a value or tag that cannot be one.
        BrokerConflict: somebody else has changed or deleted it meanwhile. BrokerError: the server does not answer.
    """
    made = _made(before.id, before.name, value, tags)
    generation = fleet.broker.documents.write(
        KIND, made.id, _fields(made), name=before.name, expected=before.generation
    )
    return made.model_copy(update={"generation": generation})


def _made(the_id: str, name: str, value: Any, tags: Iterable[str]) -> Variable:
    return Variable(name=name, value=plain_value(value), tags=checked_tags(tags), id=the_id)


def _fields(made: Variable) -> dict[str, str | bytes]:
    return {"d": pack_document(KIND, made.id, {"value": json.dumps(made.value), "tags": made.tags})}


def read(fleet: Fleet, name: str) -> Variable | None:
    """A variable by its name; ``None`` where there is none. Raises BrokerError."""
    (document,) = fleet.broker.documents.read(KIND, [variable_id_of(fleet.settings.namespace, name)])
    return variable_of(document)


def value_named(fleet: Fleet, name: str, default: Any = None) -> Any:
    """See :meth:`Variable.get`."""
    found = read(fleet, name)
    if found is not None and found.trouble:
        raise SerializationError(f"the variable {name!r} cannot be read here: {found.trouble}")
    return default if found is None else found.value


def delete(fleet: Fleet, name: str) -> bool:
    """See :meth:`Variable.unset`."""
    return fleet.broker.documents.delete(KIND, [variable_id_of(fleet.settings.namespace, name)]) > 0


def records(broker: Broker, first: int = 0, limit: int = 200) -> tuple[int, list[Variable]]:
    """How many there are, and some of them, those that were written last first. Raises BrokerError."""
    total, ids = broker.documents.newest(KIND, first, limit)
    found = (variable_of(document) for document in broker.documents.read(KIND, ids))
    return total, [variable for variable in found if variable is not None]


def variable_of(document: Document | None) -> Variable | None:
    """The variable of a document; ``None`` where there is none. Never raises: ``trouble`` says what is damaged."""
    if document is None:
        return None
    plain, trouble = unpack_document(KIND, document.id, document.fields.get("d", b""))
    value = None
    if not trouble:
        try:
            value = json.loads(plain["value"])
        except (KeyError, TypeError, ValueError, RecursionError):
            trouble = "what the store keeps of its value is damaged"
    tags = plain.get("tags")
    updated = moment_of(document.written_at_ms)
    return Variable(
        name=document.name or document.id,
        value=value,
        tags=[tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
        id=document.id,
        generation=document.generation,
        created=moment_of(whole(document.fields.get("c"))) or updated,
        updated=updated,
        trouble=trouble,
    )


def moment_of(milliseconds: int) -> datetime | None:
    """A moment of the store; ``None`` where it has none."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def check_name(name: object) -> str:
    """A name as it may be. Raises ValueError.

    >>> check_name("daily-limit")
    'daily-limit'
    >>> check_name("Daily limit")
    Traceback (most recent call last):
    ValueError: 'Daily limit' is no name for a variable: 1 to 255 lowercase letters, digits, '_' and '-'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = f"{name[:300]!r}" if isinstance(name, str) else repr(type(name).__name__)
        raise ValueError(f"{shown} is no name for a variable: 1 to 255 lowercase letters, digits, '_' and '-'")
    return name


def checked_tags(tags: Iterable[str]) -> list[str]:
    """Tags without repeated ones, in their order. Raises ValueError: one is none."""
    if isinstance(tags, str):
        raise ValueError(f"tags={tags!r}: write a list of texts")
    found = list(dict.fromkeys(tags))
    if not all(isinstance(tag, str) and 0 < len(tag) <= MAX_TAG for tag in found) or len(found) > MAX_TAGS:
        raise ValueError(f"tags are up to {MAX_TAGS} texts of 1 to {MAX_TAG} characters")
    return found


def plain_value(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        ValueError: it has no form in JSON, or more than 5,000 characters there (a text: more than 5,000 by itself).

    >>> plain_value({"cities": ("Oslo", "Rome")})
    {'cities': ['Oslo', 'Rome']}
    >>> plain_value({1, 2})
    Traceback (most recent call last):
    ValueError: the value of a variable is what JSON can hold: set has no form there
    """
    plain = _plain(value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    if len(text) > MAX_VALUE:
        raise ValueError(
            f"the value of a variable has at most {MAX_VALUE:,} characters, this one has {len(text):,}: keep the data "
            "elsewhere, and its place in the variable"
        )
    return plain


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("the value of a variable is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and value.bit_length() < 16_000:  # what JSON is read with takes 4,300 digits
        return int(value)
    if isinstance(value, float) and float("-inf") < value < float("inf"):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(part, depth + 1) for key, part in value.items()}
    what = "a mapping with keys that are no texts" if isinstance(value, Mapping) else type(value).__name__
    what = repr(value) if isinstance(value, float) else what
    raise ValueError(f"the value of a variable is what JSON can hold: {what} has no form there")
