"""Results in files, whichever engine carries the calls: this process reads what real workers have written."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from orchestrator.blocks.core import Block
from orchestrator.errors import MissingResult, ResultStorageError
from orchestrator.filesystems import LocalFileSystem
from orchestrator.futures import PrefectFuture
from orchestrator.runs.stored_result import StoredResult
from orchestrator.settings import Settings
from tests.support import signals
from tests.support.apps import storing as app
from tests.support.apps.storing import files_in
from tests.support.engines import Engine
from tests.support.servers import ServerProcess

APP = "tests.support.apps.storing"
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def large_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of the setting."""
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
def fleet_settings(engine: Engine, server: ServerProcess, large_results: Path) -> Settings:
    """Records take 100,000 bytes."""
    more = {"default_result_storage": str(large_results), "max_payload_bytes": 100_000}
    return engine.settings(server, f"b-{secrets.token_hex(5)}", **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storage."""
    return tmp_path / "results"


def reference_of(future: PrefectFuture[Any]) -> StoredResult:
    """What the record has."""
    data = PrefectFuture[Any](future.run_id).state.data
    assert isinstance(data, StoredResult)
    return data


@pytest.mark.smoke
def test_a_worker_writes_the_file_and_leaves_a_reference(folder: Path) -> None:
    stored = app.letters.with_options(result_storage=folder, result_serializer="json")
    futures = [stored.submit(3), stored.delay(3), *stored.map([3, 3]), app.letters_async.with_options(
        result_storage=folder).submit(3)]  # fmt: skip
    assert [future.result(timeout=60) for future in futures] == ["xxx"] * 4 + ["yyy"]
    assert {str(path) for path in files_in(folder)} == {reference_of(future).where for future in futures}
    assert app.pair.submit(futures[0], futures[4]).result(timeout=60) == ("xxx", "yyy")


@pytest.mark.smoke
def test_a_result_that_a_record_does_not_take_goes_to_the_storage_of_the_setting(large_results: Path) -> None:
    before = len(files_in(large_results))
    futures = [app.letters.submit(200_000), app.letters_async.submit(200_000), *app.letters.map([200_000])]
    assert {len(future.result(timeout=60)) for future in futures} == {200_000}
    assert len(files_in(large_results)) == before + 3
    assert app.letters.submit(10).result(timeout=60) == "x" * 10
    assert len(files_in(large_results)) == before + 3


def test_flows_and_their_tasks(folder: Path) -> None:
    stored = app.sent.with_options(result_storage=folder)
    future = stored.delay(4)
    assert future.result(timeout=60) == "xxxx"
    reference_of(future)
    assert len(files_in(folder)) == 2, "the flow's and its task's"
    assert stored(5) == "xxxxx"
    assert len(files_in(folder)) == 4


def test_a_hit_of_the_cache_has_the_reference_of_the_first_run(folder: Path, tmp_path: Path) -> None:
    sign = str(tmp_path / "sign")
    stored = app.counted.with_options(result_storage=folder)
    first = stored.submit(1, sign)
    assert first.result(timeout=60) == [1, 1]
    second = stored.submit(1, sign)
    assert (second.result(timeout=60), second.state.name) == ([1, 1], "Cached")
    assert reference_of(first).key == reference_of(second).key
    assert stored(1, sign) == [1, 1], "a direct call finds it, too"
    assert signals.count(sign) == 1


def test_a_key_finds_the_result_of_another_process(folder: Path, tmp_path: Path) -> None:
    sign = str(tmp_path / "sign")
    stored = app.called.with_options(
        persist_result=True, result_storage=folder, result_storage_key="{task_run.task_name}/{parameters[sign]}"
    )
    future = stored.submit(sign)
    with pytest.raises(ResultStorageError, match="leads out of the storage"):
        future.result(timeout=60)
    assert signals.count(sign) == 0, "the function was not called"
    named = stored.with_options(result_storage_key="{task_run.task_name}-once.json")
    assert named.submit(sign).result(timeout=60) == 1
    again = named.submit(sign)
    assert (again.result(timeout=60), again.state.name) == (1, "Cached")
    assert named(sign) == 1
    assert [path.name for path in files_in(folder)] == ["called-once.json"]


def test_the_attempt_that_completes_writes_the_file(folder: Path, tmp_path: Path) -> None:
    future = app.second_time.with_options(result_storage=folder).submit(str(tmp_path / "sign"))
    assert future.result(timeout=60) == "now"
    assert len(files_in(folder)) == 1


def test_a_saved_file_system_by_its_name(folder: Path) -> None:
    files = LocalFileSystem(basepath=str(folder))
    files.save("results-of-tests", overwrite=True)
    by_name = app.letters.with_options(result_storage="local-file-system/results-of-tests").submit(2)
    by_block = app.letters.with_options(result_storage=files).submit(2)
    assert by_name.result(timeout=60) == by_block.result(timeout=60) == "xx"
    assert reference_of(by_block).place == "block:local-file-system/results-of-tests"
    assert len(files_in(folder)) == 2
    Block.delete("local-file-system/results-of-tests")


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("local-file-system/nowhere", "local-file-system/nowhere"),
        ("nosuch://bucket/x", "nosuch"),
        ("/dev/null/results", "cannot be used on this machine, and the run was not begun"),
    ],
)
def test_a_storage_that_the_worker_cannot_use_is_an_error_before_the_function_is_called(
    storage: str, told: str, tmp_path: Path
) -> None:
    sign = str(tmp_path / "sign")
    stored = app.called.with_options(result_storage=storage)
    with pytest.raises(ResultStorageError, match=told):
        stored.submit(sign).result(timeout=60)
    with pytest.raises(ResultStorageError, match=told):
        stored(sign)
    with pytest.raises(ResultStorageError, match=told):
        app.sent.with_options(result_storage=storage).delay(1).result(timeout=60)
    assert signals.count(sign) == 0


def test_a_file_that_is_gone_is_a_missing_result_that_says_which(folder: Path) -> None:
    future = app.letters.with_options(result_storage=folder).submit(3)
    future.wait(60)
    (file,) = files_in(folder)
    file.unlink()
    with pytest.raises(MissingResult, match=f"run {future.run_id} cannot be read from {file}"):
        PrefectFuture[Any](future.run_id).result(timeout=60)
    assert PrefectFuture[Any](future.run_id).state.is_completed()
    dependent = app.pair.submit(PrefectFuture[Any](future.run_id), 1)
    with pytest.raises(Exception, match=f"{file}: there is no such file"):
        dependent.result(timeout=60)
