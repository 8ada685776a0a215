"""Deployments: written by code, run by whoever serves their queue."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest

from brokers.schema import stays_in_store
from orchestrator import Flow, runtime, task
from orchestrator.client.fleet import Fleet
from orchestrator.client.schemas.schedules import IntervalSchedule
from orchestrator.deployments import Deployment, run_deployment
from orchestrator.deployments.editing import (
    delete_deployment,
    pause_deployment,
    resume_deployment,
    roll_back,
    versions,
)
from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.names import flow_id_of
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.schedules import owner_of
from orchestrator.errors import FlowRunWaitTimeout, ObjectNotFound, ParameterBindError, ParameterTypeError
from orchestrator.flow_runs import wait_for_flow_run
from orchestrator.flows import load_flow_from_entrypoint
from orchestrator.futures import PrefectFuture
from orchestrator.inspection import FlowRunFilter, flow_runs_of
from orchestrator.runner import Runner
from orchestrator.schedules import Cron
from orchestrator.scheduling import edit
from orchestrator.scheduling.by_hand import trigger
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from task_workers.flow_host import ServedMark
from tests.support.apps import deployed_flows
from tests.support.waiting import wait_until

Serves = Callable[..., AbstractContextManager[LocalWorkers]]


@pytest.fixture
def serving(fleet: Fleet) -> Serves:
    """Threads of this process that run deployments."""

    @contextmanager
    def serve(*names: str, threads: int = 2) -> Iterator[LocalWorkers]:
        queues = tuple(find_deployment(fleet.broker, name).run_queue for name in names)
        workers = LocalWorkers(fleet, SlotsOptions((*queues, "default"), threads))
        workers.start()
        try:
            yield workers
        finally:
            workers.stop(5)

    return serve


@pytest.mark.smoke
def test_a_deployment_is_run_with_its_parameters_and_those_of_the_run(fleet: Fleet, serving: Serves) -> None:
    deployed_flows.tracker.to_deployment(
        "nightly", parameters={"city": "Oslo"}, tags=["etl"], version="7", job_variables={"cpu": 1}
    ).apply()
    when = datetime.now(UTC)
    with serving("tracker/nightly"):
        run = run_deployment(
            "tracker/nightly", parameters={"days": 3}, tags=["by hand"], flow_run_name="first", timeout=30
        )
    assert run.state.is_completed(), run.state
    record = find_deployment(fleet.broker, "tracker/nightly")
    result = run.state.result()
    assert abs((result.pop("expected") - when).total_seconds()) < 30
    assert result == {
        "city": "Oslo",
        "days": 3,
        "run": str(run.id),
        "name": "first",
        "deployment": (record.id, "nightly", "7"),
        "variables": {"cpu": 1},
        "tags": ["by hand", "etl"],
        "count": 1,
    }
    assert (run.name, run.deployment_name, run.deployment_version, run.run_count) == ("first", "tracker/nightly", 1, 1)
    assert run.tags == ("by hand", "etl")
    assert run.parameters == {"city": "Oslo", "days": 3}
    assert str(run.flow_id) == flow_id_of(fleet.settings.namespace, "tracker")
    assert (run.state_type.value, run.state_name, run.auto_scheduled) == ("COMPLETED", "Completed", False)
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.total_run_time == run.estimated_run_time == run.end_time - run.start_time
    assert run.estimated_start_time_delta == run.start_time - run.expected_start_time
    assert (run.job_variables, run.work_queue_name, run.idempotency_key, run.parent_task_run_id) == (None,) * 4
    assert (run.labels, run.context) == ({}, {})
    assert "Oslo" not in repr(run)  # a parameter may be a secret, and runs are logged


def test_an_async_flow_is_run_on_an_event_loop_and_a_retry_is_another_delivery(serving: Serves) -> None:
    deployed_flows.on_a_loop.to_deployment("a").apply()
    deployed_flows.fails_once.to_deployment("b").apply()
    with serving("on-a-loop/a", "fails-once/b"):
        assert run_deployment("on-a-loop/a", parameters={"x": 4}, timeout=30).state.result() == 8
        assert run_deployment("fails-once/b", timeout=30).state.result() == 2


def test_nobody_serves_it_and_the_run_waits(fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("alone").apply()
    run = run_deployment("tracker/alone", timeout=0)
    assert (run.state.type.value, run.state.name) == ("SCHEDULED", "Scheduled")
    later = run_deployment("tracker/alone", scheduled_time=datetime.now(UTC) + timedelta(hours=1), timeout=0)
    assert later.state.name == "Scheduled"
    assert later.expected_start_time is not None
    assert later.expected_start_time > datetime.now(UTC)
    assert later.next_scheduled_start_time == later.expected_start_time
    assert later.total_run_time == later.estimated_run_time == later.estimated_start_time_delta == timedelta(0)


def test_one_idempotency_key_is_one_run_of_each_deployment(fleet: Fleet) -> None:
    for name in ("one", "two"):
        deployed_flows.tracker.to_deployment(name).apply()
    runs = [run_deployment("tracker/one", idempotency_key="k", timeout=0).id for _ in range(3)]
    assert len(set(runs)) == 1
    assert run_deployment("tracker/two", idempotency_key="k", timeout=0).id not in runs


def test_a_run_says_what_came_with_it(fleet: Fleet) -> None:
    fleet.broker.documents.write("pool", str(uuid4()), {"queues": msgpack.packb({"fast": "p-fast"})}, name="pool")
    deployed_flows.tracker.deploy(
        "pooled", work_pool_name="pool", work_queue_name="fast", job_variables={"cpu": 1}, print_next_steps=False
    )
    asked = {"idempotency_key": "k", "job_variables": {"memory": 2}, "timeout": 0}
    for run in (run_deployment("tracker/pooled", **asked), run_deployment("tracker/pooled", **asked)):  # the same one
        assert (run.idempotency_key, run.job_variables, run.work_queue_name) == ("k", {"memory": 2}, "fast")
        assert (run.work_pool_name, run.auto_scheduled) == ("pool", False)

    @task
    def starts() -> UUID:
        return run_deployment("tracker/pooled", timeout=0).id

    state = starts(return_state=True)
    made = read_flow_run(fleet, str(state.result()))
    assert str(made.parent_task_run_id) == state.task_run_id


def test_what_does_not_fit_is_refused_before_a_run_is_made(fleet: Fleet) -> None:
    with pytest.raises(ParameterBindError, match="no parameter 'source'; its parameters: city, days"):
        deployed_flows.tracker.to_deployment("x", parameters={"source": "production"})
    deployed_flows.tracker.to_deployment("x").apply()
    with pytest.raises(ParameterBindError, match="'source'"):
        run_deployment("tracker/x", parameters={"source": "production"}, timeout=0)
    with pytest.raises(ParameterTypeError, match="'days'"):
        run_deployment("tracker/x", parameters={"days": "many"}, timeout=0)
    with pytest.raises(ObjectNotFound, match="Deployment 'tracker/y' not found!"):
        run_deployment("tracker/y", timeout=0)
    with pytest.raises(ValueError, match="no time to wait"):
        run_deployment("tracker/x", timeout=-1)


@pytest.mark.parametrize("way", ["parent", "async_parent"])
def test_a_flow_that_runs_a_deployment_is_its_parent(fleet: Fleet, serving: Serves, way: str) -> None:
    deployed_flows.on_a_loop.to_deployment("child").apply()
    flow: Any = getattr(deployed_flows, way)
    flow.to_deployment("parent").apply()
    name = f"{flow.name}/parent"
    with serving("on-a-loop/child", name, threads=1):
        run = run_deployment(name, parameters={"name": "on-a-loop/child"}, timeout=30)
    child_id, result = run.state.result()
    assert result == 42
    facts = fleet.broker.flow_runs.read(child_id)
    assert facts["parent"].decode() == str(run.id)


SCRIPT = """
from orchestrator import flow

@flow
def report():
    return {value!r}
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Writes a script, and loads its flow as another process would."""

    def write(value: str) -> Any:
        file = tmp_path / "reports_for_versions.py"
        file.write_text(SCRIPT.format(value=value))
        sys.modules.pop("reports_for_versions", None)
        return load_flow_from_entrypoint(f"{file}:report")

    path = list(sys.path)
    yield write
    sys.path[:] = path
    sys.modules.pop("reports_for_versions", None)


def test_a_changed_file_is_a_new_version_and_the_old_one_can_be_run_again(
    fleet: Fleet, serving: Serves, script: Callable[[str], Any]
) -> None:
    script("first").to_deployment("daily", version="a").apply()
    script("first").to_deployment("daily", version="a").apply()  # nothing has changed
    script("second").to_deployment("daily", version="b").apply()
    record, kept = versions(fleet, "report/daily")
    assert [(version.number, version.label) for version in kept] == [(2, "b"), (1, "a")]
    assert record.version_number == 2
    with serving("report/daily", threads=1):
        assert run_deployment("report/daily", timeout=30).state.result() == "second"
        old = run_deployment("report/daily", version=1, timeout=30)
        assert (old.state.result(), old.deployment_version) == ("first", 1)
        assert run_deployment("report/daily", version="b", timeout=30).state.result() == "second"
        roll_back(fleet, "report/daily", to=1)
        assert run_deployment("report/daily", timeout=30).state.result() == "first"
    with pytest.raises(ObjectNotFound, match=r"no version '7'; it has: 2 \(b\), 1 \(a\)"):
        run_deployment("report/daily", version=7, timeout=0)


def test_what_is_not_given_stays_and_people_s_pause_survives_a_redeploy(fleet: Fleet) -> None:
    flow = deployed_flows.tracker
    flow.to_deployment("d", tags=["a"], parameters={"city": "Oslo"}, cron=["0 6 * * *", "0 18 * * *"]).apply()
    first = find_deployment(fleet.broker, "tracker/d")
    pause_deployment(fleet, "tracker/d")
    flow.to_deployment("d", description="another").apply()
    record = find_deployment(fleet.broker, "tracker/d")
    assert (record.tags, record.parameters, record.description, record.paused) == (
        ("a",),
        {"city": "Oslo"},
        "another",
        True,
    )
    assert (record.id, record.version_number, record.created_at) == (first.id, 1, first.created_at)
    assert len(schedules_of(fleet, record)) == 2
    flow.to_deployment("d", schedules=[]).apply()
    assert schedules_of(fleet, record) == []
    assert resume_deployment(fleet, record.id).paused is False
    delete_deployment(fleet, "tracker/d")
    with pytest.raises(ObjectNotFound):
        find_deployment(fleet.broker, "tracker/d")


def test_a_tick_of_a_schedule_is_a_run_of_its_deployment(fleet: Fleet, serving: Serves) -> None:
    deployed_flows.tracker.to_deployment("ticking", schedule=Cron("@daily", parameters={"city": "Rome"})).apply()
    record = find_deployment(fleet.broker, "tracker/ticking")
    (schedule,) = schedules_of(fleet, record)
    run_id = trigger(fleet, schedule.id)
    assert read_flow_run(fleet, run_id).auto_scheduled
    with serving("tracker/ticking"):
        future: PrefectFuture[Any] = PrefectFuture(run_id)
        assert future.result(timeout=60)["city"] == "Rome"
    assert fleet.broker.flow_runs.read(run_id)["schedule"].decode() == schedule.id


def test_twenty_programs_that_apply_the_same_at_once_make_one_version(fleet: Fleet) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: deployed_flows.tracker.to_deployment("same").apply(), range(20)))
    assert len(ids) == 1
    assert [version.number for version in versions(fleet, "tracker/same")[1]] == [1]


def test_a_run_that_waits_is_cancelled(fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("gone", version="1").apply()
    run = run_deployment("tracker/gone", timeout=0)
    assert PrefectFuture(run.id).cancel()
    assert read_flow_run(fleet, str(run.id)).state.is_cancelled()


def schedules_of(fleet: Fleet, record: DeploymentRecord) -> list[ScheduleRecord]:
    return edit.of_owner(fleet, owner_of(record.id))


def test_a_run_is_waited_for_by_its_id(fleet: Fleet, serving: Serves) -> None:
    deployed_flows.on_a_loop.to_deployment("awaited").apply()
    run = run_deployment("on-a-loop/awaited", parameters={"x": 1}, timeout=0)
    with pytest.raises(FlowRunWaitTimeout, match="goes on"):
        wait_for_flow_run(run.id, timeout=0)
    with serving("on-a-loop/awaited"):
        assert wait_for_flow_run(run.id, timeout=30).state.result() == 2
    with pytest.raises(ObjectNotFound):
        wait_for_flow_run(uuid4())


def test_a_store_that_came_back_empty_is_told_of_what_is_served_and_one_that_people_deleted_stays_deleted(
    fleet: Fleet,
) -> None:
    runner = Runner()
    names = [f"fails-once/{name}" for name in ("lost", "lost as well")]
    ids = [str(runner.add_flow(deployed_flows.fails_once, name.partition("/")[2])) for name in names]
    mark = ServedMark(fleet, lambda: ids, runner._served(False, False).restore)
    documents = fleet.broker.documents
    documents.delete("deployment", ids)
    documents.delete("flow", documents.find("flow", ["fails-once"]))  # type: ignore[arg-type]
    mark.run_once()
    assert documents.find("deployment", names) == ids
    delete_deployment(fleet, names[0])
    mark.run_once()
    assert documents.find("deployment", names) == [None, ids[1]]


def test_a_list_says_why_a_run_that_never_began_is_over(fleet: Fleet) -> None:
    deployed_flows.fails_once.to_deployment("unserved").apply()
    run = run_deployment("fails-once/unserved", timeout=0)
    PrefectFuture[Any](str(run.id), source=fleet).cancel()
    (row,) = flow_runs_of(fleet, FlowRunFilter(deployments=("fails-once/unserved",)))
    assert (row.state_name, row.message) == ("Cancelled", "cancelled before it started")
    assert row.ended is not None


def test_a_pool_that_is_not_there_is_an_error_with_the_command_that_makes_it(fleet: Fleet) -> None:
    with pytest.raises(ObjectNotFound, match="orchestrator work-pool create my-pool --type process"):
        deployed_flows.tracker.deploy("d", work_pool_name="my-pool")
    assert fleet.broker.documents.find("deployment", ["tracker/d"]) == [None]
    fleet.broker.documents.write("pool", str(uuid4()), {}, name="my-pool")
    deployed_flows.tracker.deploy("d", work_pool_name="my-pool", print_next_steps=False)
    record = find_deployment(fleet.broker, "tracker/d")
    assert record.work_pool_name == "my-pool"
    assert stays_in_store(record.run_queue)


def test_the_scripts_of_people_who_come_from_prefect(fleet: Fleet) -> None:
    """Two versions of one flow, the second generation's way to build, every kind of schedule."""
    flow = deployed_flows.tracker
    flow.with_options(version="1").to_deployment("tutorial").apply()
    flow.with_options(version="2").to_deployment("tutorial").apply()
    assert [version.label for version in versions(fleet, "tracker/tutorial")[1]] == ["2", "1"]
    hourly = IntervalSchedule(interval=timedelta(hours=1))
    with pytest.warns(DeprecationWarning, match="to_deployment"):
        made = Deployment.build_from_flow(
            flow=flow, name="Hourly ETL", schedule=hourly, tags=["etl"], parameters={"city": "Rome"}
        )
    made.apply()
    assert len(schedules_of(fleet, find_deployment(fleet.broker, "tracker/Hourly ETL"))) == 1
    weekdays = "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"
    for timing in (
        {"cron": "0 9 * * MON-FRI", "timezone": "America/New_York"},
        {"interval": 1800},
        {"interval": "PT30M"},
        {"interval": "00:30:00"},
        {"rrule": weekdays},
    ):
        assert len(flow.to_deployment("d", **timing).schedules or ()) == 1
    for name in ("deploy", "to_deployment", "from_source", "validate_parameters", "submit", "delay"):
        assert callable(getattr(flow, name))
    assert (runtime.deployment.id, runtime.deployment.name, runtime.deployment.parameters) == (None, None, {})
    assert runtime.flow_run.scheduled_start_time is not None


def test_a_flow_of_a_repository_is_cloned_and_deployed(
    fleet: Fleet, serving: Serves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    repository = tmp_path / "shop"
    repository.mkdir()
    (repository / "flow_in_a_repository.py").write_text(SCRIPT.format(value="cloned"))
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    path = list(sys.path)
    try:
        found = Flow.from_source(f"file://{repository}", "flow_in_a_repository.py:report")
        found.to_deployment("cloned").apply()
        with serving("report/cloned"):
            assert run_deployment("report/cloned", timeout=30).state.result() == "cloned"
    finally:
        sys.path[:] = path
        monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_child_is_cancelled_with_its_parent_and_its_log_says_that_nobody_runs_it(
    fleet: Fleet, serving: Serves, caplog: pytest.LogCaptureFixture
) -> None:
    deployed_flows.on_a_loop.to_deployment("child").apply()
    deployed_flows.async_parent.to_deployment("parent").apply()
    child = find_deployment(fleet.broker, "on-a-loop/child")
    with serving("async-parent/parent"):
        run = run_deployment("async-parent/parent", parameters={"name": child.full_name}, timeout=0)
        wait_until(lambda: "nobody runs 'on-a-loop/child'" in caplog.text, message="the warning")
        (run_id,) = [row.id for row in flow_runs_of(fleet) if row.parent_flow_run_id == str(run.id)]
        assert PrefectFuture(run.id).cancel()
        wait_until(lambda: read_flow_run(fleet, run_id).state.is_cancelled(), message="the child is cancelled")
    assert read_flow_run(fleet, str(run.id)).state.is_cancelled()
