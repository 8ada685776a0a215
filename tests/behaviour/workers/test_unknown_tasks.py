"""Workers of two versions of an application, and calls that one of them does not know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator import inspection
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ParameterBindError
from task_workers.cli.run_facts import facts_of
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

pytestmark = pytest.mark.behaviour

OLD = "from orchestrator import task\n@task\ndef old(x):\n    return 'v1', x\n"
OLD += "@task\ndef grown(x):\n    return 'v1', x, None\n"
NEW = OLD.replace("v1", "v2").replace("grown(x)", "grown(x, site=None)").replace("None\n", "site\n")
OLD += "@task\ndef narrow(x):\n    return 'v1', x\n"
NEW += "@task\ndef narrow(x, site):\n    return 'v2', x, site\n"
NEW += "@task\ndef new(x):\n    return 'v2', x\n"
NAME = "shop_of_two_versions"


@pytest.fixture
def version() -> str:
    """That of the client."""
    return "v2"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> Iterator[Any]:
    """The new version, or another one, as a client has it."""
    for each, source in (("v1", OLD), ("v2", NEW)):
        (tmp_path / each).mkdir()
        (tmp_path / each / f"{NAME}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / version)
    yield import_module(NAME)
    del sys.modules[NAME]


@pytest.fixture
def start(start_worker: StartWorker, tmp_path: Path, shop: Any) -> Callable[..., WorkerProcess]:
    """Start a worker of a version."""

    def start(version: str, **settings: str) -> WorkerProcess:
        app = str(tmp_path / version / f"{NAME}.py")
        return start_worker("-c", "1", "-n", version, app=app, ready=1, **settings)

    return start


@pytest.mark.smoke
def test_calls_that_one_version_does_not_know_are_run_by_the_other(
    start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet
) -> None:
    old = start("v1")
    start("v2")
    futures = shop.new.map(range(100))
    assert futures.result(timeout=60) == [("v2", x) for x in range(100)]
    assert fleet.broker.dead_letters.newest() == []
    assert old.output.count("is not known here") <= 2, "it is told once, not for each call"


def test_calls_with_arguments_that_one_version_does_not_take_are_run_by_the_other(
    start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet
) -> None:
    old, new = start("v1"), start("v2")
    by_name = [shop.grown.delay(x, site="here") for x in range(20)]
    by_place = shop.grown.map(range(20), ["there"] * 20)
    assert [future.result(timeout=60) for future in by_name] == [("v2", x, "here") for x in range(20)]
    assert by_place.result(timeout=60) == [("v2", x, "there") for x in range(20)]
    assert old.output.count("does not take") <= 1, "it is told once, not for each call"
    new.terminate()
    assert new.wait() == 0
    wait_until(lambda: not any("v2" in name for name in fleet.live_workers()), message="it has left")
    late = shop.grown.delay(1, site="here")
    with pytest.raises(ParameterBindError, match="unexpected keyword argument 'site'"):
        late.result(timeout=60)


@pytest.mark.parametrize("version", ["v1"])
def test_calls_that_lack_an_argument_that_one_version_needs_are_run_by_the_older(
    start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet
) -> None:
    old, new = start("v1"), start("v2")
    by_name = [shop.narrow.delay(x=x) for x in range(20)]
    by_place = shop.narrow.map(range(20))
    assert [future.result(timeout=60) for future in by_name] == [("v1", x) for x in range(20)]
    assert by_place.result(timeout=60) == [("v1", x) for x in range(20)]
    assert new.output.count("a worker of an older one gets them") <= 1, "it is told once, not for each call"
    old.terminate()
    assert old.wait() == 0
    wait_until(lambda: not any("v1" in name for name in fleet.live_workers()), message="it has left")
    late = shop.narrow.delay(1)
    with pytest.raises(ParameterBindError, match="missing a required argument: 'site'"):
        late.result(timeout=60)


def test_calls_that_nobody_knows_wait_and_are_run_when_somebody_does(
    start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet
) -> None:
    start("v1")
    futures = shop.new.map(range(20))
    wait_until(lambda: fleet.broker.queues.unknown_tasks(), message="they wait")
    records = fleet.broker.records.read([future.run_id for future in futures])
    assert {record.status for record in records} <= {Status.LIMITED, Status.QUEUED}
    waiting = next(record.run_id for record in records if record.status == Status.LIMITED)
    words = f"no live worker of the queue default knows {NAME}.new"
    assert words in str(fleet.latest_state(waiting).message)
    (view,) = inspection.views_of(fleet, [waiting])
    assert words in str(view.message)
    assert words in facts_of(fleet, waiting)["message"], "runs show"
    assert view.due is None
    assert shop.old.delay(1).result(timeout=60) == ("v1", 1), "the worker goes on meanwhile"
    start("v2")
    assert futures.result(timeout=60) == [("v2", x) for x in range(20)]


def test_whoever_waits_is_told_that_no_worker_knows_the_task(
    start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    start("v1")
    future = shop.new.delay(1)
    with pytest.raises(TimeoutError):
        future.result(timeout=4)
    assert f"no live worker of the queue default knows {NAME}.new" in caplog.text
    assert f"-A {NAME}" in caplog.text


def test_nobody_has_come_in_time(start: Callable[..., WorkerProcess], shop: Any, fleet: Fleet) -> None:
    start("v1", ORCHESTRATOR_UNKNOWN_TASK_WAIT_SECONDS="0.5")
    future = shop.new.delay(1)
    future.wait(timeout=30)
    assert (future.state.name, future.run_id) == ("Crashed", fleet.broker.dead_letters.newest()[0])
    assert f"no task '{NAME}.new' is known here" in str(future.state.message)
