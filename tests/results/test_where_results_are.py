"""A storage moves the result into a file, and leaves a reference in the record: for every way of calling."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, task
from orchestrator.cache_policies import INPUTS
from orchestrator.filesystems import LocalFileSystem, NullFileSystem
from orchestrator.futures import PrefectFuture
from orchestrator.runs.stored_result import StoredResult
from orchestrator.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

pytestmark = pytest.mark.usefixtures("fleet")
ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@task
def echo(value: Any) -> Any:
    ran.append(value)
    return value


@task
async def echo_async(value: Any) -> Any:
    return value


@task
def letters(count: int) -> str:
    ran.append(count)
    return "x" * count


@task
async def letters_async(count: int) -> list[str]:
    return ["x" * count] * 2


@task
def pair(one: Any, two: Any) -> tuple[Any, Any]:
    return one, two


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def reference_of(future: PrefectFuture[Any]) -> StoredResult:
    """What the record has; asked for in the way of another process."""
    data = PrefectFuture[Any](future.run_id).state.data
    assert isinstance(data, StoredResult)
    return data


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["submit", "delay", "map"])
def test_a_call_that_is_sent(way: str, kind: str, folder: Path) -> None:
    stored = (echo if kind == "sync" else echo_async).with_options(result_storage=LocalFileSystem(basepath=str(folder)))
    (future,) = stored.map([{"a": 1}]) if way == "map" else [getattr(stored, way)({"a": 1})]
    assert future.result(timeout=60) == {"a": 1}
    reference = reference_of(future)
    assert files_in(folder) == [Path(reference.where)]
    assert PrefectFuture[Any](future.run_id).result(timeout=60) == {"a": 1}
    assert asyncio.run(_awaited(future.run_id)) == {"a": 1}


async def _awaited(run_id: str) -> Any:
    future: PrefectFuture[Any] = PrefectFuture(run_id)
    first = await future
    assert await future.state.result() == await future.state.aresult() == first
    return first


def test_a_direct_call_writes_the_file_and_returns_the_value(folder: Path) -> None:
    stored = echo.with_options(result_storage=folder)
    value = {"a": [1]}
    assert stored(value) is value
    assert len(files_in(folder)) == 1
    state = stored(value, return_state=True)
    assert state.data is value
    assert asyncio.run(echo_async.with_options(result_storage=str(folder))(5)) == 5
    assert len(files_in(folder)) == 3


def test_without_memory_a_result_is_read_each_time(folder: Path) -> None:
    stored = echo.with_options(result_storage=folder, cache_result_in_memory=False)
    state = stored([1], return_state=True)
    assert isinstance(state.data, StoredResult)
    assert state.result() == [1]
    assert state.result() is not state.result()
    files_in(folder)[0].unlink()
    with pytest.raises(Exception, match="there is no such file"):
        state.result()


def test_a_future_as_an_argument_is_read_by_the_worker(folder: Path) -> None:
    first = letters.with_options(result_storage=folder).submit(200_000)  # more than a record takes
    assert pair.with_options(result_storage=folder).submit(first, 1).result(timeout=60) == ("x" * 200_000, 1)
    state = PrefectFuture[Any](first.run_id).state
    assert pair(state, 2) == ("x" * 200_000, 2)
    small = PrefectFuture[Any](echo.with_options(result_storage=folder).submit(3).run_id)
    small.wait(60)
    assert pair.submit(small.state, 2).result(timeout=60) == (3, 2)
    assert pair.submit(1, 2).result(timeout=60) == (1, 2)


def test_a_map_over_a_result_in_a_file(folder: Path) -> None:
    numbers = echo.with_options(result_storage=folder).submit([1, 2, 3])
    assert echo.map(numbers).result(timeout=60) == [1, 2, 3]


def test_the_order_is_task_then_flow_then_setting(folder: Path, large_results: Path) -> None:
    own = echo.with_options(result_storage=folder / "task")

    @flow(result_storage=folder / "flow", result_serializer="json")
    def around() -> list[Any]:
        inner()
        return [own(1), own.submit(2).result(), echo(3), echo.submit(4).result(), echo.submit(5).result()]

    @flow
    def inner() -> int:
        return echo.with_options(persist_result=False).submit(6).result()

    state = around(return_state=True)
    assert state.result() == [1, 2, 3, 4, 5]
    assert len(files_in(folder / "task")) == 2
    kept = files_in(folder / "flow")
    assert len(kept) == 5, "three of its tasks, the child flow and its own"
    heads = [json.loads(path.read_bytes().splitlines()[0]) for path in kept]
    assert {head["serializer"] for head in heads} == {"json"}
    before = len(files_in(large_results))
    echo.with_options(persist_result=True)(7)
    assert len(files_in(large_results)) == before + 1
    echo.submit(8).result(timeout=60)
    assert len(files_in(large_results)) == before + 1, "what is not persisted stays in the store"


def test_nothing_is_kept_outside_of_the_store_if_the_task_says_so(folder: Path) -> None:
    @flow(result_storage=folder)
    def around() -> list[Any]:
        nowhere = echo.with_options(result_storage=NullFileSystem())
        return [nowhere(1), nowhere.submit(2).result(), echo.with_options(persist_result=False).submit(3).result()]

    assert around.with_options(persist_result=True)() == [1, 2, 3]
    assert len(files_in(folder)) == 1


@pytest.mark.parametrize("runner", [ThreadPoolTaskRunner(2), ProcessPoolTaskRunner(1)], ids=["threads", "processes"])
def test_flows_whose_tasks_run_on_this_machine(runner: Any, folder: Path) -> None:
    @flow(task_runner=runner, result_storage=folder)
    def around() -> Any:
        return pair.submit(1, 2).result()

    assert around() == (1, 2)
    assert len(files_in(folder)) == 2


@flow(persist_result=True)
def sent_flow(value: Any) -> Any:
    return echo.submit(value).result()


def test_a_flow_that_is_sent(folder: Path, large_results: Path) -> None:
    before = len(files_in(large_results))
    future = sent_flow.delay(1)
    assert future.result(timeout=60) == 1
    assert reference_of(future).place == f"local:{large_results}"
    assert len(files_in(large_results)) == before + 1
    elsewhere = sent_flow.with_options(result_storage=folder).delay(2)
    assert elsewhere.result(timeout=60) == 2
    assert reference_of(elsewhere).place == f"local:{folder}"
    assert len(files_in(folder)) == 2, "its task inherits it"


def test_a_result_that_is_too_large_goes_there_by_itself(large_results: Path) -> None:
    future = letters.submit(100_001)
    assert future.result(timeout=60) == "x" * 100_001
    assert reference_of(future).place == f"local:{large_results}"
    nested = letters_async.submit(60_000)
    assert nested.result(timeout=60) == ["x" * 60_000] * 2
    reference_of(nested)
    small = letters.submit(99_000)
    assert small.result(timeout=60) == "x" * 99_000
    assert PrefectFuture[Any](small.run_id).state.data == "x" * 99_000


def test_a_cache_hit_leaves_the_reference_to_the_file_that_is_there(folder: Path) -> None:
    cached = echo.with_options(result_storage=folder, cache_policy=INPUTS)
    first, second = cached.submit("kept"), None
    assert first.result(timeout=60) == "kept"
    second = cached.submit("kept")
    assert second.result(timeout=60) == "kept"
    assert second.state.name == "Cached"
    assert reference_of(first).key == reference_of(second).key
    assert cached("kept") == "kept"
    assert (len(files_in(folder)), len(ran)) == (1, 1)
    files_in(folder)[0].unlink()
    assert cached("kept") == "kept"
    assert (len(files_in(folder)), len(ran)) == (1, 2), "a file that is gone is no hit"


def test_a_large_result_is_cached_in_the_storage_of_the_setting(large_results: Path) -> None:
    cached = letters.with_options(cache_policy=INPUTS)
    assert len(cached(200_000)) == len(cached(200_000)) == 200_000
    assert len(ran) == 1


def test_retries_and_failures() -> None:
    left = [1]

    @task(retries=1, persist_result=True, retry_delay_seconds=0)
    def second_time(key: int) -> str:
        if left:
            left.pop()
            raise ValueError("not yet")
        return "now"

    future = second_time.submit(1)
    assert future.result(timeout=60) == "now"
    reference_of(future)

    @task(persist_result=True)
    def failing() -> None:
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        failing.submit().result(timeout=60)


def test_a_generator_of_a_stored_task_is_a_list(folder: Path) -> None:
    @task(result_storage=folder)
    def numbers() -> Any:
        yield from (1, 2)

    assert numbers() == [1, 2]
    assert numbers.submit().result(timeout=60) == [1, 2]


def test_what_is_only_waited_for_is_not_read(folder: Path) -> None:
    first = echo.with_options(result_storage=folder).submit("first")
    first.wait(60)
    files_in(folder)[0].unlink()
    again: PrefectFuture[Any] = PrefectFuture(first.run_id)
    assert pair(1, 2, wait_for=[again]) == (1, 2)
    assert pair.submit(1, 2, wait_for=[again]).result(timeout=60) == (1, 2)


def test_coroutines_read_files_beside_their_loop(folder: Path) -> None:
    stored = echo_async.with_options(result_storage=folder, cache_result_in_memory=False)

    async def use() -> list[Any]:
        sent: PrefectFuture[Any] = PrefectFuture((await stored.asubmit([1])).run_id)
        return [await stored([2]), await sent, await echo_async(PrefectFuture[Any](sent.run_id))]

    assert asyncio.run(use()) == [[2], [1], [1]]
