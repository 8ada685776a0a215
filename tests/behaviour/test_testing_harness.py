"""The harness for users' tests: a private fleet, and no fleet at all."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brokers.embedded.binary import find_server_binary
from brokers.errors import EmbeddedServerError
from brokers.private_server import status
from orchestrator import PrefectFuture, allow_failure, flow, get_run_logger, settings, task
from orchestrator.cache_policies import INPUTS
from orchestrator.client import fleet
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerUnavailable, SerializationError, UpstreamTaskError
from orchestrator.observability.run_logs import read_logs
from orchestrator.runtime import task_run
from orchestrator.states import Failed
from orchestrator.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from orchestrator.testing import inline, orchestrator_test_harness, private_fleet
from tests.conftest import skip_without

PROJECT = Path(__file__).parents[2]


@task
def double(x: int) -> int:
    return 2 * x


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def where() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@task
def fail(text: str) -> None:
    raise ValueError(text)


@task
async def double_async(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def kind_of(value: object) -> str:
    return type(value).__name__


@flow
def sum_of_doubles(numbers: list[int]) -> int:
    return total.submit(double.map(numbers)).result()


@pytest.fixture(autouse=True)
def _the_process_is_as_it_was() -> Iterator[None]:
    before = _what_belongs_to_the_process()
    yield
    assert _what_belongs_to_the_process() == before


def _what_belongs_to_the_process() -> tuple[object, ...]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return fleet._current, settings._current, variables


# -- without a server ------------------------------------------------------------------------------------------------


class TestInline:
    @pytest.fixture(autouse=True)
    def _inline(self) -> Iterator[None]:
        with inline() as self.fleet:
            yield

    def test_a_submitted_call_has_run_in_this_thread_when_submit_returns(self) -> None:
        future = where.submit()
        assert future.settled
        assert future.result() == (os.getpid(), threading.get_ident())

    def test_a_flow_runs_its_calls_too(self) -> None:
        assert sum_of_doubles([1, 2, 3]) == 12

    @pytest.mark.parametrize("runner", [ThreadPoolTaskRunner, ProcessPoolTaskRunner(max_workers=1)])
    def test_a_flow_that_asks_for_threads_or_processes_runs_here_as_well(self, runner: object) -> None:
        @flow(task_runner=runner)  # type: ignore[arg-type]
        def asks() -> object:
            return where.submit().result()

        assert asks() == (os.getpid(), threading.get_ident())

    def test_a_delayed_call_is_found_by_its_id(self) -> None:
        run_id = double.delay(21).task_run_id
        assert PrefectFuture(run_id).result() == 42
        assert PrefectFuture(str(run_id)).state.is_completed()

    def test_countdowns_are_skipped(self) -> None:
        assert double.apply_async([1], countdown=3600).result() == 2
        assert double.apply_async([1], eta=datetime.now(UTC) + timedelta(days=1)).result() == 2

    def test_an_idempotency_key_is_used_once(self) -> None:
        first, second = (double.apply_async([x], idempotency_key="order-1") for x in (1, 2))
        assert first == second
        assert second.result() == 2

    def test_delays_of_retries_are_skipped_wherever_they_would_be_slept(self) -> None:
        seen: list[tuple[str, int]] = []

        @task(retries=2, retry_delay_seconds=3600)
        def third_time_lucky(how: str) -> str:
            seen.append((how, task_run.run_count))
            if task_run.run_count < 3:
                raise OSError("again")
            return how

        @flow(retries=1, retry_delay_seconds=3600)
        def again() -> str:
            seen.append(("flow", 0))
            if seen.count(("flow", 0)) < 2:
                raise OSError("again")
            return third_time_lucky.submit("submitted").result()

        assert third_time_lucky("called") == "called"
        assert again() == "submitted"
        assert seen == [*(("called", n) for n in (1, 2, 3)), *[("flow", 0)] * 2, *(("submitted", n) for n in (1, 2, 3))]
        assert third_time_lucky.submit("x").state.run_count == 3

    def test_an_error_comes_back_as_itself(self) -> None:
        future = fail.submit("no")
        with pytest.raises(ValueError, match=r"^no$"):
            future.result()
        assert future.state.is_failed()

    def test_a_call_whose_upstream_failed_does_not_run_unless_it_says_so(self) -> None:
        failed = fail.submit("no")
        blocked = kind_of.submit(failed)
        assert blocked.state.name == "NotReady"
        with pytest.raises(UpstreamTaskError, match=str(failed.task_run_id)):
            blocked.result()
        assert kind_of.submit(blocked).state.name == "NotReady"
        assert kind_of.submit(allow_failure(failed)).result() == "ValueError"
        assert kind_of.submit(1, wait_for=[failed]).state.name == "NotReady"

    def test_tasks_submit_further_tasks(self) -> None:
        @task
        def outer(x: int) -> int:
            return double.submit(double.submit(x)).result() + task_run.run_count

        assert outer.submit(1).result() == 5

    def test_results_are_cached_in_memory_for_this_test_only(self) -> None:
        calls: list[int] = []

        @task(cache_policy=INPUTS)
        def slow(x: int) -> int:
            calls.append(x)
            return x

        states = [slow.submit(1).state.name, slow.delay(1).state.name, slow(1, return_state=True).name]
        assert states == ["Completed", "Cached", "Cached"]
        with inline():
            assert slow.submit(1).state.name == "Completed"
        assert calls == [1, 1]

    def test_an_expired_result_is_computed_again(self) -> None:
        @task(cache_policy=INPUTS, cache_expiration=timedelta(microseconds=1))
        def slow(x: int) -> int:
            return x

        assert [slow.submit(1).state.name, slow.submit(1).state.name] == ["Completed", "Completed"]

    def test_hooks_are_called(self) -> None:
        heard: list[str] = []

        @task(on_completion=[lambda task, run, state: heard.append(state.name)])
        def quiet() -> None: ...

        quiet.delay()
        assert heard == ["Completed"]

    def test_log_lines_are_kept(self) -> None:
        @task(log_prints=True)
        def talk() -> None:
            get_run_logger().warning("careful")
            print("printed")

        future = talk.submit()
        assert [line[1:] for line in read_logs(future.run_id)] == [("WARNING", "careful"), ("INFO", "printed")]

    def test_what_could_not_travel_fails_here_too(self) -> None:
        with pytest.raises(SerializationError, match="lock"):
            kind_of.delay(threading.Lock())
        result = task(lambda: threading.Lock()).submit()
        assert result.state.is_failed()

    def test_a_task_gets_copies_and_nothing_of_the_callers_context(self) -> None:
        mine: ContextVar[str] = ContextVar("mine", default="unset")
        mine.set("caller")
        numbers = [1, 2]

        @task
        def spoil(given: list[int]) -> str:
            given.clear()
            return mine.get()

        assert spoil.submit(numbers).result() == "unset"
        assert numbers == [1, 2]

    def test_local_classes_and_functions_travel(self) -> None:
        class Point:
            x = 3

        assert task(lambda make: make().x).submit(Point).result() == 3

    def test_a_returned_state_is_the_end(self) -> None:
        assert task(lambda: Failed(message="my choice")).submit().state.message == "my choice"

    def test_async_tasks_run_without_a_loop_and_inside_one(self) -> None:
        async def inside() -> tuple[int, ...]:
            submitted = await double_async.asubmit(1)
            delayed = await double.adelay(2)
            return await submitted, await delayed, double_async.submit(3).result(), await double_async(4)

        assert double_async.submit(5).result() == 10
        assert asyncio.run(inside()) == (2, 4, 6, 8)

    def test_an_async_flow(self) -> None:
        @flow
        async def asks() -> int:
            futures = double_async.map([1, 2])
            return sum([await future for future in futures]) + double.submit(double_async.submit(1)).result()

        assert asyncio.run(asks()) == 10

    def test_what_was_sent_can_be_looked_at(self) -> None:
        double.delay(1)
        fail.delay("no")
        runs = [(run.task_key.rpartition(".")[2], run.state.name) for run in self.fleet.runs]
        assert runs == [("double", "Completed"), ("fail", "Failed")]

    def test_nothing_is_connected_to(self) -> None:
        assert current_fleet().embedded is None
        with pytest.raises(BrokerUnavailable, match="private_fleet"):
            current_fleet().broker.dead_letters.newest()
        with pytest.raises(BrokerUnavailable, match="private_fleet"):
            current_fleet().broker.queues.purge("default")


def test_settings_can_be_given_inline() -> None:
    with inline(task_default_retries=2):
        assert fail.submit("no").state.run_count == 3


# -- with a server of one's own --------------------------------------------------------------------------------------


@pytest.fixture
def _a_server_binary_is_here() -> None:
    try:
        find_server_binary()
    except EmbeddedServerError as error:
        skip_without(str(error))


@pytest.mark.needs_server
@pytest.mark.usefixtures("_a_server_binary_is_here")
class TestPrivateFleet:
    def test_everything_runs_in_this_process_and_nothing_is_left(self) -> None:
        with private_fleet() as here:
            home = here.home
            assert os.environ["ORCHESTRATOR_HOME"] == str(home)
            assert where.submit().result()[0] == os.getpid()
            assert where.delay().result()[0] == os.getpid()
            assert sum_of_doubles([1, 2, 3]) == 12
            assert status(home) is not None
        assert status(home) is None
        assert not home.exists()

    def test_a_queue_of_any_name_is_served_also_for_tasks_defined_here(self) -> None:
        with private_fleet():

            @task(queue="letters")
            async def late() -> str:
                return "here"

            assert late.delay().result(timeout=60) == "here"
            assert double.apply_async([1], queue="numbers").result(timeout=60) == 2

    def test_settings_hold_inside_and_are_gone_afterwards(self) -> None:
        with private_fleet(namespace="mine", task_default_retries=1) as here:
            assert (here.settings.namespace, os.environ["ORCHESTRATOR_NAMESPACE"]) == ("mine", "mine")
            future = fail.submit("no")
            future.wait()
            assert future.state.run_count == 2

    def test_what_stood_in_the_environment_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1")
            with private_fleet():
                assert double.submit(1).result() == 2
            assert os.environ["ORCHESTRATOR_REDIS_URL"] == "redis://127.0.0.1:1"

    def test_blocks_can_be_nested(self) -> None:
        with private_fleet() as outer:
            future = double.delay(1)
            future.wait()
            with private_fleet(home=outer.home, namespace="inner"):
                assert PrefectFuture(future.task_run_id).state.name == "Lost"
                with inline():
                    assert double.delay(2).result() == 4
                assert double.delay(3).result() == 6
            assert PrefectFuture(future.task_run_id).result() == 2
            assert double.delay(4).result() == 8

    def test_a_program_started_inside_uses_the_same_fleet(self) -> None:
        with private_fleet():
            future = double.delay(1)
            future.wait()
            program = "import sys; from orchestrator import PrefectFuture; print(PrefectFuture(sys.argv[1]).result())"
            command = [sys.executable, "-c", program, future.run_id]
            ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
            assert (ran.stdout, ran.returncode) == ("2\n", 0), ran.stderr

    def test_it_is_cleaned_up_after_an_error(self) -> None:
        with pytest.raises(KeyError), private_fleet() as here:
            raise KeyError
        assert not here.home.exists()

    def test_as_prefects_users_know_it(self) -> None:
        from orchestrator.testing.utilities import prefect_test_harness

        assert prefect_test_harness is orchestrator_test_harness
        with prefect_test_harness(server_startup_timeout=60):
            assert sum_of_doubles([1]) == 2


# -- what the documentation says -------------------------------------------------------------------------------------


@pytest.mark.needs_server
@pytest.mark.usefixtures("_a_server_binary_is_here")
def test_the_files_in_the_documentation_are_a_project_whose_tests_pass_under_xdist(tmp_path: Path) -> None:
    """Each code block names its file in its first line."""
    text = (PROJECT / "docs" / "testing.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == text.count("```python")
    for name, code in blocks:
        (tmp_path / name).write_text(code, "utf-8")
    tests = sum(len(re.findall(r"^(?:async )?def test_", code, re.MULTILINE)) for _, code in blocks)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(PROJECT)
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{tests} passed" in ran.stdout
