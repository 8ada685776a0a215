"""What is in a file, which names files may have, which texts are storages; and what is not believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator import serializers
from orchestrator.errors import MissingResult, ResultStorageError, SerializationError, UntrustedPayload
from orchestrator.filesystems import LocalFileSystem, NullFileSystem, RemoteFileSystem
from orchestrator.result_storage import content
from orchestrator.result_storage.content import packed, unpacked
from orchestrator.result_storage.files import find_result, load, write_result
from orchestrator.result_storage.keys import checked_key, rendered, without_secrets
from orchestrator.result_storage.places import check_place, file_system_at, place_of
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers import KeyRing, Protection, protect, set_key_ring
from orchestrator.serializers.encryption import CipherRing

VALUES: list[Any] = [
    None,
    0,
    "",
    "ünïcödé ☃",
    b"\x00\xff",
    [1, (2, 3)],
    {"a": {1, 2}},
    datetime(2026, 1, 1, tzinfo=UTC),
]


@pytest.fixture
def keys() -> Iterator[None]:
    """A process with a key: all that it writes is signed."""
    set_key_ring(lambda: KeyRing([b"a key of the tests, 32 bytes long"]))
    protect(Protection(signs=True, demands=True))
    yield
    protect(serializers.NO_PROTECTION)
    set_key_ring(lambda: None)


def written(folder: Path, value: Any, key: str = "a/b", **more: Any) -> StoredResult:
    return write_result(f"local:{folder}", key, value, run_id="run-1", task="shop.sum", **more)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_there_and_back(value: Any, tmp_path: Path) -> None:
    stored = written(tmp_path, value)
    assert load(stored) == value
    assert stored.size == (tmp_path / "a/b").stat().st_size
    found = find_result(stored.place, "a/b")
    assert found is not None
    assert (found[2], found[0].digest, found[1].run_id) == (value, stored.digest, "run-1")


@pytest.mark.parametrize("serializer", ["json", "msgpack", "compressed/json", "compressed/msgpack"])
def test_formats(serializer: str, tmp_path: Path) -> None:
    stored = written(tmp_path, ["x" * 10_000], serializer=serializer)
    assert load(stored) == ["x" * 10_000]
    assert stored.serializer == serializer
    assert (stored.size < 2_000) == serializer.startswith("compressed/")


def test_json_is_plain_text_that_others_can_read(tmp_path: Path) -> None:
    written(tmp_path, {"sold": [1, "☃"]}, "report.json", serializer="json")
    head, body = (tmp_path / "report.json").read_text("utf-8").splitlines()
    assert json.loads(body) == {"sold": [1, "☃"]}
    facts = json.loads(head)
    assert (facts["storage_key"], facts["run_id"], facts["task"]) == ("report.json", "run-1", "shop.sum")


@pytest.mark.usefixtures("keys")
def test_with_keys_everything_is_signed_for_its_name(tmp_path: Path) -> None:
    stored = written(tmp_path, {"a": 1}, "one", serializer="json")
    assert load(stored) == {"a": 1}
    (tmp_path / "two").write_bytes((tmp_path / "one").read_bytes().replace(b'"one"', b'"two"'))
    with pytest.raises(UntrustedPayload, match="signature"):
        unpacked((tmp_path / "two").read_bytes(), "two")
    assert find_result(stored.place, "two") is None, "what is not trusted is not found"
    until = packed([1], "k", run_id="r", task="t", serializer=None, expires=datetime(2020, 1, 1, tzinfo=UTC)).content
    with pytest.raises(UntrustedPayload, match="signature"):
        unpacked(until.replace(b"2020-01-01", b"2030-01-01"), "k")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_signature_of_another_key_or_none_is_refused(serializer: str, tmp_path: Path) -> None:
    stored = written(tmp_path, [1], serializer=serializer)
    set_key_ring(lambda: KeyRing([b"another key, which is as long as that"]))
    with pytest.raises(UntrustedPayload, match=r"run run-1 cannot be read from .*another ORCHESTRATOR_SECRET_KEY"):
        load(stored)
    protect(serializers.NO_PROTECTION)
    plain = written(tmp_path, [1], serializer="json")
    protect(Protection(signs=True, demands=True))
    with pytest.raises(UntrustedPayload, match="not signed"):
        load(plain)


def test_a_pickle_needs_a_key_and_is_read_under_its_signature_only(tmp_path: Path) -> None:
    with pytest.raises(SerializationError, match="ORCHESTRATOR_SECRET_KEY"):
        written(tmp_path, [1], serializer="pickle")
    assert not (tmp_path / "a/b").exists()
    set_key_ring(lambda: KeyRing([b"a key of the tests, 32 bytes long"]))
    try:
        stored = written(tmp_path, [1], serializer="pickle")
        assert load(stored) == [1]
        content = (tmp_path / "a/b").read_bytes()
        line, _, body = content.partition(b"\n")
        (tmp_path / "a/b").write_bytes(line + b"\n" + b"\x03" + body[33:])  # the pickle without its signature
        with pytest.raises(UntrustedPayload):
            unpacked((tmp_path / "a/b").read_bytes(), "a/b")
    finally:
        set_key_ring(lambda: None)


def test_encrypted_files_show_nothing(tmp_path: Path) -> None:
    protect(Protection(ciphers=CipherRing([b"a key for encryption, long enough"])))
    try:
        stored = written(tmp_path, {"sold": "a secret"}, serializer="json")
        assert b"a secret" not in (tmp_path / "a/b").read_bytes()
        assert load(stored) == {"sold": "a secret"}
    finally:
        protect(serializers.NO_PROTECTION)


def test_a_file_that_is_gone_says_its_path_and_run(tmp_path: Path) -> None:
    stored = written(tmp_path, [1])
    (tmp_path / "a/b").unlink()
    with pytest.raises(MissingResult, match=rf"run run-1 cannot be read from {tmp_path}/a/b: there is no such file"):
        load(stored)
    elsewhere = StoredResult(stored.place, "a/b", "run-1", stored.digest, 9, "msgpack", host="another-machine")
    with pytest.raises(MissingResult, match="written on the machine 'another-machine'"):
        load(elsewhere)


def test_a_file_that_was_replaced_is_not_the_result(tmp_path: Path) -> None:
    first = written(tmp_path, [1])
    assert load(written(tmp_path, [1])) == load(first) == [1]
    write_result(first.place, "a/b", [2], run_id="run-2", task="shop.sum")
    with pytest.raises(MissingResult, match=r"replaced by run run-2 at .*\{task_run\.id\} into the template"):
        load(first)


@pytest.mark.parametrize(
    "found", [b"", b"\n", b"[1]\n[1]", b"root:x:0:0\n", b"{}\n", b'{"orchestrator_result": "1"}\n', b"\xff" * 9]
)
def test_what_is_no_result_is_not_shown(found: bytes, tmp_path: Path) -> None:
    stored = written(tmp_path, [1])
    (tmp_path / "a/b").write_bytes(found)
    with pytest.raises(SerializationError, match="it is no file that a result was written to") as caught:
        load(stored)
    assert "x:0" not in str(caught.value)
    assert find_result(stored.place, "a/b") is None


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_half_a_file_is_not_read(cut: int, tmp_path: Path) -> None:
    stored = written(tmp_path, list(range(100)))
    (tmp_path / "a/b").write_bytes((tmp_path / "a/b").read_bytes()[:-cut])
    with pytest.raises((SerializationError, MissingResult)):
        load(stored)
    assert find_result(stored.place, "a/b") is None


def test_a_file_that_inflates_without_end_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_UNKNOWN", serializers.PayloadLimits(max_bytes=50_000))
    stored = written(tmp_path, "x" * 100_000, serializer="compressed/json")
    assert stored.size < 1_000
    assert find_result(stored.place, "a/b") is None
    assert load(stored) == "x" * 100_000, "its record vouches for it"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = written(tmp_path, [1])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ResultStorageError, match=r"could not be written .*No space left"):
        written(tmp_path, [2])
    assert load(stored) == [1]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"], "no half of it is left"


def test_when_a_key_no_longer_finds_it(tmp_path: Path) -> None:
    stored = written(tmp_path, [1], expires=datetime.now(UTC) - timedelta(seconds=1))
    found = find_result(stored.place, "a/b")
    assert found is not None
    assert found[1].is_expired()
    assert load(stored) == [1], "the run has it all the same"


# -- names of files ----------------------------------------------------------------------------------------------------

BAD_KEYS = [
    "",
    " ",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "./x",
    "a/.",
    "..\\x",
    "C:/x",
    "a\0b",
    "a\nb",
    "x" * 256,
]


@pytest.mark.parametrize("key", [*BAD_KEYS, "/".join(["x" * 200] * 9), "\ud800", 3])
def test_names_that_lead_elsewhere_or_are_none(key: Any) -> None:
    with pytest.raises(ResultStorageError, match="result_storage_key"):
        checked_key(key)


@pytest.mark.parametrize("key", ["x.json", "a/b/c", "ünï/☃", "..x", "a b", "2026-11-29T10:00"])
def test_names_of_files(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize("value", ["../../x", "/x", "..", "a/../b"])
def test_a_parameter_does_not_lead_out_of_the_storage(value: str) -> None:
    with pytest.raises(ResultStorageError, match="leads out of the storage"):
        rendered("{parameters[x]}", {"parameters": {"x": value}})


@pytest.mark.parametrize(
    "template",
    ["{parameters[y]}", "{other}", "{}", "{0}", "{", "{parameters.__class__}", "{parameters[x].__init__.__globals__}"],
)
def test_templates_that_cannot_be_made(template: str) -> None:
    with pytest.raises(ResultStorageError, match=r"cannot be made: .*It may use parameters"):
        rendered(template, {"parameters": {"x": 1}})


def test_secrets_are_no_names() -> None:
    from pydantic import SecretStr

    given = {"a": 1, "b": "hidden", "c": SecretStr("hidden")}
    values = {"parameters": without_secrets(given, {"b"})}
    assert rendered("{parameters[a]:03d}", values) == "001"
    for name in ("b", "c"):
        with pytest.raises(ResultStorageError, match=f"'{name}' is a secret") as caught:
            rendered(f"{{parameters[{name}]}}", values)
        assert "hidden" not in str(caught.value)


# -- storages ----------------------------------------------------------------------------------------------------------


def test_places(tmp_path: Path) -> None:
    local = f"local:{tmp_path}"
    assert place_of(tmp_path) == place_of(str(tmp_path)) == place_of(f"file://{tmp_path}") == place_of(local) == local
    assert place_of(LocalFileSystem(basepath=str(tmp_path))) == local
    assert place_of(RemoteFileSystem(basepath="memory://x/")) == place_of("memory://x") == "remote:memory://x"
    assert place_of("local-file-system/results") == "block:local-file-system/results"
    assert place_of("./results") == f"local:{Path.cwd()}/results"
    assert place_of(NullFileSystem()) == ""


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("results", "write './results'"),
        ("Data/Results", "begins with / or ./"),
        ("s3://key:secret@bucket/x", "holds credentials"),
        (RemoteFileSystem(basepath="s3://x", settings={"secret": "s3cret"}), "was not saved"),
    ],
)
def test_storages_that_nobody_else_could_find(storage: Any, told: str) -> None:
    with pytest.raises(ResultStorageError, match=told) as caught:
        place_of(storage)
    assert "s3cret" not in str(caught.value)
    assert "key:secret" not in str(caught.value)


@pytest.mark.parametrize("place", ["", "x", "other:/x", "pickle:x"])
def test_a_place_in_a_record_that_is_none(place: str) -> None:
    with pytest.raises(ResultStorageError, match="no place of results"):
        file_system_at(place)


def test_a_reference_does_not_reach_what_is_outside_of_its_place(tmp_path: Path) -> None:
    written(tmp_path, [1], "secret")
    outside = StoredResult(f"local:{tmp_path}/folder", "../secret", "run-1", "", 9, "msgpack")
    with pytest.raises(MissingResult):
        load(outside)


@pytest.mark.parametrize(
    ("place", "told"),
    [("remote:nosuch://x/y", "nosuch"), ("local:/dev/null/results", "not begun"), ("local:/proc/x/y", "not begun")],
)
def test_a_storage_that_cannot_be_used(place: str, told: str) -> None:
    with pytest.raises(ResultStorageError, match=told):
        check_place(place)


def test_a_remote_storage(tmp_path: Path) -> None:
    place = f"remote:memory://{tmp_path.name}"
    check_place(place)
    stored = write_result(place, "a/b", [1], run_id="run-1", task="t")
    assert load(stored) == [1]
    file_system_at(place)._files().rm(f"memory://{tmp_path.name}/a/b")  # type: ignore[attr-defined]
    with pytest.raises(MissingResult, match="run run-1"):
        load(stored)
