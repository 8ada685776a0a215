"""The source files that a version of a deployment keeps, and archives that none of ours has made."""

from __future__ import annotations

import io
import lzma
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.deployments.code_snapshots import MAX_BYTES, MAX_FILES, SourceFiles, unpack


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def archive_of(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, target
    return made


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "flows" / "sql").mkdir(parents=True)
    files = {"daily.py": b"x = 1\n", "sql/total.sql": b"select 1\0", "größe.py": b""}
    for name, data in files.items():
        (tmp_path / "flows" / name).write_bytes(data)
    taken = SourceFiles.around(tmp_path / "flows" / "daily.py")
    archive = taken.archive()
    assert archive is not None
    folder = unpack(archive, taken.digest)
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} == files
    assert unpack(b"not looked at again", taken.digest) == folder


@pytest.mark.parametrize(
    "make",
    [
        lambda: archive_of(member("../outside.py")),
        lambda: archive_of(member("a/../../outside.py")),
        lambda: archive_of(member("/tmp/outside.py")),
        lambda: archive_of(member("link.py", tarfile.SYMTYPE, target="/etc/passwd"), member("link.py/x.py")),
        lambda: archive_of(member("hard.py", tarfile.LNKTYPE, target="/etc/passwd")),
        lambda: archive_of(member("null", tarfile.CHRTYPE)),
        lambda: archive_of(member("folder", tarfile.DIRTYPE)),
        lambda: archive_of(member("large.bin", size=MAX_BYTES + 1)),
        lambda: archive_of(*(member(f"{number}.py") for number in range(MAX_FILES + 2))),
        lambda: archive_of(member("a"), member("a/b.py")),
        lambda: archive_of(*(member(f"{number}.py") for number in range(100)))[:200],
        lambda: lzma.compress(b"no archive" * 900),
        lambda: b"",
    ],
)
def test_nothing_of_an_archive_that_none_of_ours_has_made_is_left_anywhere(
    make: Callable[[], bytes], home: Path
) -> None:
    with pytest.raises((OSError, EOFError, lzma.LZMAError, tarfile.TarError)):
        unpack(make(), "d" * 64)
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not (home.parent / "outside.py").exists()
