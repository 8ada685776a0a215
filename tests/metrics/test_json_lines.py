"""``--log-format json``: whatever a worker writes by itself is one JSON object per line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

pytestmark = [pytest.mark.behaviour, pytest.mark.needs_server]


def lines_of(worker: WorkerProcess) -> list[dict[str, Any]]:
    """Everything that it has written; raises where a line is no JSON."""
    return [json.loads(line) for line in worker.output.splitlines()]


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_lines_tell_run_task_and_worker(how: str, fleet: Fleet, start_worker: StartWorker) -> None:
    flags = ("--log-format", "json") if how == "flag" else ()
    variables = {"ORCHESTRATOR_LOG_FORMAT": "json"} if how == "variable" else {}
    worker = start_worker("-c", "1", "-n", "oven", *flags, ready=1, **variables)
    run = app.say.delay("hello")
    assert run.result(timeout=60) == "hello"
    wait_until(lambda: '"Completed"' in worker.output, 20, "the end of the run is told")
    worker.terminate()
    assert worker.wait() == 0
    lines = lines_of(worker)
    assert {line["worker"] for line in lines} == {"oven"}
    assert all(line["ts"] and line["level"] and line["msg"] for line in lines)
    of_the_run = [line for line in lines if line.get("run_id") == run.run_id]
    assert [line["state"] for line in of_the_run if "state" in line] == ["Running", "Completed"]
    assert {line["task"] for line in of_the_run} == {app.say.task_key}
    (said,) = [line for line in of_the_run if line["msg"] == "saying hello"]
    assert said["level"] == "info"
    (began,) = [line for line in lines if line["msg"] == "the worker has begun"]
    assert app.say.task_key in began["tasks"]


def test_an_app_that_cannot_be_imported_is_told_in_a_json_line(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "--log-format", "json", app="no.such.module")
    assert worker.wait() == 1
    told = [line for line in lines_of(worker) if line["level"] == "error"]
    assert any("no.such.module" in line["msg"] for line in told)
