"""Checks of the options that say where and how results are kept; whether a storage is there, each run finds out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from orchestrator.runs.result_places import place_of_text
from orchestrator.serializers import serializer_names

COMPRESSED: Final = "compressed/"  # in front of a format: always compressed, not only when it is large


class ResultOptions(Protocol):
    """The options that are checked."""

    @property
    def persist_result(self) -> bool | None: ...
    @property
    def result_storage(self) -> Any: ...
    @property
    def result_storage_key(self) -> str | None: ...
    @property
    def result_serializer(self) -> str | None: ...
    @property
    def cache_result_in_memory(self) -> bool: ...


def check_result_options(options: ResultOptions) -> None:
    """Raise TypeError, ValueError or ResultStorageError, naming the option and the value, when one is wrong."""
    for name in ("persist_result", "cache_result_in_memory"):
        value = getattr(options, name)
        if value is not None and not isinstance(value, bool):
            raise TypeError(f"{name}={value!r} must be True or False")
    storage = options.result_storage
    if storage is not None and not _may_be_storage(storage):
        raise TypeError(
            f"result_storage={storage!r}: a file system such as LocalFileSystem(basepath=...), the name of one that "
            "was saved (slug/name), or a folder (a Path, or a text that begins with / or ./)"
        )
    if isinstance(storage, str):
        place_of_text(storage)
    key = options.result_storage_key
    if key is not None and not isinstance(key, str):
        raise TypeError(f"result_storage_key={key!r} must be a text such as 'report-{{parameters[day]}}.json'")
    if key is not None and not key.strip():
        raise ValueError("result_storage_key is empty: name a file, such as 'report-{parameters[day]}.json'")


def _may_be_storage(storage: Any) -> bool:
    if isinstance(storage, type):
        return False
    if isinstance(storage, str):
        return bool(storage.strip()) and "\0" not in storage
    return isinstance(storage, Path) or all(callable(getattr(storage, name, None)) for name in _VERBS)


_VERBS: Final = ("read_path", "write_path")


def serializer_named(serializer: Any) -> str:
    """The name of a format, from a name or an object of ``orchestrator.serializers`` with Prefect's ``type``.

    Raises:
        TypeError: it is neither. ValueError: no format has that name.

    >>> serializer_named("compressed/json")
    'compressed/json'
    """
    name = getattr(serializer, "type", serializer)
    if not isinstance(name, str) or isinstance(serializer, type):
        raise TypeError(
            f"result_serializer={serializer!r} must be the name of a format: {', '.join(serializer_names())}"
        )
    if name == "compressed" and hasattr(serializer, "serializer"):
        name = COMPRESSED + serializer_named(serializer.serializer)
    if name.removeprefix(COMPRESSED) not in serializer_names():
        known = ", ".join(serializer_names())
        raise ValueError(
            f"result_serializer={name!r}: there is no such format, only {known}, each also with {COMPRESSED} in front"
        )
    return name
