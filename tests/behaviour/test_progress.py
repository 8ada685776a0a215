"""How far runs have come, told by tasks on a worker and read elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import progress
from orchestrator.client.fleet import Fleet
from tests.support.apps import progressing
from tests.support.engines import StartedWorker
from tests.support.waiting import wait_until

APP = "tests.support.apps.progressing"
pytestmark = [pytest.mark.behaviour, pytest.mark.engine, pytest.mark.usefixtures("worker")]


@pytest.mark.smoke
def test_it_is_seen_while_the_run_goes_on_and_its_last_value_after_the_end(fleet: Fleet, tmp_path: Path) -> None:
    future = progressing.step.delay(str(tmp_path), 3)
    assert progress.of(future.run_id) is None
    (tmp_path / "step-1").touch()
    wait_until(lambda: progress.of(future.run_id), 40)
    seen = progress.of(future.task_run_id)
    assert seen is not None
    assert (seen.done, seen.total, seen.note, round(seen.fraction or 0, 2)) == (1, 3, "step 1", 0.33)
    (tmp_path / "step-2").touch()
    (tmp_path / "step-3").touch()
    assert future.result(timeout=40) == 3
    last = progress.of(future.run_id)
    assert last is not None, "the last value is in the store before the end is"
    assert (last.done, last.note) == (3, "step 3")
    assert last.moment > seen.moment


def test_an_async_task_and_many_runs_read_in_one_go(fleet: Fleet, tmp_path: Path) -> None:
    futures = [progressing.step_in_a_loop.delay(str(tmp_path), 2) for _ in range(2)]
    silent = progressing.tell_nothing.delay()
    silent.wait(40)
    (tmp_path / "step-1").touch()
    run_ids = [future.run_id for future in futures]
    wait_until(lambda: [seen.done for seen in progress.of(run_ids).values()] == [1, 1], 40)
    (tmp_path / "step-2").touch()
    assert [future.result(timeout=40) for future in futures] == [2, 2]
    assert {run_id: seen.done for run_id, seen in progress.of([*run_ids, silent.run_id]).items()} == dict.fromkeys(
        run_ids, 2
    )


def test_the_last_of_very_many_values_is_kept(fleet: Fleet) -> None:
    future = progressing.hurry.delay(20_000)
    assert future.result(timeout=40) == 20_000
    seen = progress.of(future.run_id)
    assert seen is not None
    assert seen.done == 20_000


def test_threads_of_one_run_count_together(fleet: Fleet) -> None:
    future = progressing.count_together.delay(4, 500)
    future.result(timeout=40)
    seen = progress.of(future.run_id)
    assert seen is not None
    assert seen.done == 2000


def test_a_retry_begins_without_and_is_not_disturbed_by_the_attempt_before(fleet: Fleet, tmp_path: Path) -> None:
    future = progressing.stumble.delay(str(tmp_path))
    wait_until((tmp_path / "up again").exists, 40)
    assert progress.of(future.run_id) is None, "what the first attempt has said is over"
    (tmp_path / "speak").touch()
    wait_until(lambda: progress.of(future.run_id), 40)
    fleet.broker.logs.note_progress([(future.run_id, "default:ds 1-1", b"late")])
    seen = progress.of(future.run_id)
    assert seen is not None
    assert (seen.done, seen.note) == (1, "after it")
    (tmp_path / "go").touch()
    assert future.result(timeout=40) == "arrived"
    last = progress.of(future.run_id)
    assert last is not None
    assert last.note == "after it"


def test_what_is_said_of_an_ended_run_is_not_heard(fleet: Fleet) -> None:
    future = progressing.hurry.delay(1)
    future.result(timeout=40)
    (before,) = fleet.broker.logs.read_progress([future.run_id])
    assert before is not None
    fleet.broker.logs.note_progress([(future.run_id, before[0], b"late")])
    assert fleet.broker.logs.read_progress([future.run_id]) == [before]


def test_a_run_that_nobody_knows(fleet: Fleet, worker: StartedWorker) -> None:
    assert progress.of("0198c1c3-0000-7000-8000-000000000000") is None
    assert progress.of([]) == {}
