"""Flow runs that wait for people: suspended without a process, or paused in it, and resumed with an input."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError, model_validator

from orchestrator import flow, pause_flow_run, resume_flow_run, suspend_flow_run
from orchestrator.client.fleet import Fleet
from orchestrator.errors import FlowPauseTimeout, NotPausedError, ObjectNotFound, ParameterTypeError
from orchestrator.input import RunInput
from orchestrator.inspection import flow_runs_of
from orchestrator.states import State
from tests.support import signals
from tests.support.apps import paused_flows as app
from tests.support.engines import Engine, StartedWorker
from tests.support.waiting import wait_until

APP = "tests.support.apps.paused_flows"
SETTINGS = {"lease_seconds": 2.5, "beat_seconds": 0.4}


@pytest.fixture
def at_work(engine: Engine, fleet: Fleet) -> Iterator[StartedWorker]:
    started = engine.start_worker(fleet.settings, APP)
    yield started
    started.stop()


def state_of(fleet: Fleet, run_id: str) -> str:
    return next((row.state_name for row in flow_runs_of(fleet, limit=1000) if row.id == run_id), "")


def wait_for_state(fleet: Fleet, run_id: str, state: str) -> None:
    wait_until(lambda: state_of(fleet, run_id) == state, 30, f"the run is {state}")


@pytest.mark.smoke
def test_a_suspended_flow_needs_no_process_and_does_nothing_twice(
    fleet: Fleet, engine: Engine, at_work: StartedWorker, tmp_path: Path
) -> None:
    future = app.asks.delay(str(tmp_path))
    wait_for_state(fleet, future.run_id, "Suspended")
    with pytest.raises(ParameterTypeError, match=r"approved.*stays Suspended"):
        resume_flow_run(future.run_id, {"approved": "perhaps"})
    with pytest.raises(ParameterTypeError, match="'approved' is missing"):
        resume_flow_run(future.run_id)
    assert state_of(fleet, future.run_id) == "Suspended"
    at_work.stop()
    other = engine.start_worker(fleet.settings, APP)
    try:
        resume_flow_run(future.run_id, {"approved": True})
        assert future.result(timeout=60) == ["FIRST", "SECOND", "THIRD", True, "well"]
    finally:
        other.stop()
    worked = {name: signals.count(tmp_path / name) for name in ("first", "second", "noted", "third")}
    assert worked == {"first": 1, "second": 1, "noted": 1, "third": 1}
    with pytest.raises(NotPausedError, match="Completed"):
        resume_flow_run(future.run_id, {"approved": True})


def test_on_an_event_loop(fleet: Fleet, worker: StartedWorker, tmp_path: Path) -> None:
    future = app.asks_on_a_loop.delay(str(tmp_path))
    wait_for_state(fleet, future.run_id, "Suspended")
    resume_flow_run(future.run_id, {"value": 3})
    assert future.result(timeout=60) == ["FIRST", "SECOND", 3]
    assert (signals.count(tmp_path / "first"), signals.count(tmp_path / "second")) == (1, 1)


def test_a_second_suspension_is_another_one(fleet: Fleet, worker: StartedWorker, tmp_path: Path) -> None:
    future = app.asks_twice.delay(str(tmp_path))
    for value in (1, 2):
        wait_for_state(fleet, future.run_id, "Suspended")
        resume_flow_run(future.run_id, {"value": value})
        if value == 1:
            signals.wait_for(tmp_path / "between")
            wait_for_state(fleet, future.run_id, "Suspended")
    assert future.result(timeout=60) == [1, 2]
    assert signals.count(tmp_path / "between") == 1


def test_one_that_nobody_resumes_in_time_fails(fleet: Fleet, worker: StartedWorker) -> None:
    future = app.asks_in_vain.delay()
    with pytest.raises(FlowPauseTimeout, match="nobody has resumed"):
        future.result(timeout=60)
    assert state_of(fleet, future.run_id) == "Failed"


def test_one_that_is_cancelled_ends(fleet: Fleet, worker: StartedWorker, tmp_path: Path) -> None:
    future = app.asks.delay(str(tmp_path))
    wait_for_state(fleet, future.run_id, "Suspended")
    assert future.cancel()
    future.wait(timeout=30)
    assert future.state.is_cancelled()
    wait_for_state(fleet, future.run_id, "Cancelled")
    assert signals.count(tmp_path / "third") == 0


def test_one_that_is_asked_to_from_outside_is_suspended_at_its_next_task(
    fleet: Fleet, worker: StartedWorker, tmp_path: Path
) -> None:
    future = app.works_on.delay(str(tmp_path))
    signals.wait_for(tmp_path / "steps")
    suspend_flow_run(flow_run_id=future.run_id)
    wait_for_state(fleet, future.run_id, "Suspended")
    signals.give(str(tmp_path / "enough"))
    resume_flow_run(future.run_id)
    assert future.result(timeout=60) == "enough"
    assert signals.count(tmp_path / "step 0") == 1


def test_a_paused_flow_waits_in_its_process(fleet: Fleet, worker: StartedWorker) -> None:
    future = app.pauses.delay()
    wait_for_state(fleet, future.run_id, "Paused")
    resume_flow_run(future.run_id, {"value": 7})
    assert future.result(timeout=60) == 7


def test_a_flow_in_its_callers_program_pauses_too(fleet: Fleet) -> None:
    names: list[str] = []
    ends: list[State[int]] = []

    @flow
    def asks_here() -> int:
        from orchestrator.runtime import flow_run

        names.append(flow_run.id or "")
        answer: int = pause_flow_run(wait_for_input=int)
        return answer

    beside = threading.Thread(target=lambda: ends.append(asks_here(return_state=True)))
    beside.start()
    wait_until(lambda: bool(names), 20)
    wait_for_state(fleet, names[0], "Paused")
    resume_flow_run(names[0], {"value": 5})
    beside.join(30)
    assert ends[0].result() == 5


class Order(RunInput):
    size: str
    colour: str

    @model_validator(mode="after")
    def _in_stock(self) -> Order:
        if (self.size, self.colour) == ("small", "green"):
            raise ValueError("green is in stock for {others} only")
        return self


def test_a_flow_asks_again_for_what_the_models_own_validator_refuses(fleet: Fleet) -> None:
    names: list[str] = []
    refused: list[ValidationError] = []
    ends: list[State[str]] = []

    @flow
    def orders() -> str:
        from orchestrator.runtime import flow_run

        names.append(flow_run.id or "")
        while True:
            try:
                order: Order = pause_flow_run(wait_for_input=Order, key=f"order {len(refused)}")
                return order.colour
            except ValidationError as error:
                refused.append(error)

    beside = threading.Thread(target=lambda: ends.append(orders(return_state=True)))
    beside.start()
    wait_until(lambda: bool(names), 20)
    wait_for_state(fleet, names[0], "Paused")
    resume_flow_run(names[0], {"size": "small", "colour": "green"})
    wait_until(lambda: bool(refused), 20)

    def resumed() -> bool:
        try:
            resume_flow_run(names[0], {"size": "small", "colour": "red"})
        except NotPausedError:  # not yet again
            return False
        return True

    wait_until(resumed, 20)
    beside.join(30)
    assert ends[0].result() == "red"
    assert "green is in stock for {others} only" in str(refused[0])
    assert "small" not in str(refused[0]) + repr(refused[0].errors())


def test_what_cannot_be_paused_or_resumed_says_why(fleet: Fleet) -> None:
    @flow
    def here() -> None:
        suspend_flow_run()

    with pytest.raises(RuntimeError, match=r"serve or deploy the flow, or send it with \.delay"):
        here()
    with pytest.raises(RuntimeError, match="in the flow itself"):
        pause_flow_run()
    with pytest.raises(RuntimeError, match="not in a task"):
        flow(lambda: app.suspends())()
    with pytest.raises(ObjectNotFound):
        resume_flow_run("0197a3f0-0000-7000-8000-000000000000")


def test_a_pause_times_out_in_its_process(fleet: Fleet) -> None:
    @flow
    def impatient() -> None:
        pause_flow_run(timeout=0.3)

    with pytest.raises(FlowPauseTimeout):
        impatient()
