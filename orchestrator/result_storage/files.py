"""Writing a result into its storage, and reading it again."""

from __future__ import annotations

import inspect
import logging
import platform
from datetime import datetime
from typing import Any, Final

from orchestrator.client.own_loop import run_to_its_end
from orchestrator.errors import BrokerError, MissingResult, OrchestratorError, ResultStorageError, SerializationError
from orchestrator.filesystems import LocalFileSystem
from orchestrator.result_storage.content import Head, OtherResult, packed, unpacked
from orchestrator.result_storage.places import file_system_at, place_of
from orchestrator.runnables import registry
from orchestrator.runs.stored_result import StoredResult, set_loader

log = logging.getLogger("orchestrator.results")
_READ: Final = LocalFileSystem.read_path  # on an event loop it would have to be awaited
_WRITE: Final = LocalFileSystem.write_path


class NoSuchFile(MissingResult):
    """There is no file of that name in the storage."""


def write_result(
    place: str,
    key: str,
    value: Any,
    *,
    run_id: str,
    task: str,
    serializer: str | None = None,
    expires: datetime | None = None,
    in_memory: bool = True,
) -> StoredResult:
    """Write a value, and return the reference to it. The file is there as a whole or not at all.

    Args:
        place: the storage, see ``places``.
        key: the file.
        value: what the run returned.
        run_id, task: of the run.
        serializer: a format; msgpack unless given.
        expires: the moment from which nobody finds it by its key.
        in_memory: see :class:`StoredResult`.

    Raises:
        SerializationError: the value cannot be written so. ResultStorageError: it was not written.
        BrokerError: the store, which knows the storage's block, does not answer.
    """
    file = packed(value, key, run_id=run_id, task=task, serializer=serializer, expires=expires)
    files = file_system_at(place)
    try:
        write_file(files, key, file.content)
    except (BrokerError, SerializationError):
        raise
    except Exception as error:
        raise ResultStorageError(
            f"the result of run {run_id} ({len(file.content):,} bytes) could not be written to "
            f"{place.partition(':')[2]}, as {key}: {type(error).__name__}: {error}. It is not kept"
        ) from error
    size, name = len(file.content), file.head.serializer
    return StoredResult(place, key, run_id, file.digest, size, name, platform.node(), in_memory)


def load(stored: StoredResult) -> Any:
    """The value behind a reference; see :meth:`StoredResult.load`."""
    registry.learn_types()
    what = f"the result of run {stored.run_id} cannot be read from {stored.where}"
    try:
        content = read_file(file_system_at(stored.place), stored.key)
    except (NoSuchFile, ResultStorageError) as error:
        raise _explained(error, stored, what) from error
    try:
        return unpacked(content, stored.key, stored.digest)[1]
    except OtherResult as error:
        raise MissingResult(
            f"{what}: {error}. Runs with one result_storage_key share a file, and the last one's result is in it: put "
            "{task_run.id} into the template to keep each"
        ) from error
    except SerializationError as error:
        raise type(error)(f"{what}: {error}") from error


def _explained(error: OrchestratorError, stored: StoredResult, what: str) -> OrchestratorError:
    if not isinstance(error, NoSuchFile):
        return ResultStorageError(f"{what}: {error}")
    here = platform.node()
    elsewhere = (
        f". It was written on the machine {stored.host!r}, and this is {here!r}: both need the same folder"
        if stored.place.startswith("local:") and stored.host and stored.host != here
        else "; it was deleted or moved. Bring it back, or make the call again"
    )
    return MissingResult(f"{what}: there is no such file{elsewhere}")


def find_result(place: str, key: str, in_memory: bool = True) -> tuple[StoredResult, Head, Any] | None:
    """What is kept under a key by whichever run: the reference, its head and the value; ``None`` for nothing usable.

    What cannot be read or trusted is not usable, which is logged. Raises ResultStorageError, BrokerError: no answer.
    """
    registry.learn_types()
    try:
        content = read_file(file_system_at(place), key)
        head, value, digest = unpacked(content, key)
    except NoSuchFile:
        return None
    except SerializationError as error:
        log.warning("the file %s in %s is not used as a result: %s", key, place.partition(":")[2], error)
        return None
    stored = StoredResult(place, key, head.run_id, digest, len(content), head.serializer, head.host, in_memory)
    return stored, head, value


def read_file(files: Any, key: str) -> bytes:
    """The bytes of a file. Raises NoSuchFile; ResultStorageError: it may be there, and cannot be read."""
    try:
        content = files._read(key) if type(files).read_path is _READ else _awaited(files.read_path(key))
    except (ValueError, FileNotFoundError, KeyError) as error:
        if isinstance(error, OrchestratorError):
            raise ResultStorageError(str(error)) from error
        raise NoSuchFile(f"there is no {key!r}: {error}") from error
    except BrokerError:
        raise
    except Exception as error:
        raise ResultStorageError(f"{type(error).__name__}: {error}; what is there is kept, try again") from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ResultStorageError(f"the storage gave {type(content).__name__} in place of bytes")
    return bytes(content)


def write_file(files: Any, key: str, content: bytes) -> None:
    """Write a file. Raises what the file system raises."""
    if type(files).write_path is _WRITE:
        files._write(key, content)
    else:
        _awaited(files.write_path(key, content))


def _awaited(value: Any) -> Any:
    """File systems of users have plain functions or coroutine functions."""
    return run_to_its_end(value) if inspect.isawaitable(value) else value


set_loader(load)

__all__ = ["find_result", "load", "place_of", "read_file", "write_file", "write_result"]
