"""Flows on the fleet: what they return decides how they end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Flow, allow_failure, flow, task
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunFailed, UpstreamTaskError
from orchestrator.futures import PrefectFuture, as_completed, wait
from orchestrator.runnables.annotations import quote
from orchestrator.runtime import flow_run
from orchestrator.states import Cancelled, Completed, Failed
from tests.support import signals
from tests.support.apps import basics

APP = "tests.support.apps.basics"
THREADS = 2
pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.smoke
def test_a_flow_returns_its_value() -> None:
    @flow
    def my_flow(x: int, y: int = 2) -> int:
        """Adds."""
        return basics.add.submit(x, y).result()

    assert my_flow(1) == 3
    assert (my_flow.name, my_flow.description) == ("my-flow", "Adds.")
    state = my_flow(1, y=5, return_state=True)
    assert (state.name, state.result(), state.run_count) == ("Completed", 6, 1)
    assert state.flow_run_id is not None


@pytest.mark.parametrize(
    ("returned", "name"),
    [
        (lambda: basics.add.submit(1), "Completed"),
        (lambda: [basics.add.submit(1), basics.add.submit(2)], "Completed"),
        (lambda: basics.add.map([1, 2]), "Completed"),
        (lambda: basics.fail.submit(), "Failed"),
        (lambda: [basics.add.submit(1), basics.fail.submit()], "Failed"),
        (lambda: basics.echo.submit(basics.fail.submit()), "NotReady"),
        (lambda: (Completed(), Failed(message="x")), "Failed"),
        (lambda: [Completed(), Cancelled()], "Cancelled"),
        (lambda: Failed(message="own choice"), "Failed"),
        (lambda: Completed(data=5), "Completed"),
        (lambda: [basics.fail.submit(), "something else"], "Completed"),
        (lambda: [basics.add.map([1]), [[basics.fail.submit()]]], "Failed"),
        (lambda: {"good": basics.add.submit(1), "bad": basics.fail.submit()}, "Failed"),
        (lambda: ({"bad": (basics.fail.submit(),)}, []), "Failed"),
        (lambda: [[Completed()], [Failed()]], "Failed"),
        (lambda: {"looked at": Failed()}, "Completed"),
        (lambda: quote(Failed()), "Completed"),
        (list, "Completed"),
        (lambda: basics.fail.submit() and None, "Completed"),
    ],
)
def test_what_a_flow_returns_decides_how_it_ends(returned: Any, name: str) -> None:
    @flow
    def chooses() -> Any:
        return returned()

    state = chooses(return_state=True)
    assert state.name == name or (name == "NotReady" and state.is_failed()), state


def test_results_of_returned_futures() -> None:
    @flow
    def futures() -> Any:
        return [basics.add.submit(1), basics.add.submit(2)]

    @flow
    def failing() -> Any:
        return [basics.add.submit(1), basics.fail.submit("one of two"), basics.fail.submit()]

    @flow
    def single() -> Any:
        return basics.add.submit(1)

    @flow
    def mixed() -> Any:
        return {"sum": basics.add.submit(1), "n": 3}

    def shown(states: Any) -> list[Any]:
        return [(state.name, state.result()) for state in states]

    assert shown(futures()) == [("Completed", 2), ("Completed", 3)]
    assert shown([single()]) == [("Completed", 2)]
    answer = mixed()
    assert (shown([answer["sum"]]), answer["n"]) == ([("Completed", 2)], 3)
    with pytest.raises(ValueError, match="one of two"):
        failing()
    assert failing(return_state=True).message == "2 of 3 states failed"


def test_an_exception_fails_the_flow() -> None:
    @flow
    def breaks() -> None:
        raise LookupError("in the flow")

    with pytest.raises(LookupError, match="in the flow"):
        breaks()
    state = breaks(return_state=True)
    assert state.is_failed()
    assert "in the flow" in (state.message or "")


def test_a_failed_task_that_nobody_asks_for_does_not_fail_the_flow() -> None:
    @flow
    def careless() -> str:
        basics.fail.submit().wait()
        basics.fail.submit()
        return "fine"

    assert careless() == "fine"


def test_a_result_that_failed_fails_the_flow_unless_it_is_caught() -> None:
    @flow
    def asks() -> None:
        basics.fail.submit("asked for").result()

    @flow
    def catches() -> str:
        try:
            basics.fail.submit("caught").result()
        except ValueError as error:
            return str(error)
        return "?"

    with pytest.raises(ValueError, match="asked for"):
        asks()
    assert catches() == "caught"


def test_nested_flows() -> None:
    @flow
    def inner(x: int) -> tuple[int, str | None]:
        return basics.add.submit(x).result(), flow_run.id

    @flow
    def outer() -> Any:
        first, second = inner(1), inner(basics.add.submit(1))
        failed = broken(return_state=True)
        return first[0], second[0], len({first[1], second[1], flow_run.id}), failed.is_failed()

    @flow
    def broken() -> None:
        raise ValueError

    assert outer() == (2, 3, 3, True)


def test_a_flow_waits_for_futures_among_its_arguments() -> None:
    @flow
    def takes(values: Any) -> Any:
        return values

    assert takes([basics.add.submit(1), {"x": basics.add.submit(2)}]) == [2, {"x": 3}]
    with pytest.raises(UpstreamTaskError):
        takes(basics.fail.submit())
    assert isinstance(takes(allow_failure(basics.fail.submit())), ValueError)
    assert takes(1, wait_for=[basics.add.submit(1)]) == 1


def test_an_async_flow() -> None:
    @flow
    async def asynchronous(n: int) -> int:
        futures = basics.echo_async.map(range(n))
        total = sum([await future for future in futures])
        return total + await basics.echo_async(1) + basics.add.submit(1).result()

    @flow
    async def returns_futures() -> Any:
        return [basics.add.submit(1), basics.fail.submit("async")]

    assert asyncio.run(asynchronous(5)) == 13
    assert asyncio.run(asynchronous(5, return_state=True)).name == "Completed"
    with pytest.raises(ValueError, match="async"):
        asyncio.run(returns_futures())


def test_many_async_flows_side_by_side() -> None:
    @flow
    async def one(n: int) -> tuple[int, str | None]:
        run_id = flow_run.id
        value = await basics.add.submit(n)
        assert flow_run.id == run_id
        return value, run_id

    async def main() -> list[Any]:
        return await asyncio.gather(*(one(n) for n in range(10)))

    results = asyncio.run(main())
    assert [value for value, _ in results] == list(range(1, 11))
    assert len({run_id for _, run_id in results}) == 10


def test_a_generator_flow_and_a_method_as_a_flow() -> None:
    @flow
    def numbers(n: int) -> Any:
        yield from range(n)

    class Office:
        def __init__(self, base: int) -> None:
            self.base = base

        @flow
        def run(self, x: int) -> int:
            return basics.add.submit(self.base, x).result()

    assert list(numbers(3)) == [0, 1, 2]
    assert Office(10).run(5) == 15


def test_fan_out_and_in() -> None:
    @flow
    def fan(n: int) -> int:
        squares = basics.total.map(basics.add.map(range(n)), range(n))
        done, not_done = wait(squares, timeout=60)
        assert not not_done
        assert {future.run_id for future in as_completed(squares)} == {future.run_id for future in done}
        return basics.total.submit(*squares).result()

    assert fan(40) == sum(2 * n + 1 for n in range(40))


def test_everything_submitted_in_a_flow_is_sent_when_it_ends(fleet: Fleet, tmp_path: Path) -> None:
    sign = str(tmp_path / "sign")

    @flow
    def fire_and_forget() -> list[PrefectFuture[None]]:
        kept.extend(basics.leave.submit(sign) for _ in range(200))
        return []

    kept: list[PrefectFuture[None]] = []
    fire_and_forget()
    assert all(record.status != b"?" for record in fleet.broker.records.read([future.run_id for future in kept]))
    signals.wait_for(sign, 200)


def test_the_store_knows_how_a_flow_run_ended(fleet: Fleet) -> None:
    @flow(flow_run_name="noted")
    def noted() -> str | None:
        basics.add.submit(1).result()
        return flow_run.id

    run_id = noted()
    assert run_id is not None
    record = fleet.broker.flow_runs.read(run_id)
    assert (record["flow"], record["name"], record["type"]) == (b"noted", b"noted", b"COMPLETED")


def test_a_flow_that_raises_no_exception_but_a_failed_state() -> None:
    @flow
    def chooses() -> Any:
        return Failed(message="own choice")

    assert isinstance(chooses, Flow)
    with pytest.raises(RunFailed, match="own choice"):
        chooses()


def test_a_task_defined_inside_a_flow_needs_no_worker_when_called_directly() -> None:
    @flow
    def direct() -> int:
        @task
        def local(x: int) -> int:
            return x + 1

        return local(1)

    assert direct() == 2
