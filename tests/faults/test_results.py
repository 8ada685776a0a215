"""A worker is killed between the file of a result and its record: no run ever has another run's or attempt's result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.runs.stored_result import StoredResult
from orchestrator.settings import Settings
from orchestrator.slots import failpoints
from tests.conftest import program_or_skip
from tests.support import signals
from tests.support.apps import storing as app
from tests.support.apps.storing import files_in
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.worker_process import QUICK, WorkerProcess, clean_environment

pytestmark = pytest.mark.behaviour


@pytest.fixture(scope="module")
def server_program() -> Path:
    """One program is enough: the moments are the worker's."""
    return program_or_skip("embedded")


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        yield made


@pytest.fixture
def killed(server: ServerProcess, namespace: str, fleet: Fleet, tmp_path: Path) -> Iterator[Callable[[], bool]]:
    """A worker whose child is killed once, after the function and before the outcome is in any list."""
    mark = tmp_path / "killed"
    environment = clean_environment(
        **QUICK, ORCHESTRATOR_REDIS_URL=server.url, ORCHESTRATOR_NAMESPACE=namespace,
        **{failpoints.VARIABLE: f"after_user_code=kill:1@{mark}"},
    )  # fmt: skip
    worker = WorkerProcess(tmp_path / "worker.log", environment, "-A", "tests.support.apps.storing", "-c", "1")
    yield mark.exists
    worker.close()
    print(worker.output)


def test_the_next_attempt_has_a_file_of_its_own(killed: Callable[[], bool], tmp_path: Path) -> None:
    folder, sign = tmp_path / "results", str(tmp_path / "sign")
    future = app.called.with_options(result_storage=folder).submit(sign)
    assert future.result(timeout=60) == 2
    assert killed()
    assert signals.count(sign) == 2
    data = PrefectFuture[Any](future.run_id).state.data
    assert isinstance(data, StoredResult)
    assert len(files_in(folder)) == 2, "that of the killed attempt is named by no record"
    assert Path(data.where) in files_in(folder)


def test_under_a_key_the_next_attempt_takes_what_the_killed_one_had_completed(
    killed: Callable[[], bool], tmp_path: Path
) -> None:
    folder, sign = tmp_path / "results", str(tmp_path / "sign")
    future = app.called.with_options(result_storage=folder, result_storage_key="once.json").submit(sign)
    assert future.result(timeout=60) == 1
    assert killed()
    assert (signals.count(sign), future.state.name, len(files_in(folder))) == (1, "Cached", 1)
