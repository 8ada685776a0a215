"""Names that scripts of Prefect import, where they import them, and what loggers of runs do there."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any
from uuid import uuid4

import pytest

import orchestrator
from orchestrator import deploy, flow, get_run_logger, task
from orchestrator.client.schemas.objects import FlowRun, TaskRun
from orchestrator.context import FlowRunContext, TaskRunContext
from orchestrator.deployments import run_deployment
from orchestrator.errors import ConfigurationError, MissingContextError, ObjectNotFound
from orchestrator.logging import disable_run_logger
from orchestrator.logging.loggers import flow_run_logger, task_run_logger
from orchestrator.observability.run_logs import read_logs
from orchestrator.states import Completed
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import inline


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [
        ("deployments.flow_runs", "run_deployment", "deployments"),
        ("deployments.runner", "RunnerDeployment", "deployments"),
        ("docker", "DockerImage", "deployments"),
        ("events.utilities", "emit_event", "events"),
        ("input.run_input", "receive_input", "input"),
        ("logging.loggers", "disable_run_logger", "logging"),
        ("filesystems", "RemoteFileSystem", "filesystems"),
        ("runner.storage", "GitRepository", "deployments.git_repository"),
        ("runner.storage", "LocalStorage", "deployments.remote_storage"),
        ("runner.storage", "RemoteStorage", "deployments.remote_storage"),
        ("logging.loggers", "get_run_logger", "logging"),
    ],
)
def test_a_name_is_where_prefect_has_it(module: str, name: str, home: str) -> None:
    there = getattr(importlib.import_module(f"orchestrator.{module}"), name)
    assert there is getattr(importlib.import_module(f"orchestrator.{home}"), name)


def test_modules_are_attributes_of_the_package() -> None:
    assert orchestrator.runtime.flow_run.id is None
    assert orchestrator.Transaction is orchestrator.transactions.Transaction
    with pytest.raises(AttributeError, match="'orchestrator' has no attribute 'no_such_module'"):
        orchestrator.no_such_module  # noqa: B018


def test_a_task_serves_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.runnables import servable_task
    from orchestrator.task_worker import serve

    served: list[Any] = []

    class Entry:
        value = "of.this:test"

        def load(self) -> Any:
            return lambda *tasks, **options: served.append((tasks, options))

    add = task(lambda a, b: a + b)
    monkeypatch.setattr(servable_task, "entry_points", lambda **wanted: [Entry()])
    add.serve()
    serve(add, limit=2)
    assert served == [((add,), {"limit": 10}), ((add,), {"limit": 2})]
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="needs at least one task"):
        serve()


# -- loggers of runs -----------------------------------------------------------------------------------------------


@task
def speaks() -> int:
    get_run_logger().info("from the task")
    return 1


@flow(task_runner=ThreadPoolTaskRunner(1))
def speaking_flow() -> int:
    get_run_logger().info("from the flow")
    return speaks.submit().result()


def test_the_function_of_a_task_runs_without_a_run_where_loggers_are_disabled(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MissingContextError):
        speaks.fn()
    with caplog.at_level("INFO"), disable_run_logger(), disable_run_logger():
        assert (speaks.fn(), speaking_flow()) == (1, 1)
    assert not [record for record in caplog.records if record.getMessage().startswith("from the")]
    with caplog.at_level("INFO"):
        speaking_flow()
    assert [text for text in caplog.messages if text.startswith("from the")] == ["from the flow", "from the task"]
    with pytest.raises(MissingContextError):
        get_run_logger()


def test_a_logger_without_a_run_is_had_by_asking_for_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        get_run_logger(on_missing_context="ignore").info("one", extra={"more": 1})
        get_run_logger(on_missing_context="warn", fallback_logger_name="orchestrator.mine", colour="red").info("two")
    one, told, two = caplog.records
    assert (one.name, one.getMessage(), vars(one)["more"]) == ("orchestrator", "one", 1)
    assert "no active flow or task run" in told.getMessage()
    assert (two.name, vars(two)["colour"]) == ("orchestrator.mine", "red")


def test_a_hook_logs_for_its_run_as_prefects_pages_have_it() -> None:
    def of_flow(flow: Any, flow_run: Any, state: Any) -> None:
        flow_run_logger(flow_run, flow).info("%s is %s", flow_run.name, state.name)

    def of_task(task: Any, task_run: Any, state: Any) -> None:
        task_run_logger(task_run, task).info("%s is %s", task_run.name, state.name)

    hooked = task(on_completion=[of_task], task_run_name="a task")(lambda: None)

    @flow(on_completion=[of_flow], flow_run_name="a flow")
    def whole() -> str | None:
        return str(hooked.submit(return_state=True).task_run_id)

    with inline():
        state: Any = whole(return_state=True)
        kept = [[line.message for line in read_logs(id)] for id in (state.flow_run_id, state.result())]
    assert kept == [["a flow is Completed"], ["a task is Completed"]]


def test_lines_of_a_run_that_is_elsewhere_are_kept_with_it() -> None:
    run_id = "7a0c8f9e-0000-4000-8000-000000000001"
    with inline():
        flow_run_logger(flow_run_id=run_id, colour="red").warning("from outside")
        (line,) = read_logs(run_id)
    assert (line.level, line.message) == ("WARNING", "from outside")
    with pytest.raises(ValueError, match="flow_run_id"):
        flow_run_logger()


def test_a_context_says_whose_logger_is_meant() -> None:
    @task
    def inner() -> list[Any]:
        with_both = get_run_logger(FlowRunContext.get()), get_run_logger(TaskRunContext.get(), colour="red")
        return [dict(logger.extra or {}) for logger in with_both]

    of_flow, of_task = flow(lambda: inner(), task_runner=ThreadPoolTaskRunner(1), flow_run_name="outer")()
    assert (of_flow["flow_run_name"], of_task["flow_run_name"], of_task["task_name"]) == ("outer", "outer", "inner")
    assert of_task["colour"] == "red"
    with pytest.raises(TypeError, match="neither a FlowRunContext"):
        get_run_logger(logging.getLogger())


# -- what hooks are told -------------------------------------------------------------------------------------------


def test_hooks_are_told_of_a_flow_run_what_prefects_pages_ask_for() -> None:
    told: list[Any] = []

    @flow(retries=1, task_runner=ThreadPoolTaskRunner(1), tags=["etl"])
    def failing_flow() -> None:
        raise ValueError("oops!")

    @failing_flow.on_failure
    def note(flow: Any, flow_run: Any, state: Any) -> None:
        told.append((flow_run.tags, flow_run.state_name, flow_run.state_type.value, flow_run.run_count))
        told.append((flow_run.deployment_id, flow_run.deployment_name, flow_run.job_variables, flow_run.auto_scheduled))
        told.append(flow_run.expected_start_time == flow_run.start_time <= flow_run.end_time == state.timestamp)
        told.append(flow_run.total_run_time == flow_run.end_time - flow_run.start_time)

    failing_flow(return_state=True)
    assert told == [({"etl"}, "Failed", "FAILED", 2), (None, None, None, False), True, True]


def test_hooks_are_told_of_a_task_run_when_it_was() -> None:
    told: list[Any] = []

    def note(task: Any, task_run: Any, state: Any) -> None:
        told.append((task_run.state_name, task_run.state_type.value, task_run.end_time is not None))
        told.append(task_run.start_time is not None and task_run.total_run_time.total_seconds() >= 0)

    task(on_running=[note], on_completion=[note])(lambda: 1)()
    assert told == [("Running", "RUNNING", False), True, ("Completed", "COMPLETED", True), True]


told_of_deployments: list[Any] = []


def note_deployment(flow: Any, flow_run: Any, state: Any) -> None:
    has_zone = flow_run.expected_start_time.tzinfo is not None
    told_of_deployments.extend((flow_run.deployment_name, flow_run.deployment_id, has_zone))


@flow(on_completion=[note_deployment])
def deployed_etl() -> None: ...


def test_hooks_are_told_of_a_deployments_run_which_it_is() -> None:
    with inline():
        deployment_id = deployed_etl.to_deployment("nightly").apply()
        assert run_deployment("deployed-etl/nightly").state.is_completed()
    assert told_of_deployments == ["nightly", str(deployment_id), True]


def test_deploying_on_an_event_loop_is_awaited() -> None:
    async def deploys() -> None:
        with pytest.raises(ObjectNotFound, match="no-such-pool"):
            await flow(lambda: 1, name="one").deploy("nightly", work_pool_name="no-such-pool")
        with pytest.raises(ConfigurationError, match="at least one deployment"):
            await deploy()

    with inline():
        asyncio.run(deploys())


# -- records of runs as arguments ----------------------------------------------------------------------------------


@task
def name_and_state(run: Any) -> list[str]:
    return [run.name, run.state.name]


@pytest.mark.parametrize("kind", [FlowRun, TaskRun])
def test_a_record_of_a_run_is_an_argument_as_it_is(kind: type) -> None:
    more = {"flow_id": uuid4()} if kind is FlowRun else {"task_key": "any"}
    state = Completed(data="its result")
    run = kind(id=uuid4(), name="nightly", state=state, **more)

    @flow(task_runner=ThreadPoolTaskRunner(1))
    def gives() -> list[Any]:
        return [name_and_state(run), name_and_state.submit([run][0]).result(), *name_and_state.map([run]).result()]

    assert gives() == [["nightly", "Completed"]] * 3


def test_a_hook_gives_its_run_to_a_task() -> None:
    told: list[Any] = []
    hooked = task(on_completion=[lambda task, run, state: told.append(name_and_state(run))], task_run_name="one")
    hooked(lambda: 1)()
    assert told == [["one", "Completed"]]
