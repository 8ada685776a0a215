"""Places for files, as blocks: a folder of this machine, whatever fsspec reaches, and none at all.

Follows Prefect 3 (``prefect.filesystems``). On an event loop the names without ``a`` return awaitables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from orchestrator.blocks.abstract import (
    ReadableDeploymentStorage,
    ReadableFileSystem,
    WritableDeploymentStorage,
    WritableFileSystem,
)
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.errors import ConfigurationError

__all__ = [
    "LocalFileSystem",
    "NullFileSystem",
    "ReadableDeploymentStorage",
    "ReadableFileSystem",
    "RemoteFileSystem",
    "WritableDeploymentStorage",
    "WritableFileSystem",
]
_WRITES_PARTS: Final = frozenset(("ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs"))  # readers could see half a file
_HIDDEN_SECRET: Final[dict[str, Any]] = {"writeOnly": True, "format": "password"}


class _FileSystem(WritableFileSystem, WritableDeploymentStorage, ABC):
    """The two doors, for threads and for event loops, to what a file system does."""

    @abstractmethod
    def _read(self, path: str) -> bytes: ...

    @abstractmethod
    def _write(self, path: str, content: bytes) -> str: ...

    @abstractmethod
    def _get_directory(self, from_path: str | None, local_path: str | None) -> None: ...

    @abstractmethod
    def _put_directory(self, local_path: str | None, to_path: str | None, ignore_file: str | None) -> int: ...

    @async_dispatch("aread_path")
    def read_path(self, path: str) -> bytes:
        """The contents of a file. Raises ValueError: there is none, or it lies outside of ``basepath``."""
        return self._read(path)

    async def aread_path(self, path: str) -> bytes:
        """As :meth:`read_path`."""
        return await asyncio.to_thread(self._read, path)

    @async_dispatch("awrite_path")
    def write_path(self, path: str, content: bytes) -> str:
        """Write a file, replacing one that is there; returns where it is. Readers see the old one or the new one.

        Raises:
            ValueError: it lies outside of ``basepath``, or a folder has its name.
        """
        return self._write(path, content)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As :meth:`write_path`."""
        return await asyncio.to_thread(self._write, path, content)

    @async_dispatch("aget_directory")
    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> None:
        """Copy a folder from here to this machine.

        Args:
            from_path: below ``basepath``; all of it unless given.
            local_path: where to; the working directory unless given.
        """
        self._get_directory(from_path, local_path)

    async def aget_directory(self, from_path: str | None = None, local_path: str | None = None) -> None:
        """As :meth:`get_directory`."""
        await asyncio.to_thread(self._get_directory, from_path, local_path)

    @async_dispatch("aput_directory")
    def put_directory(
        self, local_path: str | None = None, to_path: str | None = None, ignore_file: str | None = None
    ) -> int:
        """Copy a folder of this machine to here; returns how many files.

        Args:
            local_path: the folder; the working directory unless given.
            to_path: where to, below ``basepath``.
            ignore_file: a file with a pattern of names in each line that are left out, such as ``*.log`` or ``data/``.
        """
        return self._put_directory(local_path, to_path, ignore_file)

    async def aput_directory(
        self, local_path: str | None = None, to_path: str | None = None, ignore_file: str | None = None
    ) -> int:
        """As :meth:`put_directory`."""
        return await asyncio.to_thread(self._put_directory, local_path, to_path, ignore_file)


class LocalFileSystem(_FileSystem):
    """A folder of this machine.

    >>> import tempfile
    >>> files = LocalFileSystem(basepath=tempfile.mkdtemp())
    >>> _ = files.write_path("reports/one.txt", b"done")
    >>> files.read_path("reports/one.txt")
    b'done'
    >>> files.read_path("../etc/passwd")
    Traceback (most recent call last):
    ValueError: '../etc/passwd' lies outside of the base path
    """

    _block_type_name = "Local File System"

    basepath: str | None = Field(None, description="The folder that paths are below; the working directory if not set.")

    @field_validator("basepath", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    def _base(self) -> Path:
        return Path(os.path.realpath(Path(self.basepath or ".").expanduser()))

    def _resolved(self, path: str | None) -> Path:
        base = self._base()
        found = Path(os.path.realpath(base / (path or ".")))  # of links, too: where it would really be
        if found != base and base not in found.parents:
            raise ValueError(f"{path!r} lies outside of the base path")
        return found

    def _read(self, path: str) -> bytes:
        file = self._resolved(path)
        if not file.is_file():
            raise ValueError(f"{path!r} is no file" if file.exists() else f"there is no {path!r}")
        return file.read_bytes()

    def _write(self, path: str, content: bytes) -> str:
        file = self._resolved(path)
        if file.is_dir():
            raise ValueError(f"{path!r} is a folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name[:40]}.{secrets.token_hex(6)}")
        try:
            draft.write_bytes(content)
            os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)
        return str(file)

    def _get_directory(self, from_path: str | None, local_path: str | None) -> None:
        source = self._resolved(from_path)
        if not source.is_dir():
            raise ValueError(f"there is no folder {from_path!r}")
        target = Path(local_path or ".").resolve()
        if target == source:
            return
        shutil.copytree(
            source, target, symlinks=True, dirs_exist_ok=True, ignore=lambda folder, _: _inside(target, folder)
        )

    def _put_directory(self, local_path: str | None, to_path: str | None, ignore_file: str | None) -> int:
        source, target = Path(local_path or ".").resolve(), self._resolved(to_path)
        if target == source:
            return 0
        files = [file for file in _files_of(source, ignore_file) if target not in file.parents]
        places = [self._resolved(str(target / file.relative_to(source))) for file in files]  # before anything is copied
        for file, place in zip(files, places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
        return len(files)


class RemoteFileSystem(_FileSystem):
    """Whatever fsspec reaches: ``s3://bucket/folder``, ``gcs://``, ``sftp://``, ``memory://``.

    Needs ``pip install 'orchestrator[storage]'``, and the package of the protocol.

    >>> files = RemoteFileSystem(basepath="memory://of-the-docs")
    >>> _ = files.write_path("one.txt", b"done")
    >>> files.read_path("one.txt")
    b'done'
    """

    _block_type_name = "Remote File System"

    basepath: str = Field(..., description="A URL: what is before the first :// says which protocol.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the protocol's file system, such as key and secret. Kept as a secret.",
        json_schema_extra=_HIDDEN_SECRET,
    )

    @field_validator("basepath")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        protocol, found, rest = value.partition("://")
        if not found or not protocol or not rest:
            raise ValueError("write a protocol and a place: s3://bucket/folder")
        if protocol in ("file", "local"):
            raise ValueError("for files of this machine there is LocalFileSystem")
        return value.rstrip("/")

    def _files(self) -> Any:
        try:
            import fsspec
        except ImportError:
            raise ConfigurationError(
                "RemoteFileSystem needs the package fsspec: pip install 'orchestrator[storage]'"
            ) from None
        return fsspec.filesystem(self.basepath.partition("://")[0], **self.settings)

    def check_reachable(self) -> None:
        """Ask for the place, which need not be there yet. Raises what its protocol raises, or ConfigurationError."""
        with contextlib.suppress(FileNotFoundError, PermissionError):  # who may write need not be allowed to list
            self._files().info(self.basepath)

    def _resolved(self, path: str | None) -> str:
        if not path:
            return self.basepath
        if path.startswith(f"{self.basepath}/"):
            path = path[len(self.basepath) + 1 :]
        if "://" in path or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} lies outside of the base path")
        return f"{self.basepath}/{path}"

    def _read(self, path: str) -> bytes:
        try:
            content: bytes = self._files().cat_file(self._resolved(path))
        except FileNotFoundError:
            raise ValueError(f"there is no {path!r}") from None
        return content

    def _write(self, path: str, content: bytes) -> str:
        files, place = self._files(), self._resolved(path)
        files.makedirs(place.rpartition("/")[0], exist_ok=True)
        if place.partition("://")[0] not in _WRITES_PARTS:
            files.pipe_file(place, content)
            return place
        folder, _, name = place.rpartition("/")
        draft = f"{folder}/.{name[:40]}.{secrets.token_hex(6)}"
        files.pipe_file(draft, content)
        files.mv(draft, place)
        return place

    def _get_directory(self, from_path: str | None, local_path: str | None) -> None:
        files, source = self._files(), self._resolved(from_path)
        target = Path(local_path or ".").resolve()
        root = files._strip_protocol(source).rstrip("/")
        for found in files.find(source):
            place = Path(os.path.realpath(target / found[len(root) :].lstrip("/")))
            if target not in place.parents:
                raise ValueError(f"{found!r} would be written outside of {local_path or '.'!r}")
            place.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(found, str(place))

    def _put_directory(self, local_path: str | None, to_path: str | None, ignore_file: str | None) -> int:
        source = Path(local_path or ".").resolve()
        files = list(_files_of(source, ignore_file))
        for file in files:
            part = file.relative_to(source).as_posix()
            self._write(f"{to_path}/{part}" if to_path else part, file.read_bytes())
        return len(files)


class NullFileSystem(_FileSystem):
    """Keeps nothing: what is written is dropped, and nothing is found.

    >>> NullFileSystem().write_path("one.txt", b"done")
    'one.txt'
    """

    _block_type_name = "Null File System"

    def _read(self, path: str) -> bytes:
        raise ValueError(f"there is no {path!r}: this file system keeps nothing")

    def _write(self, path: str, content: bytes) -> str:
        return path

    def _get_directory(self, from_path: str | None, local_path: str | None) -> None:
        return None

    def _put_directory(self, local_path: str | None, to_path: str | None, ignore_file: str | None) -> int:
        return 0


def _files_of(folder: Path, ignore_file: str | None) -> Iterator[Path]:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}")
    patterns = _patterns_in(ignore_file)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not _is_left_out(file.relative_to(folder).as_posix(), patterns):
            yield file


def _patterns_in(ignore_file: str | None) -> list[str]:
    lines = Path(ignore_file).read_text("utf-8").splitlines() if ignore_file else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _is_left_out(path: str, patterns: Iterable[str]) -> bool:
    parts = path.split("/")
    for pattern in patterns:
        if pattern.endswith("/"):
            if any(fnmatch(part, pattern.rstrip("/").lstrip("/")) for part in parts[:-1]):
                return True
        elif fnmatch(path, pattern.lstrip("/")) or any(fnmatch(part, pattern) for part in parts):
            return True
    return False


def _inside(target: Path, folder: str) -> list[str]:
    """What is left out of a copy: the folder that it goes to, should that be in the one it comes from."""
    return [target.name] if target.parent == Path(folder).resolve() else []
