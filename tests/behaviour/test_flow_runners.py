"""Flows on threads and processes of this machine: no server is needed, and none is looked for."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import allow_failure, flow, serializers, settings, tags, task
from orchestrator.client.fleet import use_fleet
from orchestrator.errors import (
    ConfigurationError,
    MissingResult,
    RunCancelled,
    SerializationError,
    UpstreamTaskError,
)
from orchestrator.futures import as_completed, wait
from orchestrator.settings import Settings
from orchestrator.submission.send import send_call  # noqa: F401 - what a call is packed with
from orchestrator.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.support import signals
from tests.support.apps import basics, endings
from tests.support.engines import ROOT
from tests.support.waiting import wait_until

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


def test_the_state_of_a_call_that_has_begun_is_running(runner: Any, tmp_path: Path) -> None:
    begun, may_end = str(tmp_path / "begun"), str(tmp_path / "may-end")

    @flow(task_runner=runner)
    def one_call() -> list[str]:
        future = basics.hold.submit(begun, may_end)
        signals.wait_for(begun)
        names = [future.state.name]
        signals.give(may_end)
        future.wait()
        return [*names, future.state.name]

    assert one_call() == ["Running", "Completed"]


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

    assert everything().result() == sum(range(1, 7)) + 100


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


@dataclasses.dataclass
class Job:
    future: Any


COPIES: dict[str, Any] = {
    "copy": copy.copy,
    "deepcopy": lambda future: copy.deepcopy([{"a": future}])[0]["a"],
    "asdict": lambda future: dataclasses.asdict(Job(future))["future"],
    "pickle": lambda future: pickle.loads(pickle.dumps(future)),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copied_future_is_a_handle_on_the_same_run(kind: str) -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def copies() -> Any:
        future = basics.echo.submit(7)
        again = COPIES[kind](future)
        return [again.result(timeout=60), basics.echo.submit({"x": again}).result(timeout=60)]

    assert copies() == [7, {"x": 7}]


def test_a_future_of_another_process_says_where_its_result_is() -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def pickled() -> Any:
        return {"p": pickle.dumps(basics.echo.submit(7))}

    packed = pickled()["p"]
    with pytest.raises(MissingResult, match=rf"by a task runner of process {os.getpid()}"):
        pickle.loads(packed)


def test_a_future_of_this_machine_is_packed_as_its_result_or_not_at_all(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "entered"), str(tmp_path / "go-on")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def packs() -> Any:
        ended, going_on = basics.echo.submit(7), basics.hold.submit(entered, go_on)
        ended.wait(20)
        packed = serializers.pack_call([{"f": ended}, allow_failure([ended])], {}, context=tuple)
        try:
            with pytest.raises(SerializationError, match="has not ended"):
                serializers.pack_call([going_on], {}, context=tuple)
        finally:
            signals.give(go_on)
        return {"packed": packed}

    packed = packs()["packed"]
    assert packed.upstreams is None
    assert serializers.unpack_call(packed.body, context=tuple, upstream_values={})[0] == [{"f": 7}, [7]]


def test_a_map_over_what_is_not_there_yet(runner: Any) -> None:
    @flow(task_runner=runner)
    def mapping() -> Any:
        numbers = basics.echo.submit([1, 2, 3])
        assert basics.add.map(numbers, basics.echo.submit([10, 20, 30])).result() == [11, 22, 33]
        assert basics.add.map(basics.add.map(numbers)).result() == [3, 4, 5]
        kinds = basics.kind_of.map(allow_failure([basics.fail.submit(), numbers]))
        assert kinds.result() == ["ValueError", "list"]
        (state,) = basics.add.map(basics.fail.submit()).states
        assert (state.type.value, state.name) == ("PENDING", "NotReady")

    mapping()


def test_a_process_that_dies_takes_its_own_call_with_it_and_no_other() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def mixed() -> list[Any]:
        first = endings.ends_its_process.submit()
        others = basics.add.map(range(6))
        second = endings.ends_its_process.submit()
        wait([first, second, *others], timeout=60)
        return [first.state, second.state, others.result(timeout=0), basics.add.submit(1).result(timeout=60)]

    first, second, others, later = mixed()
    assert first.is_crashed()
    assert second.is_crashed()
    assert "exit code 9" in first.message
    assert (others, later) == ([1, 2, 3, 4, 5, 6], 2)


def test_tags_come_along_to_every_runner(runner: Any) -> None:
    @flow(task_runner=runner)
    def tagged() -> list[str]:
        with tags("nightly"):
            return endings.own_tags.submit().result(timeout=60)

    assert tagged() == ["nightly"]


def test_a_call_that_is_cancelled_while_its_process_runs_it_does_not_go_on(tmp_path: Path) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def cancels() -> list[Any]:
        running = endings.notes_when_awake.submit(str(tmp_path))
        queued = endings.notes_when_awake.submit(str(tmp_path))
        wait_until((tmp_path / "begun").exists, 40, "it runs")
        answers = [running.cancel(), queued.cancel()]
        wait([running, queued], timeout=40)
        answers += [running.cancel(), basics.add.submit(1).result(timeout=60)]
        return [answers, running.state, queued.state]

    answers, *states = cancels()
    assert answers == [True, True, False, 2]
    assert [state.is_cancelled() for state in states] == [True, True]
    assert not (tmp_path / "ended").exists()


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_that_wait_for_calls_lend_their_thread(threads: int) -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=threads))
    def deep() -> list[int]:
        return [future.result(timeout=40) for future in endings.depth.map([7] * 4)]

    assert deep() == [7] * 4


def test_no_more_calls_run_at_once_than_there_are_threads() -> None:
    running: list[int] = []
    most: list[int] = []

    @task
    def counts(x: int) -> int:
        running.append(x)
        most.append(len(running))
        time.sleep(0.005)
        running.remove(x)
        return x

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def counted() -> list[int]:
        waits = endings.depth.submit(4)
        results = counts.map(range(30)).result(timeout=40)
        waits.result(timeout=40)
        return [*results, *counts.map(range(30)).result(timeout=40)]

    assert counted() == [*range(30), *range(30)]
    assert max(most) <= 3


def test_processes_keep_views_and_refuse_what_belongs_to_one_process() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def crosses() -> Any:
        view = basics.echo.submit([memoryview(b"x")]).result(timeout=60)
        with open(__file__) as file:
            refused = basics.echo.submit(file, return_state=True)
        lock = basics.makes_a_lock.submit(return_state=True)
        return {"found": (view, refused, lock)}

    view, refused, lock = crosses()["found"]
    assert view == [memoryview(b"x")]
    assert isinstance(view[0], memoryview)
    assert refused.is_crashed()
    assert "belongs to this process: pass its path" in str(refused.message)
    assert lock.is_failed()
    assert "the result cannot be pickled" in str(lock.message)
