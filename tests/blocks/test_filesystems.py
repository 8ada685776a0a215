"""File systems as blocks: what is written is read, in threads and on event loops, and nothing outside is reached."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.blocks.core import Block
from orchestrator.client.fleet import Fleet
from orchestrator.filesystems import LocalFileSystem, NullFileSystem, RemoteFileSystem, WritableFileSystem
from tests.blocks.test_secrets import SECRET
from tests.support.engines import ROOT
from tests.support.store_dump import everything_in, traces_of


@pytest.fixture(params=["local", "remote"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "local":
        return LocalFileSystem(basepath=str(tmp_path / "base"))
    return RemoteFileSystem(basepath=f"memory://{secrets.token_hex(6)}")


def test_what_is_written_is_read(files: Any) -> None:
    place = files.write_path("a/b.txt", b"one")
    assert place.endswith("/a/b.txt")
    files.write_path("a/b.txt", b"two")
    assert files.read_path("a/b.txt") == b"two"
    assert files.read_path(place) == b"two"  # as it was returned
    with pytest.raises(ValueError, match=r"no 'missing\.txt'"):
        files.read_path("missing.txt")


def test_on_an_event_loop_the_same_names_are_awaited(files: Any, tmp_path: Path) -> None:
    async def use() -> bytes:
        await files.write_path("x/1", b"one")
        await files.awrite_path("x/2", b"two")
        await files.get_directory("x", str(tmp_path / "out"))
        assert await files.put_directory(str(tmp_path / "out"), "y") == 2
        return bytes(await files.read_path("y/1") + await files.aread_path("y/2"))

    assert asyncio.run(use()) == b"onetwo"


def test_folders_there_and_back_without_what_is_left_out(files: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a.py", "deep/er/b.py", "c.log", "data/big.bin"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (tmp_path / "ignored").write_text("# what is not needed\n*.log\ndata/\n")
    assert files.put_directory(str(source), "kept", str(tmp_path / "ignored")) == 2
    files.get_directory("kept", str(target))
    found = {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {"a.py": "a.py", "deep/er/b.py": "deep/er/b.py"}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "..", "link/x"])
def test_nothing_outside_is_reached(files: Any, path: str, tmp_path: Path) -> None:
    if isinstance(files, LocalFileSystem):
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "link").symlink_to(tmp_path)
    elif path == "link/x":
        return  # links are of local folders
    for use in (
        lambda: files.read_path(path),
        lambda: files.write_path(path, b"x"),
        lambda: files.get_directory(path, str(tmp_path / "out")),
        lambda: files.put_directory(str(ROOT / "docs" / "code"), path),
    ):
        with pytest.raises(ValueError, match="outside of the base path"):
            use()
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_copied_here_follows_no_link_to_elsewhere(tmp_path: Path) -> None:
    base, elsewhere, source = (tmp_path / name for name in ("base", "elsewhere", "source"))
    for folder in (base, elsewhere, source / "link"):
        folder.mkdir(parents=True)
    (base / "link").symlink_to(elsewhere)
    (source / "a").write_text("a")
    (source / "link" / "b").write_text("b")
    with pytest.raises(ValueError, match="outside of the base path"):
        LocalFileSystem(basepath=base).put_directory(str(source))
    (base / "link").unlink()
    (elsewhere / "b").write_text("as it was")
    (base / "link").mkdir()
    (base / "link" / "b").symlink_to(elsewhere / "b")
    with pytest.raises(ValueError, match="outside of the base path"):
        LocalFileSystem(basepath=base).put_directory(str(source))
    assert (elsewhere / "b").read_text() == "as it was"
    assert [path.name for path in base.iterdir()] == ["link"]  # nothing was copied


def test_a_folder_in_itself_is_no_endless_copy(tmp_path: Path) -> None:
    files = LocalFileSystem(basepath=str(tmp_path))
    (tmp_path / "a").write_text("a")
    files.get_directory(None, str(tmp_path / "inside"))
    assert sorted(path.name for path in (tmp_path / "inside").iterdir()) == ["a"]
    assert files.put_directory(str(tmp_path), "inside") == 1
    files.get_directory(None, str(tmp_path))
    assert files.put_directory(str(tmp_path), None) == 0


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LocalFileSystem(basepath=str(tmp_path))
    files.write_path("a", b"old")

    def no_room(*places: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(OSError, match="no room"):
        files.write_path("a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        files.write_path("folder", b"x")
    with pytest.raises(ValueError, match="is no file"):
        files.read_path("folder")


def test_they_are_blocks_and_settings_of_remote_ones_are_secret(fleet: Fleet, tmp_path: Path) -> None:
    LocalFileSystem(basepath=tmp_path).save("here")
    remote = RemoteFileSystem(basepath="memory://x/", settings={"key": SECRET})
    remote.save("there")
    NullFileSystem().save("nowhere")
    assert SECRET not in repr(remote)
    assert traces_of(SECRET, everything_in(fleet)) == []
    assert Block.load("local-file-system/here") == LocalFileSystem.load("here")
    assert RemoteFileSystem.load("there").settings == {"key": SECRET}
    found: Any = WritableFileSystem.load("null-file-system/nowhere")
    assert found.write_path("x", b"") == "x"
    with pytest.raises(ValueError, match="keeps nothing"):
        found.read_path("x")
    assert LocalFileSystem.get_block_capabilities() == {"read-path", "write-path", "get-directory", "put-directory"}


@pytest.mark.parametrize("basepath", ["bucket/x", "s3://", "file:///tmp", "://x"])
def test_a_remote_place_has_a_protocol(basepath: str) -> None:
    with pytest.raises(ValueError, match=r"protocol|LocalFileSystem"):
        RemoteFileSystem(basepath=basepath)


def test_without_fsspec_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['fsspec'] = None\nfrom orchestrator.filesystems import RemoteFileSystem\n"
        "try: RemoteFileSystem(basepath='s3://x').read_path('y')\nexcept ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "pip install 'orchestrator[storage]'" in done.stdout, done.stderr
