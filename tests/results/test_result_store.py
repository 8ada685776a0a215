"""``ResultStore``: values under keys in a storage, for users and for transactions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, task
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.errors import MissingResult, ResultStorageError
from orchestrator.filesystems import LocalFileSystem, NullFileSystem, WritableFileSystem
from orchestrator.futures import PrefectFuture
from orchestrator.results import (
    ResultStore,
    get_default_result_storage,
    get_result_store,
    resolve_result_storage,
    should_persist_result,
)
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers import CompressedSerializer, JSONSerializer
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.transactions import transaction
from tests.support.apps import storing as app
from tests.support.engines import environment_of

pytestmark = pytest.mark.usefixtures("fleet")
contents: dict[str, bytes] = {}


@pytest.fixture
def store(folder: Path) -> ResultStore:
    return ResultStore(LocalFileSystem(basepath=str(folder)))


def test_write_read_and_exists(store: ResultStore, folder: Path) -> None:
    store.write("a/b", {"x": (1, 2)})
    record = store.read("a/b")
    assert record.result == {"x": (1, 2)}
    assert (record.metadata.storage_key, record.serializer, record.expiration) == ("a/b", "msgpack", None)
    assert store.exists("a/b")
    assert not store.exists("a/c")
    store.write(None, "unnamed")
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(MissingResult, match="a/c"):
        store.read("a/c")
    for use in (store.read, store.exists, lambda key: store.write(key, 1)):
        with pytest.raises(ResultStorageError, match="leads out of the storage"):
            use("../x")


def test_on_an_event_loop(store: ResultStore) -> None:
    async def use() -> tuple[Any, bool, bool]:
        await store.awrite("k", [1])
        return (await store.aread("k")).result, await store.aexists("k"), await store.aexists("other")

    assert asyncio.run(use()) == ([1], True, False)


def test_an_expired_value_is_missing(store: ResultStore) -> None:
    store.write("k", 1, expiration=datetime.now(UTC) + timedelta(hours=1))
    assert store.read("k").result == 1
    store.write("k", 1, expiration=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(MissingResult, match="it has expired"):
        store.read("k")
    with pytest.raises(ValueError, match="no time zone"):
        store.write("k", 1, expiration=datetime(2030, 1, 1))


def test_what_it_is_made_of(folder: Path, large_results: Path) -> None:
    assert ResultStore().place == f"local:{large_results}", "the setting's"
    assert get_default_result_storage() == LocalFileSystem(basepath=str(large_results))
    assert resolve_result_storage(folder) == LocalFileSystem(basepath=str(folder))
    assert ResultStore(folder, serializer=CompressedSerializer(serializer=JSONSerializer())).serializer == (
        "compressed/json"
    )
    with pytest.raises(ValueError, match="keeps nothing"):
        ResultStore(NullFileSystem())
    with pytest.raises(ValueError, match="no such format"):
        ResultStore(folder, serializer="yaml")


def test_that_of_the_run_around_the_line(folder: Path, large_results: Path) -> None:
    @task(result_storage=folder / "task", result_serializer="json")
    def own() -> tuple[bool, str, str]:
        found = get_result_store()
        return should_persist_result(), found.place, found.serializer

    @task
    def plain() -> tuple[bool, str]:
        return should_persist_result(), get_result_store().place

    @flow(result_storage=folder / "flow")
    def around() -> tuple[Any, ...]:
        never = plain.with_options(persist_result=False)
        return own(), plain(), never()[0], (should_persist_result(), get_result_store().place)

    inside = (True, f"local:{folder}/flow")
    assert around() == ((True, f"local:{folder}/task", "json"), inside, False, inside)
    assert plain() == (False, f"local:{large_results}")
    assert own.submit().result(timeout=60) == [True, f"local:{folder}/task", "json"]


def test_a_transaction_keeps_its_value_in_a_storage(store: ResultStore, folder: Path) -> None:
    for number in (1, 2):
        with transaction(key="prices", store=store, isolation_level="serializable") as txn:  # type: ignore[arg-type]
            assert txn.is_committed() == (number == 2)
            txn.stage({"number": number})
    assert txn.read() == store.read("prices").result == {"number": 1}
    with pytest.raises(ValueError, match="no"), transaction(key="other", store=store) as undone:  # noqa: PT012
        undone.stage(3)
        raise ValueError("no")
    assert [path.name for path in folder.iterdir()] == ["prices"]


def test_a_program_that_has_nothing_but_the_client_reads_a_result_from_its_file(fleet: Fleet, folder: Path) -> None:
    future = echo.with_options(result_storage=folder).submit("in a file")
    assert future.result(timeout=60) == "in a file"
    program = f"""
from orchestrator.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print(client.read_task_run({future.run_id!r}).state.result())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment_of(fleet.settings), capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "in a file\n", ran.stderr


class KeptInMemory(WritableFileSystem):
    """A file system of a user, whose methods are coroutine functions, as many of Prefect's are."""

    prefix: str = ""

    async def read_path(self, path: str) -> bytes:
        return contents[self.prefix + path]

    async def write_path(self, path: str, content: bytes) -> None:
        contents[self.prefix + path] = content


@task
def echo(value: Any) -> Any:
    return value


def test_a_file_system_of_the_users_own() -> None:
    files = KeptInMemory(prefix="mine/")
    with pytest.raises(ResultStorageError, match=r"was not saved.*keptinmemory/results"):
        echo.with_options(result_storage=files).submit(1)
    files.save("mine", overwrite=True)
    future = echo.with_options(result_storage=files).submit(1)
    assert future.result(timeout=60) == 1
    (key,) = contents
    assert key.startswith(f"mine/{future.run_id}")

    async def on_a_loop() -> list[Any]:
        there: PrefectFuture[Any] = PrefectFuture(future.run_id)
        again = await echo.with_options(result_storage="keptinmemory/mine").asubmit(2)
        return [await there, PrefectFuture[Any](future.run_id).result(), await again]

    assert asyncio.run(on_a_loop()) == [1, 1, 2]
    contents.clear()
    with pytest.raises(MissingResult, match=r"in the block keptinmemory/mine"):
        PrefectFuture[Any](future.run_id).result(timeout=60)


def test_a_run_of_a_deployment(fleet: Fleet, large_results: Path) -> None:
    app.deployed.to_deployment("of-results").apply()
    queue = find_deployment(fleet.broker, "deployed/of-results").run_queue
    workers = LocalWorkers(fleet, SlotsOptions((queue,), 1))
    workers.start()
    try:
        run = run_deployment("deployed/of-results", parameters={"value": 4}, timeout=60)
    finally:
        workers.stop(5)
    assert run.state.result() == 8
    data = PrefectFuture[Any](run.id).state.data
    assert isinstance(data, StoredResult)
    assert data.place == f"local:{large_results}"
