"""Results are found again by the whole fleet; identical calls at the same time can be one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator import flow
from orchestrator.futures import PrefectFuture
from orchestrator.task_runners import ThreadPoolTaskRunner
from tests.support import signals
from tests.support.apps import surroundings as app
from tests.support.waiting import wait_until

APP = "tests.support.apps.surroundings"
THREADS = 4
pytestmark = pytest.mark.usefixtures("worker")
_number = iter(range(1_000_000))


@pytest.fixture
def sign(tmp_path: Path) -> str:
    return str(tmp_path / "sign")


@pytest.fixture
def x() -> int:
    """An argument that no other test uses: the cache is shared."""
    return next(_number)


@pytest.mark.smoke
def test_the_second_call_finds_the_result_of_the_first(x: int, sign: str) -> None:
    first = app.computed.submit(x, sign, return_state=True)
    second = app.computed.submit(x, sign, return_state=True)
    assert (first.name, first.result()) == ("Completed", x * 10)
    assert (second.name, second.result()) == ("Cached", x * 10)
    assert second.is_completed()
    assert signals.count(sign) == 1


def test_a_direct_call_uses_the_fleets_cache(x: int, sign: str) -> None:
    assert app.computed.submit(x, sign).result(timeout=60) == x * 10
    assert app.computed(x, sign) == x * 10
    assert signals.count(sign) == 1


def test_other_arguments_are_another_result(x: int, sign: str) -> None:
    assert app.computed.submit(x, sign).result(timeout=60) == x * 10
    other = next(_number)
    assert app.computed.submit(other, sign).result(timeout=60) == other * 10
    assert signals.count(sign) == 2


def test_an_expired_result_is_computed_again(x: int, sign: str) -> None:
    app.computed_for_a_moment.submit(x, sign).result(timeout=60)

    def computed_again() -> bool:
        app.computed_for_a_moment.submit(x, sign).result(timeout=60)
        return signals.count(sign) == 2

    wait_until(computed_again)


def test_refreshing_computes_again_and_keeps_the_new_result(x: int, sign: str) -> None:
    app.computed.submit(x, sign).result(timeout=60)
    refreshed = app.computed.with_options(refresh_cache=True).submit(x, sign, return_state=True)
    assert refreshed.name == "Completed"
    assert app.computed.submit(x, sign, return_state=True).name == "Cached"
    assert signals.count(sign) == 2


def test_a_key_function_decides(sign: str) -> None:
    values = [app.computed_by_parity.submit(x, sign).result(timeout=60) for x in (1, 2, 3, 4, 5)]
    assert values == [1, 2, 1, 2, 1]
    assert signals.count(sign) == 2


def test_failures_are_not_cached(x: int, sign: str) -> None:
    with pytest.raises(ValueError, match="the first time"):
        app.fails_first.submit(x, sign).result(timeout=60)
    assert app.fails_first.submit(x, sign).result(timeout=60) == x
    assert app.fails_first.submit(x, sign, return_state=True).name == "Cached"


def test_a_result_per_flow_run(sign: str) -> None:
    @flow
    def twice(sign: str) -> None:
        app.computed_per_flow_run.submit(sign).result()
        app.computed_per_flow_run.submit(sign).result()

    twice(sign)
    assert signals.count(sign) == 1
    twice(sign)
    assert signals.count(sign) == 2


def test_a_result_per_flow_parameters(sign: str) -> None:
    @flow
    def with_parameter(parameter: str, sign: str) -> None:
        app.computed_per_flow_parameters.submit(sign).result()

    for parameter in ("a", "b", "a"):
        with_parameter(parameter, sign)
    assert signals.count(sign) == 2


def test_an_argument_without_content_means_no_caching() -> None:
    futures = [app.takes_anything.submit(threading.Event) for _ in range(2)]
    assert [future.result(timeout=60) for future in futures] == ["computed"] * 2


@pytest.mark.parametrize("task", [app.computed_once, app.computed_once_async])
def test_identical_calls_at_once_are_one(task: object, x: int, sign: str) -> None:
    go_on = sign + "-on"
    futures: list[PrefectFuture[int]] = [task.submit(x, sign, go_on) for _ in range(4)]  # type: ignore[attr-defined]
    signals.wait_for(sign)
    wait_until(lambda: sum(future.state.is_running() for future in futures) == 1, message="the others wait, in no slot")
    signals.give(go_on)
    assert [future.result(timeout=60) for future in futures] == [x] * 4
    assert sorted(future.state.name for future in futures) == ["Cached", "Cached", "Cached", "Completed"]
    assert signals.count(sign) == 1


def test_when_the_one_that_computes_fails_another_does(x: int, sign: str) -> None:
    futures = [app.fails_once.submit(x, sign) for _ in range(4)]
    for future in futures:
        future.wait(20)
    assert sorted(future.state.name for future in futures) == ["Cached", "Cached", "Completed", "Failed"]
    assert signals.count(sign) == 2


def test_when_the_one_that_computes_is_cancelled_another_does(x: int, sign: str) -> None:
    go_on = sign + "-on"
    first = app.computed_once.submit(x, sign, go_on)
    signals.wait_for(sign)
    second = app.computed_once.submit(x, sign, go_on)
    first.cancel()
    signals.wait_for(sign, 2)
    signals.give(go_on)
    assert second.result(timeout=60) == x
    assert first.state.is_cancelled()


def test_identical_direct_calls_and_calls_on_threads_are_one_too(x: int, sign: str) -> None:
    go_on = sign + "-on"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def on_threads() -> list[int]:
        futures = [app.computed_once.submit(x, sign, go_on) for _ in range(3)]
        signals.wait_for(sign)
        signals.give(go_on)
        return [future.result(timeout=60) for future in futures]

    assert on_threads() == [x] * 3
    assert signals.count(sign) == 1


def test_a_call_on_the_fleet_waits_for_an_identical_one_that_runs_here(x: int, sign: str) -> None:
    go_on = sign + "-on"
    values: list[int] = []
    here = threading.Thread(target=lambda: values.append(app.computed_once(x, sign, go_on)))
    here.start()
    signals.wait_for(sign)
    future = app.computed_once.submit(x, sign, go_on)
    wait_until(lambda: future.state.is_scheduled(), 20, "it waits in no slot")
    signals.give(go_on)
    here.join(20)
    assert (values, future.result(timeout=60)) == ([x], x)
    assert future.state.name == "Cached"
    assert signals.count(sign) == 1


def test_a_call_here_waits_for_an_identical_one_on_the_fleet(x: int, sign: str) -> None:
    go_on = sign + "-on"
    future = app.computed_once.submit(x, sign, go_on)
    signals.wait_for(sign)
    values: list[int] = []
    here = threading.Thread(target=lambda: values.append(app.computed_once(x, sign, go_on)))
    here.start()
    here.join(0.3)
    assert here.is_alive()
    signals.give(go_on)
    here.join(20)
    assert (values, future.result(timeout=60)) == ([x], x)
    assert signals.count(sign) == 1
