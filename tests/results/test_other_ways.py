"""Maps in blocks, runs that are queued again, harnesses without a server, machines on which something is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, settings, task
from orchestrator.cache_policies import INPUTS
from orchestrator.client.fleet import Fleet
from orchestrator.configuration.names import setting_named
from orchestrator.errors import ConfigurationError, ResultStorageError
from orchestrator.futures import PrefectFuture
from orchestrator.inspection import retry_runs
from orchestrator.result_storage import places
from orchestrator.runs.stored_result import StoredResult
from orchestrator.settings import Settings
from orchestrator.testing import inline
from tests.support.apps.storing import files_in

ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@task
def echo(value: Any) -> Any:
    ran.append(value)
    return value


@task
def letters(count: int) -> str:
    return "x" * count


@pytest.mark.usefixtures("fleet")
def test_calls_of_a_map_that_are_kept_in_blocks(folder: Path, large_results: Path) -> None:
    futures = echo.with_options(result_storage=folder).map(range(300))
    assert futures.result(timeout=60) == list(range(300))
    assert len(files_in(folder)) == 300
    again = PrefectFuture[Any](futures[200].run_id)
    assert again.result(timeout=60) == 200
    assert isinstance(again.state.data, StoredResult)
    before = len(files_in(large_results))
    sizes = letters.map([10, 200_000, 10]).result(timeout=60)
    assert [len(text) for text in sizes] == [10, 200_000, 10]
    assert len(files_in(large_results)) == before + 1


def test_a_run_that_is_queued_again_has_the_result_of_its_last_attempt(fleet: Fleet, folder: Path) -> None:
    failing = [True]

    @task(result_storage=folder)
    def mended() -> str:
        if failing:
            raise ValueError("not mended")
        return "mended"

    future = mended.submit()
    future.wait(60)
    assert future.state.is_failed()
    assert files_in(folder) == []
    failing.clear()
    retry_runs(fleet, [future.run_id])
    again = PrefectFuture[Any](future.run_id)
    assert again.result(timeout=60) == "mended"
    assert len(files_in(folder)) == 1


@pytest.mark.usefixtures("fleet")
def test_retries_count_where_a_storage_cannot_be_used(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    checked: list[str] = []
    really = places.check_place

    def fails_once(place: str) -> None:
        checked.append(place)
        if len(checked) == 1:
            raise ResultStorageError("nobody answers")
        really(place)

    monkeypatch.setattr(places, "check_place", fails_once)
    patient = echo.with_options(result_storage=folder, retries=1, retry_delay_seconds=0)
    assert patient.submit("kept").result(timeout=60) == "kept"
    assert (len(checked), ran) == (2, ["kept"])


@pytest.mark.usefixtures("fleet")
def test_a_package_that_is_missing_is_named_before_the_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    remote = echo.with_options(result_storage="memory://of-a-worker-without-fsspec")
    for call in (lambda: remote.submit(1).result(timeout=60), lambda: remote(1)):
        with pytest.raises(ResultStorageError, match=r"pip install 'orchestrator\[storage\]'"):
            call()
    assert ran == []


def test_calls_without_a_server(folder: Path) -> None:
    @flow(result_storage=folder)
    def around() -> list[Any]:
        return [echo(1), echo.submit(2).result(), *echo.map([3, 4]).result()]

    with inline():
        assert around() == [1, 2, 3, 4]
        cached = echo.with_options(cache_policy=INPUTS, result_storage=folder)
        assert [cached.submit(5).result(), cached.submit(5).result()] == [5, 5]
    assert len(files_in(folder)) == 6
    assert ran == [1, 2, 3, 4, 5]


def test_a_task_with_a_key_needs_no_server(folder: Path) -> None:
    named = echo.with_options(persist_result=True, result_storage=folder, result_storage_key="x-{parameters[value]}")
    assert named("ünï") == named("ünï") == "ünï"
    assert [path.name for path in files_in(folder)] == ["x-ünï"]
    assert named.with_options(refresh_cache=True)("ünï") == "ünï"
    assert ran == ["ünï"] * 2

    @task(name="echo", persist_result=True, result_storage=folder, result_storage_key="x-{parameters[value]}")
    def another(value: Any) -> str:
        return "another"

    assert another("ünï") == "another", "the file of another task is no result of this one"


def test_a_key_without_a_storage_is_a_file_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_DEFAULT_RESULT_STORAGE", raising=False)  # of the fleet around
    with settings.use(Settings(home=tmp_path)):
        named = echo.with_options(persist_result=True, result_storage_key="greetings/{parameters[value]}.json")
        assert named("hello") == "hello"
    assert files_in(tmp_path) == [tmp_path / "storage/greetings/hello.json"]


def test_the_format_of_the_setting(folder: Path) -> None:
    with settings.use(Settings(default_result_serializer="json")):
        assert echo.with_options(result_storage=folder)([1]) == [1]
        assert echo.with_options(result_storage=folder, result_serializer="msgpack")([1]) == [1]
    heads = [path.read_bytes().partition(b"\n")[0] for path in files_in(folder)]
    assert sorted(json.loads(head)["serializer"] for head in heads) == ["json", "msgpack"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"default_result_serializer": "yaml"}, "SERIALIZER='yaml' is not allowed: one of json, msgpack, pickle"),
        ({"default_result_storage": "results"}, "a folder begins with / or ./, so write './results'"),
        ({"default_result_storage": "s3://key:s3cret@bucket"}, "holds credentials"),
    ],
)
def test_a_setting_of_results_that_means_nothing_is_refused_when_settings_are_read(
    given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings(**given)
    assert reason in str(refused.value)
    assert "s3cret" not in str(refused.value)
    for name in ("json", "compressed/pickle"):
        assert Settings(default_result_serializer=name).default_result_serializer == name


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"result_storage": "results"}, "so write './results'"),
        ({"result_storage": "S3/Bucket"}, "is neither the name of a saved file system"),
        ({"result_storage": "s3://key:s3cret@bucket"}, "holds credentials"),
        ({"result_serializer": "yaml"}, "there is no such format"),
    ],
)
@pytest.mark.parametrize("decorator", [task, flow])
def test_an_option_of_results_that_means_nothing_is_refused_by_the_decorator(
    decorator: Any, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises((ValueError, ResultStorageError), match=reason):
        decorator(**given)(lambda value: value)


@pytest.mark.parametrize("name", ["PREFECT_DEFAULT_RESULT_STORAGE_BLOCK", "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK"])
def test_names_of_prefect_for_the_setting(name: str) -> None:
    assert setting_named(name, Settings.model_fields) == "default_result_storage"
