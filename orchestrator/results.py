"""Results in files: a store of values under keys, and what a run's options say of its result.

>>> import tempfile
>>> store = ResultStore(result_storage=tempfile.mkdtemp(), serializer="json")
>>> store.write("report.json", {"sold": 3})
>>> store.read("report.json").result
{'sold': 3}
>>> store.exists("other.json")
False

Follows Prefect 3 (``prefect.results``).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Self, TypeVar

from orchestrator.caching.result_cache import LocalCache
from orchestrator.errors import MissingResult
from orchestrator.result_storage.choice import (
    Around,
    around,
    default_serializer,
    default_storage,
    folder_of_this_user,
    keeping_of,
)
from orchestrator.result_storage.files import find_result
from orchestrator.result_storage.files import write_result as _write_result
from orchestrator.result_storage.keys import checked_key
from orchestrator.result_storage.places import file_system_at, place_of
from orchestrator.runnables.result_options import serializer_named
from orchestrator.runs.current import current_attempt, current_flow_run
from orchestrator.runs.stored_result import StoredResult

R = TypeVar("R")
_claims: Final = LocalCache()


@dataclass(frozen=True)
class ResultRecordMetadata:
    """What a file says of its result: its key, its format, the run that wrote it, and until when its key finds it."""

    storage_key: str
    serializer: str
    expiration: datetime | None
    run_id: str
    written: datetime


@dataclass(frozen=True)
class ResultRecord(Generic[R]):
    """A result and what its file says of it."""

    metadata: ResultRecordMetadata
    result: R

    @property
    def expiration(self) -> datetime | None:
        """Until when its key finds it; ``None``: for good."""
        return self.metadata.expiration

    @property
    def serializer(self) -> str:
        """Its format."""
        return self.metadata.serializer


class ResultStore:
    """Values under keys, each in a file of a storage. Can be the ``store`` of a transaction.

    Args:
        result_storage: a file system, the name of a saved one (``slug/name``), or a folder; the setting's unless given,
            else a folder of this user.
        serializer: the format: "msgpack", "json", "pickle", "compressed/json", ...; the setting's unless given.
        cache_result_in_memory: whether a value that was read is kept for the next ``read`` of a reference.

    Raises:
        ResultStorageError: no process could find that storage again. TypeError, ValueError: there is no such format.
    """

    def __init__(
        self, result_storage: Any = None, *, serializer: Any = None, cache_result_in_memory: bool = True
    ) -> None:
        storage = result_storage if result_storage is not None else default_storage() or folder_of_this_user()
        self.place = place_of(storage)
        self.serializer = serializer_named(serializer or default_serializer() or "msgpack")
        self.cache_result_in_memory = cache_result_in_memory
        if not self.place:
            raise ValueError("a NullFileSystem keeps nothing, and a ResultStore has to")

    def __repr__(self) -> str:
        return f"ResultStore({self.place.partition(':')[2]!r}, serializer={self.serializer!r})"

    @property
    def result_storage(self) -> Any:
        """The file system. Raises ResultStorageError: its block is gone, or its class is not known here."""
        return file_system_at(self.place)

    def update_for_task(self, task: Any) -> Self:
        """The store of a task's results: this one, with what the task's options say. ``aupdate_for_task`` as well."""
        return self._updated(task.options)

    def update_for_flow(self, flow: Any) -> Self:
        """The store of a flow's results: this one, with what the flow's options say."""
        return self._updated(flow.options)

    async def aupdate_for_task(self, task: Any) -> Self:
        """As :meth:`update_for_task`."""
        return self._updated(task.options)

    async def aupdate_for_flow(self, flow: Any) -> Self:
        """As :meth:`update_for_flow`."""
        return self._updated(flow.options)

    def _updated(self, options: Any) -> Self:
        keeping = keeping_of(replace(options, persist_result=True), Around(self.place, self.serializer))
        if keeping is None:
            return self
        serializer = keeping.serializer or self.serializer
        return type(self)(keeping.place, serializer=serializer, cache_result_in_memory=keeping.in_memory)

    # -- values --------------------------------------------------------------------------------------------------------

    def write(self, key: str | None, obj: Any, expiration: datetime | timedelta | None = None) -> None:
        """Keep a value under a key, in place of one that is there.

        Args:
            key: the file, below the storage; ``None``: a name of its own.
            obj: the value.
            expiration: until when the key finds it: an aware moment, or a time from now.

        Raises:
            ResultStorageError: the key leads out of the storage, or the file cannot be written.
            SerializationError: the value cannot be written in this format.
        """
        self.keep(key, obj, expiration)

    async def awrite(self, key: str | None, obj: Any, expiration: datetime | timedelta | None = None) -> None:
        """As :meth:`write`."""
        await asyncio.to_thread(self.keep, key, obj, expiration)

    def keep(self, key: str | None, obj: Any, expiration: datetime | timedelta | None = None) -> StoredResult:
        """:meth:`write`, and return the reference to it (ours)."""
        run: Any = current_attempt.get() or current_flow_run.get()
        return _write_result(
            self.place,
            checked_key(key if key is not None else uuid.uuid4().hex),
            obj,
            run_id=run.run_id if run is not None else "",
            task="",
            serializer=self.serializer,
            expires=_moment(expiration),
            in_memory=self.cache_result_in_memory,
        )

    def read(self, key: str) -> ResultRecord[Any]:
        """What is kept under a key.

        Raises:
            MissingResult: nothing is, or it has expired, or it cannot be trusted or read (the log says why).
            ResultStorageError: the storage cannot be reached.
        """
        found = find_result(self.place, checked_key(key))
        if found is None or found[1].is_expired():
            why = "it has expired" if found is not None else "there is none that can be used"
            raise MissingResult(f"no result is kept as {key} in {self.place.partition(':')[2]}: {why}")
        _, head, value = found
        return ResultRecord(
            ResultRecordMetadata(head.key, head.serializer, head.expires, head.run_id, head.written), value
        )

    async def aread(self, key: str) -> ResultRecord[Any]:
        """As :meth:`read`."""
        return await asyncio.to_thread(self.read, key)

    def exists(self, key: str) -> bool:
        """Whether :meth:`read` would find something. Raises ResultStorageError: the storage cannot be reached."""
        try:
            self.read(key)
        except MissingResult:
            return False
        return True

    async def aexists(self, key: str) -> bool:
        """As :meth:`exists`."""
        return await asyncio.to_thread(self.exists, key)

    # -- what a transaction asks ---------------------------------------------------------------------------------------

    def get(self, key: str) -> tuple[bool, Any]:
        """Whether there is a value under a key, and which."""
        try:
            return True, self.read(key).result
        except MissingResult:
            return False, None

    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None:
        """Keep a value, for so long; ``None``: for good."""
        self.keep(key, value, timedelta(seconds=ttl_seconds) if ttl_seconds else None)

    def claim(self, key: str, run_id: str) -> str:
        """Who works at a key: ``run_id`` unless another one does. The claim is in the store of the fleet."""
        return _claims.claim(f"{self.place}/{key}", run_id)

    def release(self, key: str, run_id: str) -> None:
        """Let others work at it."""
        _claims.release(f"{self.place}/{key}", run_id)


def _moment(expiration: datetime | timedelta | None) -> datetime | None:
    if isinstance(expiration, timedelta):
        return datetime.now(UTC) + expiration
    if expiration is not None and expiration.tzinfo is None:
        raise ValueError(f"expiration={expiration!r} has no time zone: write datetime.now(UTC) + ...")
    return expiration


def get_result_store() -> ResultStore:
    """The store that results of the run around this line go to; outside of runs the setting's, or this user's folder.

    Follows Prefect 3 (``prefect.results.get_result_store``).
    """
    attempt: Any = current_attempt.get()
    run: Any = current_flow_run.get()
    outer = around(run)
    store = ResultStore(outer.storage if outer else None, serializer=outer.serializer if outer else None)
    return store.update_for_task(attempt.task) if attempt is not None else store


def should_persist_result() -> bool:
    """Whether the result of the run around this line is persisted; outside of runs whether the settings say so.

    Follows Prefect 3 (``prefect.results.should_persist_result``).

    >>> should_persist_result()
    False
    """
    from orchestrator.settings import current

    attempt: Any = current_attempt.get()
    run: Any = current_flow_run.get()
    for options in ([attempt.options] if attempt is not None else []) + _options_from(run):
        if options.persist_result is not None or options.keeps_in_storage:
            return bool(options.keeps_in_storage)
    return current().persist_result


def _options_from(flow_run: Any) -> list[Any]:
    found = []
    while flow_run is not None:
        found.append(flow_run.flow.options)
        flow_run = flow_run.parent
    return found


def get_default_result_storage() -> Any:
    """The file system of the setting, else that of a folder of this user."""
    return ResultStore().result_storage


def resolve_result_storage(result_storage: Any) -> Any:
    """The file system that a ``result_storage`` means. Raises ResultStorageError: there is none."""
    return file_system_at(place_of(result_storage))


__all__ = [
    "ResultRecord",
    "ResultRecordMetadata",
    "ResultStore",
    "get_default_result_storage",
    "get_result_store",
    "resolve_result_storage",
    "should_persist_result",
]
