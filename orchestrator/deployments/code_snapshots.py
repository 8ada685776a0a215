"""The source files around a flow: identified by a digest, kept as one archive, and put back into a folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.runnables.identity import module_of_path

MAX_BYTES: Final = 1 << 20  # of the files together
MAX_FILES: Final = 500
MAX_ENTRIES: Final = 5_000  # of folders that are looked through
SUFFIXES: Final = frozenset((".py", ".pyi", ".sql", ".json", ".yaml", ".yml", ".toml", ".j2", ".jinja", ".jinja2"))
_LEFT_OUT: Final = frozenset(("__pycache__", "node_modules", "venv", "site-packages"))


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """Source files as they are now.

    Attributes:
        root: the folder that they are imported from.
        file: where the flow is written, seen from the root.
        contents: path seen from the root -> bytes; empty where even the one file is too large to be kept.
        digest: of all of them, hexadecimal.
    """

    root: Path
    file: str
    contents: dict[str, bytes]
    digest: str

    @classmethod
    def around(cls, file: str | Path) -> SourceFiles:
        """The files of the folder that a file is imported from; only that one where they are too many or too large.

        Raises:
            OSError: it cannot be read. ConfigurationError: it is not there.
        """
        path = Path(file).resolve()
        root = module_of_path(path)[0]
        own = {path.relative_to(root).as_posix(): path.read_bytes()}
        contents = _contents(root) or own
        contents |= own
        digest = hashlib.sha256()
        for name in sorted(contents):
            digest.update(f"{name}\0{len(contents[name])}\0".encode())
            digest.update(contents[name])
        kept = contents if sum(map(len, contents.values())) <= MAX_BYTES else {}
        return cls(root, path.relative_to(root).as_posix(), kept, digest.hexdigest())

    def archive(self) -> bytes | None:
        """All of them in one archive, the same bytes for the same files; ``None`` where they are too large."""
        if not self.contents:
            return None
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
            for name in sorted(self.contents):
                member = tarfile.TarInfo(name)
                member.size = len(self.contents[name])
                archive.addfile(member, io.BytesIO(self.contents[name]))
        return buffer.getvalue()


def unpack(archive: bytes, digest: str) -> Path:
    """The folder with the files of an archive; made once for each digest, for this user alone.

    Raises:
        OSError, EOFError, lzma.LZMAError, tarfile.TarError: it cannot be unpacked, or is none that
            :meth:`SourceFiles.archive` makes.
    """
    home = Path(tempfile.gettempdir()) / f"orchestrator-code-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        raise PermissionError(f"{home} belongs to somebody else")
    folder = home / digest[:32]
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=home) as made:
        _write_files(_read_files(archive), Path(made) / "code")
        try:
            (Path(made) / "code").rename(folder)
        except OSError:  # another process was quicker
            if not folder.is_dir():
                raise
    return folder


def _read_files(archive: bytes) -> dict[str, bytes]:
    """Path -> bytes. ``extractall`` would write where the archive says; Python before 3.11.4 has no filter for that."""
    contents: dict[str, bytes] = {}
    left = MAX_BYTES
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as opened:
        for member in opened:
            left -= member.size
            if left < 0 or len(contents) > MAX_FILES:
                raise tarfile.ExtractError(f"there are more than {MAX_BYTES} bytes or {MAX_FILES} files in it")
            path = Path(member.name)
            file = opened.extractfile(member) if member.isreg() else None  # it would follow a link
            if file is None or ".." in path.parts or path.is_absolute():
                raise tarfile.ExtractError(f"{member.name!r} is no file inside of the folder")
            contents[member.name] = file.read()
    return contents


def _write_files(contents: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, data in contents.items():
        if "\0" in name:
            raise tarfile.ExtractError(f"{name!r} is no name of a file")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _contents(root: Path) -> dict[str, bytes]:
    """The source files below a folder; nothing where they are too many or too large."""
    contents: dict[str, bytes] = {}
    size = 0
    for path in _source_files(root):
        try:
            data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
        except OSError:  # it has gone, or may not be read
            continue
        size += len(data)
        if size > MAX_BYTES or len(contents) >= MAX_FILES:
            return {}
        contents[path.relative_to(root).as_posix()] = data
    return contents


def _source_files(root: Path) -> Iterator[Path]:
    looked = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
        looked += len(files) + len(folders)
        for name in sorted(files):
            if Path(name).suffix in SUFFIXES and not name.startswith("."):
                yield Path(folder, name)
        if looked > MAX_ENTRIES:  # somebody's home directory
            yield from [Path(os.devnull)] * (MAX_FILES + 1)
            return
