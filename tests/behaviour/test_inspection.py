"""What people see of runs, and what they do to them: the same on every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator import flow, inspection, tags
from orchestrator.client.fleet import Fleet
from orchestrator.inspection import Redaction, RunFilter
from orchestrator.runtime import flow_run
from tests.support import signals
from tests.support.apps import basics as app
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.smoke
def test_a_completed_run_is_told_whole(fleet: Fleet) -> None:
    with tags("blue"):
        future = app.add.submit(2, y=3)
    assert future.result(timeout=60) == 5
    detail = inspection.detail_of(fleet, str(future.task_run_id), Redaction(), {app.add.task_key: ["x", "y"]})
    assert detail is not None
    run = detail.run
    assert (run.state_type, run.queue, run.priority, run.tags) == ("COMPLETED", "default", "default", ("blue",))
    assert detail.parameters == [("x", "2"), ("y", "3")]
    assert (detail.result, detail.error) == ("5", None)
    assert run.created is not None
    assert run.started is not None
    assert run.ended is not None
    assert run.created - timedelta(seconds=1) <= run.started <= run.ended <= datetime.now(UTC)
    assert run.worker


def test_a_failed_run_has_its_traceback_and_can_be_retried(fleet: Fleet) -> None:
    future = app.fail.submit("no luck")
    future.wait(20)
    run_id = str(future.task_run_id)
    detail = inspection.detail_of(fleet, run_id, Redaction())
    assert detail is not None
    assert detail.run.state_type == "FAILED"
    assert detail.error is not None
    assert "no luck" in detail.error
    assert "in fail" in detail.error
    before = detail.run.ended
    assert inspection.retry_runs(fleet, [run_id]) == [run_id]
    wait_until(lambda: inspection.views_of(fleet, [run_id])[0].ended not in (None, before), 20)


@pytest.mark.smoke
def test_runs_are_found_by_what_they_are(fleet: Fleet) -> None:
    with tags("found"):
        good = [app.add.submit(number, y=0) for number in range(3)]
        bad = app.fail.submit("found me")
    for future in [*good, bad]:
        future.wait(20)
    ids = [str(future.task_run_id) for future in [*good, bad]]

    def found(**what: object) -> list[str]:
        return [run.id for run in inspection.walk_runs(fleet, RunFilter(tags=("found",), **what)).runs]  # type: ignore[arg-type]

    assert found() == ids[::-1]
    assert found(states=("Failed",)) == [ids[3]]
    assert found(tasks=("*.add",)) == ids[2::-1]
    assert found(text="FOUND ME") == [ids[3]]
    assert found(until=datetime.now(UTC) - timedelta(hours=1)) == []
    assert found(queues=("other",)) == []


def test_a_walk_goes_on_where_it_stopped(fleet: Fleet) -> None:
    with tags("walked"):
        ids = [str(future.task_run_id) for future in app.add.map(range(7), y=1)]
        ids.append(str(app.add.submit(7, y=1).task_run_id))
    wanted, seen, cursor = RunFilter(tags=("walked",)), [], None
    while True:
        walk = inspection.walk_runs(fleet, wanted, limit=3, cursor=cursor)
        seen += [run.id for run in walk.runs]
        assert all(run.created is not None for run in walk.runs), "those of a map, too"
        cursor = walk.cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_a_walk_looks_at_a_bounded_number_of_runs(fleet: Fleet) -> None:
    app.add.map(range(20), y=1).wait(20)
    walk = inspection.walk_runs(fleet, RunFilter(tasks=("none such",)), most=10)
    assert (walk.runs, walk.looked_at) == ([], 10)
    assert walk.cursor is not None


def test_secrets_are_not_shown(fleet: Fleet) -> None:
    secrets = {"user": "ann", "api_token": "abc123", "more": [{"Password": "hunter2"}]}
    future = app.echo.submit(secrets)
    future.wait(20)
    detail = inspection.detail_of(fleet, str(future.task_run_id), Redaction())
    assert detail is not None
    shown = f"{detail.parameters} {detail.result}"
    assert "ann" in shown
    assert "abc123" not in shown
    assert "hunter2" not in shown


def test_deleted_runs_are_gone_and_others_stay(fleet: Fleet) -> None:
    ended = app.add.submit(1, y=1)
    ended.wait(20)
    delayed = app.add.apply_async((1,), {"y": 1}, countdown=600)
    ids = [str(ended.task_run_id), str(delayed.task_run_id)]
    assert inspection.delete_runs(fleet, ids) == ids[:1]
    assert [run.id for run in inspection.views_of(fleet, ids)] == ids[1:]
    assert inspection.cancel_runs(fleet, ids) == ids[1:]
    assert inspection.delete_runs(fleet, ids) == ids[1:]


def test_a_flow_run_is_known_while_it_runs(fleet: Fleet) -> None:
    seen: list[dict[str, bytes]] = []

    @flow(name="watched")
    def watched() -> int:
        future = app.add.submit(1, y=1)
        run_id = str(flow_run.id)
        seen.append(fleet.broker.flow_runs.read(run_id))
        result = future.result(timeout=60)
        return int(result)

    assert watched() == 2
    assert (seen[0]["flow"], seen[0]["type"]) == (b"watched", b"RUNNING")


def test_a_run_that_waits_for_another_attempt_says_why(fleet: Fleet) -> None:
    future = app.fail.with_options(retries=1, retry_delay_seconds=600).submit("the mail server is away")
    run_id = str(future.task_run_id)
    wait_until(lambda: inspection.views_of(fleet, [run_id])[0].state_name == "AwaitingRetry", 20)
    assert inspection.views_of(fleet, [run_id])[0].message == "ValueError: the mail server is away"
    future.cancel()


def test_a_running_run_says_who_runs_it(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "entered"), str(tmp_path / "go_on")
    future = app.hold.submit(entered, go_on)
    signals.wait_for(entered)
    detail = inspection.detail_of(fleet, str(future.task_run_id), Redaction())
    signals.give(go_on)
    future.wait(20)
    ended = inspection.detail_of(fleet, str(future.task_run_id), Redaction())
    assert detail is not None
    assert ended is not None
    assert detail.run.worker == ended.run.worker != ""


def test_the_moment_of_the_next_attempt_and_the_end_of_a_countdown_are_told(fleet: Fleet) -> None:
    retried = app.fail.with_options(retries=1, retry_delay_seconds=600).submit()
    counted_down = app.add.apply_async((1,), countdown=900)
    run_ids = [str(future.task_run_id) for future in (retried, counted_down)]
    wait_until(lambda: inspection.views_of(fleet, run_ids)[0].state_name == "AwaitingRetry", 20)
    now = datetime.now(UTC)
    moments = [view.due for view in inspection.views_of(fleet, run_ids)]
    for moment, seconds, future in zip(moments, (600, 900), (retried, counted_down), strict=True):
        assert moment is not None
        assert timedelta(seconds=seconds - 60) < moment - now <= timedelta(seconds=seconds + 1)
        assert future.state.scheduled_time == moment
        future.cancel()


def test_the_names_of_a_task_and_of_its_run_are_told(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "entered"), str(tmp_path / "go_on")
    held, quick = app.weigh.submit("tea", entered, go_on), app.weigh.submit("x" * 300)
    plain, renamed = app.add.submit(1), app.add.with_options(name="sum").submit(1)
    run_ids = [str(future.task_run_id) for future in (held, quick, plain, renamed)]
    signals.wait_for(entered)
    wait_until(lambda: inspection.views_of(fleet, run_ids)[0].name == "weigh tea", 20)  # while it runs
    signals.give(go_on)
    for future in (held, quick, plain, renamed):
        future.wait(20)
    views = inspection.views_of(fleet, run_ids)
    assert [view.task_name for view in views] == ["weighing", "weighing", "add", "sum"]
    assert [view.name for view in views] == [
        "weigh tea",
        f"weigh {'x' * 193}…",
        f"add-{run_ids[2][-3:]}",
        f"sum-{run_ids[3][-3:]}",
    ]
