"""Flows on threads and processes of this machine: no server is needed, and none is looked for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import allow_failure, flow, settings, task
from orchestrator.errors import ConfigurationError, RunCancelled, UpstreamTaskError
from orchestrator.fleet import use_fleet
from orchestrator.futures import as_completed, wait
from orchestrator.settings import Settings
from orchestrator.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.support import signals
from tests.support.apps import basics, endings
from tests.support.engines import ROOT

NO_SERVER = "unix:///nowhere/at/all.sock"


@pytest.fixture(autouse=True)
def _no_server() -> Iterator[None]:
    before = use_fleet(None)
    with settings.use(Settings(redis_url=NO_SERVER, task_runner="threads")):
        yield
    use_fleet(before)


RUNNERS = [ThreadPoolTaskRunner(max_workers=3), ProcessPoolTaskRunner(max_workers=2)]


@pytest.fixture(params=RUNNERS, ids=["threads", "processes"])
def runner(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_flow_on_this_machine(runner: Any) -> None:
    @flow(task_runner=runner)
    def everything() -> Any:
        numbers = basics.add.map(range(6))
        total = basics.total.submit(*numbers, more=basics.echo_async.submit(100))
        failed = basics.fail.submit("local")
        below = basics.echo.submit([failed])
        allowed = basics.echo.submit(allow_failure([failed]))
        done, not_done = wait([total, failed, below, allowed], timeout=60)
        assert (len(done), len(not_done)) == (4, 0)
        assert [future.run_id for future in as_completed([total])] == [total.run_id]
        with pytest.raises(ValueError, match="local"):
            failed.result()
        with pytest.raises(UpstreamTaskError):
            below.result()
        assert isinstance(allowed.result()[0], ValueError)
        assert below.state.name == "NotReady"
        return total

    assert everything() == sum(range(1, 7)) + 100


def test_retries_timeouts_and_own_exceptions(runner: Any, tmp_path: Path) -> None:
    @flow(task_runner=runner)
    def everything() -> Any:
        flaky = endings.flaky_task.submit(str(tmp_path / "sign"), 3)
        own = endings.raises.submit("own")
        states = [endings.slow.submit(), endings.slow_async.submit(), endings.ends_as.submit("cancelled"), own]
        wait(states)
        with pytest.raises(endings.OutOfTea) as caught:
            own.result()
        assert caught.value.left == 2
        return flaky.result(), [future.state.name for future in states]

    assert everything() == (3, ["TimedOut", "TimedOut", "Cancelled", "Failed"])


def test_threads_share_memory_and_processes_do_not() -> None:
    ids: dict[str, int] = {}
    for chosen in (ThreadPoolTaskRunner, ConcurrentTaskRunner(), ProcessPoolTaskRunner(max_workers=1)):

        @flow(task_runner=chosen)
        def asks() -> int:
            return basics.process_id.submit().result()

        ids[str(chosen)] = asks()
    here, there = list(ids.values())[:2], list(ids.values())[2]
    assert set(here) == {os.getpid()}
    assert there != os.getpid()


def test_the_setting_makes_threads_the_default() -> None:
    seen: list[int] = []

    @task
    def local(x: int) -> int:
        seen.append(x)
        return x

    @flow
    def plain() -> list[int]:
        return local.map([1, 2, 3]).result()

    assert plain() == [1, 2, 3]
    assert sorted(seen) == [1, 2, 3]
    pigeons = settings.current().model_copy(update={"task_runner": "carrier pigeons"})
    with settings.use(pigeons), pytest.raises(ConfigurationError, match="carrier pigeons"):
        plain()


def test_the_variable_makes_threads_the_default_and_no_server_is_started(tmp_path: Path) -> None:
    code = """
from orchestrator import flow, task
@task(log_prints=True, retries=1)
def double(x):
    print("double", x)
    return 2 * x
@flow(log_prints=True)
def main():
    print("main")
    return double.map(double.map([1, 2, 3])).result()
if __name__ == "__main__":
    assert main() == [4, 8, 12]
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment |= {"ORCHESTRATOR_TASK_RUNNER": "threads", "ORCHESTRATOR_HOME": str(home), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, timeout=60)
    assert not home.exists()


def test_waiting_for_others_occupies_no_thread(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def one_thread() -> Any:
        held = basics.hold.submit(entered, go_on)
        waiting = [basics.echo.submit(held) for _ in range(5)]
        signals.wait_for(entered)
        signals.give(go_on)
        return [future.result() for future in waiting]

    assert one_thread() == ["went on"] * 5


def test_a_flow_waits_for_its_tasks_before_it_ends() -> None:
    ended: list[int] = []
    go_on = threading.Event()

    @task
    def slow(x: int) -> None:
        go_on.wait(20)
        ended.append(x)

    @flow
    def fire_and_forget() -> str:
        slow.map(range(5))
        go_on.set()
        return "returned"

    assert fire_and_forget() == "returned"
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_cancelling_what_has_not_started(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def cancels() -> list[str]:
        held = basics.hold.submit(entered, go_on)
        signals.wait_for(entered)
        queued, parked = basics.leave.submit(str(tmp_path / "no")), basics.echo.submit(held)
        below = basics.echo.submit(queued)
        assert queued.cancel()
        assert parked.cancel()
        signals.give(go_on)
        wait([held, queued, parked, below])
        with pytest.raises(RunCancelled):
            queued.result()
        return [future.state.name for future in (held, queued, parked, below)]

    assert cancels() == ["Completed", "Cancelled", "Cancelled", "NotReady"]
    assert signals.count(tmp_path / "no") == 0


def test_an_async_flow_on_threads() -> None:
    @flow
    async def asynchronous() -> list[int]:
        futures = basics.echo_async.map(range(5))
        return [await future for future in futures]

    assert asyncio.run(asynchronous()) == [0, 1, 2, 3, 4]


def test_a_task_on_a_thread_may_submit_others() -> None:
    @task
    def submits(n: int) -> int:
        return sum(future.result() for future in basics.add.map(range(n)))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def nested() -> int:
        return submits.submit(3).result()

    assert nested() == 6


@pytest.mark.parametrize("wrong", [0, -1, "two", 1.5])
def test_sizes_that_are_wrong(wrong: Any) -> None:
    for kind in (ThreadPoolTaskRunner, ProcessPoolTaskRunner):
        with pytest.raises(ValueError, match="max_workers"):
            kind(wrong)
