"""Handles: ask, wait, get, cancel, hand on to another process."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.errors import RunCancelled, RunLost
from orchestrator.futures import (
    PrefectFuture,
    as_completed,
    resolve_futures_to_states,
    wait,
)
from tests.support import signals
from tests.support.apps import basics
from tests.support.engines import ROOT, environment_of
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
pytestmark = pytest.mark.usefixtures("worker")


class Held:
    """A call that runs until it is let go."""

    def __init__(self, folder: Path) -> None:
        name = uuid.uuid4().hex
        self.entered, self.go_on = str(folder / f"{name}-in"), str(folder / f"{name}-on")
        self.future = basics.hold.submit(self.entered, self.go_on)
        signals.wait_for(self.entered)

    def let_go(self) -> None:
        signals.give(self.go_on)


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def test_a_wait_that_is_too_short_raises_nothing(held: Held) -> None:
    held.future.wait(timeout=0.05)
    held.future.wait(timeout=0)
    assert not held.future.settled
    held.let_go()
    held.future.wait(timeout=20)
    assert held.future.result() == "went on"


def test_a_result_that_does_not_come_in_time_is_a_timeout_and_the_run_goes_on(held: Held) -> None:
    with pytest.raises(TimeoutError, match="goes on"):
        held.future.result(timeout=0.05)
    wait_until(lambda: held.future.state.is_running(), message="noted as running")
    held.let_go()
    assert held.future.result(timeout=60) == "went on"


@pytest.mark.smoke
def test_a_failure_is_raised_or_returned() -> None:
    future = basics.fail.submit("broken")
    with pytest.raises(ValueError, match="broken"):
        future.result(timeout=60)
    error = future.result(raise_on_failure=False)
    assert isinstance(error, ValueError)
    assert future.state.is_failed()


@pytest.mark.smoke
def test_callbacks_are_called_when_the_run_ends_and_at_once_afterwards(held: Held) -> None:
    called: list[str] = []
    ended = threading.Event()
    held.future.add_done_callback(lambda future: called.append(future.result()))
    held.future.add_done_callback(lambda future: 1 / 0)
    held.future.add_done_callback(lambda future: ended.set())
    assert called == []
    held.let_go()
    assert ended.wait(20)
    assert called == ["went on"]
    held.future.add_done_callback(lambda future: called.append("at once"))
    assert called == ["went on", "at once"]


def test_a_callback_alone_makes_a_handle_learn_its_end() -> None:
    ended = threading.Event()
    PrefectFuture(basics.add.delay(1).run_id).add_done_callback(lambda future: ended.set())
    assert ended.wait(20)


def test_awaiting() -> None:
    async def main() -> list[int]:
        futures = [basics.add.submit(n) for n in range(10)]
        first = await futures[0]
        return [first, *await asyncio.gather(*futures[1:])]

    assert asyncio.run(main()) == list(range(1, 11))
    with pytest.raises(ValueError, match="as it should"):
        asyncio.run(_await_failure())


async def _await_failure() -> None:
    await basics.fail.delay()


def test_awaiting_can_be_given_up(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    async def give_up() -> None:
        await asyncio.wait_for(held.future, 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    held.let_go()
    assert held.future.result(timeout=60) == "went on"
    assert "callback" not in caplog.text


def test_polling_with_new_handles_keeps_none_of_them(held: Held) -> None:
    run_id = held.future.run_id
    for _ in range(5):
        PrefectFuture(run_id).wait(0.01)
        with pytest.raises(TimeoutError):
            next(as_completed([PrefectFuture(run_id)], timeout=0.01))
    assert not current_fleet().open_futures._also_open.get(run_id)
    last = PrefectFuture(run_id)
    last.wait(0.01)
    held.let_go()
    assert last.result(timeout=60) == "went on"


def test_cancelling_what_runs(held: Held, tmp_path: Path) -> None:
    assert held.future.cancel()
    with pytest.raises(RunCancelled):
        held.future.result(timeout=60)
    assert held.future.state.is_cancelled()
    assert not held.future.cancel()


def test_cancelling_an_async_task_that_runs(tmp_path: Path) -> None:
    future = basics.hold_async.submit(str(tmp_path / "in"), str(tmp_path / "on"))
    signals.wait_for(tmp_path / "in")
    assert future.cancel()
    with pytest.raises(RunCancelled):
        future.result(timeout=60)


def test_cancelling_what_waits(tmp_path: Path) -> None:
    later = basics.leave.apply_async((str(tmp_path / "sign"),), countdown=60)
    after = basics.echo.submit(later)
    assert later.cancel()
    with pytest.raises(RunCancelled):
        later.result(timeout=60)
    assert after.state.name == "NotReady"
    assert signals.count(tmp_path / "sign") == 0


def test_cancelling_what_has_ended_is_too_late() -> None:
    future = basics.add.submit(1)
    future.result(timeout=60)
    assert not future.cancel()
    assert not PrefectFuture(future.run_id).cancel()
    assert not PrefectFuture(uuid.uuid4()).cancel()


def test_a_handle_can_be_pickled() -> None:
    future = basics.add.submit(1)
    copy = pickle.loads(pickle.dumps(future))
    assert copy == future
    assert hash(copy) == hash(future)
    assert copy.result(timeout=60) == 2


def test_several_handles_on_a_run_learn_its_end(held: Held) -> None:
    copies = [PrefectFuture(held.future.run_id) for _ in range(3)]
    threads = [threading.Thread(target=copy.wait, args=(20,)) for copy in copies]
    for thread in threads:
        thread.start()
    held.let_go()
    for thread in threads:
        thread.join(20)
    assert [copy.result() for copy in copies] == ["went on"] * 3


def test_another_process_gets_the_result_by_its_id(held: Held, fleet: Fleet) -> None:
    code = (
        "import sys; from orchestrator.futures import PrefectFuture\n"
        "print('asking', flush=True); print(PrefectFuture(sys.argv[1]).result(timeout=60))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, held.future.run_id],
        stdout=subprocess.PIPE,
        text=True,
        env=environment_of(fleet.settings),
        cwd=ROOT,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "asking\n"
    held.let_go()
    assert other.communicate(timeout=30)[0] == "went on\n"


def test_an_id_that_is_none() -> None:
    with pytest.raises(ValueError, match="UUID"):
        PrefectFuture("not an id")


def test_a_run_that_nobody_knows_is_lost_and_not_waited_for() -> None:
    future = PrefectFuture(uuid.uuid4())
    with pytest.raises(RunLost):
        future.result(timeout=60)
    assert future.state.name == "Lost"


def test_wait_tells_what_is_done(held: Held) -> None:
    done = basics.add.submit(1)
    done.wait(20)
    result = wait([done, held.future], timeout=0.05)
    assert (result.done, result.not_done) == ({done}, {held.future})
    held.let_go()
    finished, open_ = wait([done, held.future], timeout=20)
    assert (finished, open_) == ({done, held.future}, set())
    with pytest.raises(ValueError, match="no time to wait"):
        wait([done], timeout=-1)


def test_as_completed_gives_them_in_the_order_of_their_ends(held: Held) -> None:
    quick = basics.add.submit(1)
    iterator = as_completed([held.future, quick, quick], timeout=20)
    assert next(iterator) is quick
    held.let_go()
    assert list(iterator) == [held.future]
    assert list(as_completed([])) == []


def test_as_completed_tells_how_many_are_left(held: Held) -> None:
    quick = basics.add.submit(1)
    with pytest.raises(TimeoutError, match="1 of 2"):
        list(as_completed([held.future, quick], timeout=1))
    held.let_go()


def test_a_list_of_handles_fails_fast(tmp_path: Path) -> None:
    from orchestrator.futures import PrefectFutureList

    held = Held(tmp_path)
    futures = PrefectFutureList([held.future, basics.fail.submit("fast"), basics.add.submit(1)])
    with pytest.raises(ValueError, match="fast"):
        futures.result(timeout=60)
    assert not held.future.settled
    futures[2].wait(timeout=20)
    with pytest.raises(TimeoutError, match="1 of 3"):
        futures.result(timeout=0.05, raise_on_failure=False)
    held.let_go()
    results = futures.result(timeout=20, raise_on_failure=False)
    assert (results[0], type(results[1]), results[2]) == ("went on", ValueError, 2)
    futures.wait()


def test_resolving_futures_inside_collections() -> None:
    states = resolve_futures_to_states({"a": [basics.add.submit(1)], "b": (basics.fail.submit(), 7)})
    assert states["a"][0].result() == 2
    assert states["b"][0].is_failed()
    assert states["b"][1] == 7


def test_a_thousand_handles_cost_one_connection() -> None:
    def connections() -> int:
        files = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
        return sum(os.readlink(file).startswith("socket:") for file in files if file.is_symlink())

    basics.add.submit(1).result(timeout=60)
    before = connections()
    futures = [PrefectFuture(basics.add.delay(n).run_id) for n in range(20)]
    futures += [PrefectFuture(future.run_id) for future in basics.add.map(range(1000))]
    results = [future.result(timeout=60) for future in futures]
    assert sorted(results) == sorted([*range(1, 21), *range(1, 1001)])
    assert connections() <= before + 1


def test_a_replayed_run_whose_second_end_came_before_its_handle_was_reopened_is_found(fleet: Fleet) -> None:
    future = basics.fail.delay("first life")
    with pytest.raises(ValueError, match="first life"):
        future.result(timeout=60)
    assert fleet.broker.runs.replay([future.run_id]) == [future.run_id]
    wait_until(lambda: fleet.broker.records.read([future.run_id])[0].status == Status.FAILED)
    future.reopen()
    with pytest.raises(ValueError, match="first life"):
        future.result(timeout=60)
