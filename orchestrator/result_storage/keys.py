"""The names of result files: made of a template and a run, and never outside of the storage."""

from __future__ import annotations

import string
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from orchestrator.errors import ResultStorageError

LONGEST_KEY: Final = 1024  # bytes, as S3 has it
LONGEST_PART: Final = 255  # bytes, as file systems have it


def new_key(run_id: str) -> str:
    """A name of its own for each write: two attempts at a run, of which one is late, do not write the same file."""
    return f"{run_id}-{uuid.uuid4().hex[:8]}"


class _Template(string.Formatter):
    """``str.format`` that reads attributes and items of what it is given, and nothing behind an underscore."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if "._" in field_name:
            raise ValueError(f"{field_name!r} names something private")
        return super().get_field(field_name, args, kwargs)

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if isinstance(key, int) or not key:
            raise ValueError("a field needs a name, such as {parameters[day]}")
        return super().get_value(key, args, kwargs)


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """The key of a run.

    Args:
        template: with ``{parameters[x]}``, ``{task_run.id}``, ``{flow_run.flow_name}`` and their like.
        values: what stands for ``parameters``, ``task_run``, ``flow_run`` and ``deployment``.

    Raises:
        ResultStorageError: the template names something that is not there, or leads out of the storage.

    >>> rendered("{parameters[day]}/report.json", {"parameters": {"day": "monday"}})
    'monday/report.json'
    >>> rendered("{parameters[day]}/report.json", {"parameters": {"day": "../.."}})
    Traceback (most recent call last):
    orchestrator.errors.ResultStorageError: the result_storage_key '../../report.json' leads out of the storage
    """
    try:
        key = _Template().vformat(template, (), values)
    except Exception as error:
        raise ResultStorageError(
            f"the result_storage_key {template!r} cannot be made: {type(error).__name__}: {error}. It may use "
            f"{', '.join(values)}"
        ) from error
    return checked_key(key)


def checked_key(key: str) -> str:
    """The key itself. Raises ResultStorageError: it is no name of a file below the storage."""
    if not isinstance(key, str) or not key.strip():
        raise ResultStorageError(f"the result_storage_key {key!r} is empty")
    parts = key.split("/")
    if "\\" in key or key[1:3] == ":/" or not {"", ".", ".."}.isdisjoint(parts):
        raise ResultStorageError(f"the result_storage_key {key[:200]!r} leads out of the storage")
    if not key.isprintable():
        raise ResultStorageError(f"the result_storage_key {key[:200]!r} has characters that no file name should have")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ResultStorageError(f"the result_storage_key {key[:200]!r} is no text that a file name can be") from None
    if max(sizes) > LONGEST_PART or sum(sizes) > LONGEST_KEY:
        raise ResultStorageError(
            f"the result_storage_key {key[:60]!r}... is too long: {LONGEST_PART} bytes a part, {LONGEST_KEY} in all"
        )
    return key


def without_secrets(given: Mapping[str, Any], secret_names: Collection[str]) -> dict[str, Any]:
    """The parameters for a template; a secret is an error where it is used, as every file name is seen by people."""
    return {
        name: _Secret(name) if name in secret_names or hasattr(value, "get_secret_value") else value
        for name, value in given.items()
    }


class _Secret:
    def __init__(self, name: str) -> None:
        self._name = name

    def __format__(self, spec: str) -> str:
        raise ValueError(f"the parameter {self._name!r} is a secret, and names of files are not")

    def __str__(self) -> str:
        return self.__format__("")

    __repr__ = __str__
