"""The reference to a result that is kept in a file: what a run's record holds in place of the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

_held: Final[WeakKeyDictionary[StoredResult, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class StoredResult:
    """Where a result is.

    Fields:
        place: the storage: ``local:/folder``, ``remote:s3://bucket/folder`` or ``block:slug/name``.
        key: the file in it.
        run_id: the run that wrote it.
        digest: SHA-256 of what was written, as hex digits: a file that says something else is another result.
        size: its bytes.
        serializer: the format.
        host: the machine that wrote it.
        in_memory: whether a value that was read is kept as long as this object is.
    """

    place: str
    key: str
    run_id: str
    digest: str
    size: int
    serializer: str
    host: str = ""
    in_memory: bool = True

    @property
    def where(self) -> str:
        """For people.

        >>> StoredResult("local:/data", "a/x.json", "1", "", 9, "json").where
        '/data/a/x.json'
        >>> StoredResult("block:s3-bucket/results", "x", "1", "", 9, "json").where
        'x in the block s3-bucket/results'
        """
        kind, _, place = self.place.partition(":")
        return f"{self.key} in the block {place}" if kind == "block" else f"{place.rstrip('/')}/{self.key}"

    @property
    def facts(self) -> dict[str, Any]:
        """For people, where a result would be: where it is, its size and its format."""
        return {"stored_at": self.where, "bytes": self.size, "serializer": self.serializer, "run_id": self.run_id}

    def __str__(self) -> str:
        return f"result stored at {self.where} ({self.size:,} bytes, {self.serializer})"

    def load(self) -> Any:
        """The result.

        Raises:
            MissingResult: the file is gone, or another one is in its place; says which file, and which run wrote it.
            ResultStorageError: the storage cannot be reached, or the file not be read.
            UntrustedPayload: its signature is missing or wrong.
        """
        if self in _held:
            return _held[self]
        value = _load(self)
        if self.in_memory:
            _held[self] = value
        return value


def _nobody_loads(stored: StoredResult) -> Any:
    raise RuntimeError(f"nothing in this process reads results from storages: {stored}")


_load: Callable[[StoredResult], Any] = _nobody_loads


def set_loader(load: Callable[[StoredResult], Any]) -> None:
    """Say who reads results; whoever imports what makes them does so."""
    global _load
    _load = load
