"""A process that was killed in a transaction: the next delivery, or whoever ends the run, rolls back first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from tests.support import signals
from tests.support.apps import killed_transactions as app
from tests.support.engines import Engine, StartedWorker
from tests.support.waiting import wait_until

SETTINGS = {"lease_seconds": 3.5, "beat_seconds": 0.4, "max_deliveries": 3}
SECONDS = 60.0
DONE = ["first", "second", "third"]


class Workers:
    """A worker at a time: another one is started when it has died with its call (one of Celery starts its child)."""

    def __init__(self, engine: Engine, fleet: Fleet) -> None:
        self._engine, self._fleet = engine, fleet
        self._started: list[StartedWorker] = []

    def keep_one(self) -> None:
        if not self._started or self._started[-1].process.poll() is not None:
            self._started.append(self._engine.start_worker(self._fleet.settings, app.__name__))

    def until(self, condition: Any, what: str) -> None:
        def met() -> bool:
            self.keep_one()
            return bool(condition())

        wait_until(met, SECONDS, what)

    def result_of(self, future: PrefectFuture[Any]) -> Any:
        self.until(lambda: future.wait(timeout=0.2) or future.settled, "the end of the run")
        return future.result(timeout=1)

    def close(self) -> None:
        for worker in self._started:
            worker.stop()  # the next test's calls are in the same queue: one that is stopping may take them along


@pytest.fixture
def workers(engine: Engine, fleet: Fleet) -> Iterator[Workers]:
    made = Workers(engine, fleet)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def kill_at(folder: str, *moments: str) -> None:
    for moment in moments:
        Path(folder, f"kill-{moment}").touch()


def nothing_left(fleet: Fleet, future: PrefectFuture[Any]) -> bool:
    return not fleet.broker.undo_logs.read(future.run_id)


UNDONE = ["second after", "fails", "first after"]


@pytest.mark.parametrize("runs", [app.three, app.three_on_a_loop, app.opens], ids=lambda runs: runs.name)
def test_killed_after_the_second_of_three_tasks(runs: Any, fleet: Fleet, workers: Workers, folder: str) -> None:
    kill_at(folder, "third")
    future = runs.delay(folder)
    assert workers.result_of(future) == DONE
    assert [line for line in app.said(folder) if line != "committed"] == UNDONE, "each once, the newest first"
    assert signals.count(f"{folder}/first") == 2, "undone, then done again"
    assert nothing_left(fleet, future)


@pytest.mark.smoke
def test_killed_while_it_is_rolled_back(fleet: Fleet, workers: Workers, folder: str) -> None:
    kill_at(folder, "third", "undoing-first")
    future = app.three.delay(folder)
    assert workers.result_of(future) == DONE
    assert app.said(folder) == [*UNDONE, "first after", "committed"], "what was called is not called again"
    assert nothing_left(fleet, future)


def test_killed_after_the_commit_nothing_is_undone(fleet: Fleet, workers: Workers, folder: str) -> None:
    kill_at(folder, "committed")
    future = app.three.delay(folder)
    assert workers.result_of(future) == DONE
    assert app.said(folder) == ["committed", "committed"]
    assert nothing_left(fleet, future)


def test_what_has_committed_by_itself_stays(workers: Workers, folder: str) -> None:
    kill_at(folder, "third")
    assert workers.result_of(app.in_parts.delay(folder)) == ["third"]
    assert app.said(folder) == ["second inner", "fails"]


def test_calls_that_workers_had_run_are_undone(workers: Workers, folder: str) -> None:
    kill_at(folder, "third")
    assert workers.result_of(app.with_calls.delay(folder)) == ["third"]
    assert app.said(folder) == ["sent", "sent", "first None"]
    assert signals.count(f"{folder}/sent") == 4


def test_calls_of_a_map_are_rolled_back_each_for_itself(workers: Workers, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for one in folders:
        one.mkdir()
    kill_at(str(folders[0]), "third")
    for future in app.opens.map([str(one) for one in folders]):
        assert workers.result_of(future) == DONE
    assert app.said(str(folders[0])) == UNDONE
    earlier = ["second before", "fails", "first before"]
    for one in folders[1:]:  # they may have died with it, wherever they were
        assert app.said(str(one)) in ([], earlier[-1:], earlier, UNDONE)


def test_hooks_that_were_staged_by_hand(workers: Workers, folder: str) -> None:
    kill_at(folder, "third")
    assert workers.result_of(app.stages.delay(folder)) is None
    assert app.said(folder) == ["by hand"]


def test_a_run_that_is_given_up_is_rolled_back_in_another_process(fleet: Fleet, workers: Workers, folder: str) -> None:
    kill_at(folder, "third")
    Path(folder, "wait-third").touch()
    future = app.opens_once.delay(folder)
    workers.until(lambda: fleet.broker.records.read([future.run_id])[0].status == Status.RUNNING, "it is known to run")
    Path(folder, "wait-third").unlink()
    workers.until(lambda: nothing_left(fleet, future) and len(app.said(folder)) == 3, "the roll-back")
    assert app.said(folder) == UNDONE
    future.wait(timeout=SECONDS)
    assert future.state.is_crashed()
    wait_until(lambda: not fleet.broker.deliveries.killed(), SECONDS, "nothing left to be sent for")


def test_a_flow_run_that_is_given_up_is_rolled_back_before_its_hooks(
    engine: Engine, fleet: Fleet, workers: Workers, folder: str
) -> None:
    if engine.name != "redis":
        pytest.skip("it takes several crashes; how runs are given up is the store's matter")
    Path(folder, "always-kill-third").touch()
    future = app.three_with_a_hook.delay(folder)
    workers.until(lambda: "Crashed" in app.said(folder), "the hook")
    said = app.said(folder)
    assert said == UNDONE * (len(said) // 3) + ["Crashed"], "rolled back after each crash, and then given up"
    assert nothing_left(fleet, future)


def test_without_anything_to_undo_nothing_is_written(fleet: Fleet, workers: Workers, folder: str) -> None:
    future = app.plain.delay(folder)
    assert workers.result_of(future) == "first"
    assert nothing_left(fleet, future)
