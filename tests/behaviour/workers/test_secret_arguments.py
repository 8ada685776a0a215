"""Secrets in arguments, through a real worker: they arrive, and nothing that is shown shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from brokers.messages import Envelope
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.errors import OrchestratorError
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_run_id
from tests.conftest import program_or_skip
from tests.support.apps import guarded
from tests.support.apps.guarded import Login
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT, StartWorker, WorkerProcess

pytestmark = pytest.mark.behaviour

APP = "tests.support.apps.guarded"
HIDDEN = "hunter2-of-the-tests"
SECRET = SecretStr(HIDDEN)
LOGIN = Login(user="ann", password=SECRET)


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What is shown does not depend on the server."""
    return program_or_skip("embedded")


def send_raw(fleet: Fleet, key: str, *args: object) -> PrefectFuture[object]:
    """A call whose arguments nobody has checked, as a sender with other annotations would make it."""
    body = serializers.pack_call(args, {}, context=tuple).body
    return PrefectFuture(fleet.broker.runs.submit([Envelope(new_run_id(), key, "default:ds", body)])[0])


def shown(environment: dict[str, str], run_id: str, *options: str) -> str:
    """What ``orchestrator runs show`` writes."""
    command = [sys.executable, "-m", "orchestrator", "runs", "show", run_id, "--logs", *options]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_secret_argument_arrives_and_shows_in_no_line_and_no_message(
    fleet: Fleet, start_worker: StartWorker, worker_environment: dict[str, str], log_format: str
) -> None:
    worker: WorkerProcess = start_worker(
        "-c", "1", "-l", "debug", "--log-format", log_format, app=APP, ORCHESTRATOR_LOG_LEVEL="debug"
    )
    worker.wait_output("is ready")
    futures = [
        guarded.logs_in.delay(SECRET, LOGIN),
        guarded.checked.delay(HIDDEN, LOGIN),  # type: ignore[arg-type]  # becomes a secret where it is checked
        guarded.fails_to_log_in.delay(SECRET),
        guarded.gives_away.delay(SECRET),
        guarded.checked.delay(SECRET, LOGIN),
        send_raw(fleet, guarded.checked.task_key, ["no", HIDDEN], LOGIN),
        send_raw(fleet, guarded.checked.task_key, SECRET, {"user": [HIDDEN]}),
        send_raw(fleet, guarded.logs_in.task_key, SECRET),
    ]
    wait_until(lambda: all(future.state.is_settled() for future in futures), 60, "all runs have ended")
    assert futures[0].result() == "SecretStr True"
    assert futures[3].result().get_secret_value() == HIDDEN
    names = [future.state.name for future in futures]
    assert names == ["Completed", "Completed", "Failed", "Completed", "Completed", "Failed", "Failed", "Failed"]
    with pytest.raises(PermissionError) as caught:
        futures[2].result()
    assert caught.value.args[1] == SECRET
    for future in futures:
        state = future.state
        assert HIDDEN not in f"{state!r} {state.message} {state.data!r}"
    for future in (futures[0], futures[2], futures[3], futures[5]):
        told = shown(worker_environment, future.run_id, *(["--json"] if log_format == "json" else []))
        assert "**********" in told or "valid string" in told
        assert HIDDEN not in told
    fleet_lines = [line.message for future in futures for line in fleet.logs.read(future.run_id)]
    assert any("logging in with **********" in line for line in fleet_lines)
    worker.terminate()
    worker.wait()
    assert "logs_in" in worker.output
    assert HIDDEN not in worker.output


def test_a_call_that_does_not_fit_is_refused_at_the_caller_without_showing_the_secret(fleet: Fleet) -> None:
    for send in (
        lambda: guarded.checked.delay(["no", HIDDEN], LOGIN),  # type: ignore[arg-type]
        lambda: guarded.checked.delay(SECRET, HIDDEN),  # type: ignore[arg-type]
        lambda: guarded.logs_in.delay(SECRET, LOGIN, HIDDEN),  # type: ignore[call-arg]
        lambda: guarded.echo.delay({SECRET: object()}),
    ):
        with pytest.raises(OrchestratorError) as caught:
            send()
        assert HIDDEN not in str(caught.value)
