"""Storages by their places: texts that are short enough for every record, and hold no secret.

``local:/data/results`` is a folder, ``remote:s3://bucket/results`` whatever fsspec reaches with what the environment
has, ``block:s3-bucket/results`` a file system that was saved: its credentials stay in its block.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from orchestrator.blocks.abstract import WritableFileSystem
from orchestrator.blocks.errors import BlockLoadError, BlockNotFound, UnknownBlockType
from orchestrator.errors import ResultStorageError, SerializationError
from orchestrator.filesystems import LocalFileSystem, NullFileSystem, RemoteFileSystem
from orchestrator.runs.result_places import place_of_address, place_of_folder, place_of_text

T = TypeVar("T")
FRESH_SECONDS: Final = 60.0  # a block that has changed is used from then on; a storage that answered is not asked again


def place_of(storage: Any) -> str:
    """The place of what was given as ``result_storage``; an empty text for a NullFileSystem, which keeps nothing.

    Raises:
        ResultStorageError: nobody else could find it; says how to write it.

    >>> place_of("/data/results"), place_of("s3://bucket/results"), place_of("s3-bucket/results")
    ('local:/data/results', 'remote:s3://bucket/results', 'block:s3-bucket/results')
    """
    if isinstance(storage, Path):
        return place_of_folder(str(storage))
    if isinstance(storage, str):
        return place_of_text(storage)
    name = getattr(storage, "_block_document_name", None)
    if name:
        return f"block:{storage.get_block_type_slug()}/{name}"
    if isinstance(storage, NullFileSystem):
        return ""
    if isinstance(storage, LocalFileSystem):
        return place_of_folder(storage.basepath or ".")
    if isinstance(storage, RemoteFileSystem) and not storage.settings:
        return place_of_address(storage.basepath)
    kind = type(storage).__name__
    if isinstance(storage, WritableFileSystem):
        raise ResultStorageError(
            f"the result_storage {kind} was not saved, so that no other process could find it, nor its settings: save "
            'it once, storage.save("results"), and give what was saved or its name, '
            f'"{storage.get_block_type_slug()}/results"'
        )
    raise ResultStorageError(f"the result_storage {kind} is no file system of orchestrator.filesystems, nor a block")


class _Fresh:
    """Answers that hold for a minute. Safe for any number of threads; after a fork they are asked for again."""

    def __init__(self) -> None:
        self._lock, self._kept, self._process = threading.Lock(), dict[Any, tuple[float, Any]](), os.getpid()
        os.register_at_fork(after_in_child=self.__init__)  # type: ignore[misc]

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What was made under this key within the last minute, else what is made now."""
        now = time.monotonic()
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
        if now < until:
            return cast(T, value)
        made = make()
        with self._lock:
            if len(self._kept) > 256:
                self._kept.clear()
            self._kept[key] = now + FRESH_SECONDS, made
        return made


_systems: Final = _Fresh()
_checked: Final = _Fresh()


def file_system_at(place: str) -> WritableFileSystem:
    """The file system of a place.

    Raises:
        ResultStorageError: its block is gone, or its class is not known here. BrokerError: the store does not answer.
    """
    kind, _, name = place.partition(":")
    if kind == "local":
        return LocalFileSystem(basepath=name)
    if kind == "remote":
        return _systems.get(place, lambda: RemoteFileSystem(basepath=name))
    if kind == "block":
        return _systems.get((place, _store_here()), lambda: _block_named(name))
    raise ResultStorageError(f"{place[:200]!r} is no place of results: was it written by a newer version?")


def _store_here() -> Any:
    from orchestrator.client.fleet import current_fleet

    return id(current_fleet())


def _block_named(name: str) -> WritableFileSystem:
    from orchestrator.blocks.core import Block
    from orchestrator.blocks.loading import load_block

    try:
        block: Any = load_block(Block, name, True)
    except (BlockNotFound, BlockLoadError, UnknownBlockType, SerializationError) as error:
        raise ResultStorageError(f"the result_storage {name!r} cannot be used here: {error}") from error
    if not isinstance(block, WritableFileSystem):
        raise ResultStorageError(
            f"the result_storage {name!r} is no file system that results can be written to here, but a "
            f"{type(block).__name__}: import the module that defines its class in the worker's app"
        )
    return block


def check_place(place: str) -> None:
    """Whether results can be kept there, as far as can be found out without writing.

    Raises:
        ResultStorageError: a package is missing, or nobody answers. BrokerError: the store does not answer.
    """
    _checked.get(place, lambda: _check(file_system_at(place), place))


def _check(files: Any, place: str) -> None:
    try:
        if isinstance(files, LocalFileSystem):
            _check_folder(os.path.realpath(os.path.expanduser(files.basepath or ".")))
        elif isinstance(files, RemoteFileSystem):
            files.check_reachable()
    except Exception as error:
        raise ResultStorageError(
            f"the result_storage {place.partition(':')[2]!r} cannot be used on this machine, and the run was not "
            f"begun: {type(error).__name__}: {error}"
        ) from error


def _check_folder(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder!r} may not be written by this user")
