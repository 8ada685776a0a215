"""Command lines of a bad day: a full disk, no standard input, parameters that do not fit. One line, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.worker_process import APP, ROOT, StartWorker

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]
PROGRAM = (sys.executable, "-m", "orchestrator")


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def ran(environment: dict[str, str], *command: str, stdout: str = "") -> subprocess.CompletedProcess[str]:
    """What became of a command; ``stdout``: a file in the place of the pipe."""
    with open(stdout or "/dev/null", "wb") as file:
        return subprocess.run(
            command,
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )


def line_of(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("given", ["m=4", "n=four"])
def test_what_a_flow_does_not_take(worker_environment: dict[str, str], given: str) -> None:
    done = ran(worker_environment, *PROGRAM, "run", f"{APP}:sums", "--param", given)
    assert "argument" in line_of(done, 1)


@pytest.mark.parametrize("arguments", [["--help"], ["config", "show", "--json"]])
def test_a_full_disk(worker_environment: dict[str, str], arguments: list[str]) -> None:
    done = ran(worker_environment, *PROGRAM, *arguments, stdout="/dev/full")
    assert "No space left on device" in line_of(done, 1)


def test_a_question_without_any_standard_input(worker_environment: dict[str, str]) -> None:
    done = ran(worker_environment, "sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "queues", "purge", "default")
    assert "say --yes" in line_of(done, 2)


def test_a_place_that_no_list_gave(worker_environment: dict[str, str]) -> None:
    done = ran(worker_environment, *PROGRAM, "runs", "ls", "--cursor", "nope")
    assert "use what an earlier list gave" in line_of(done, 2)


@pytest.mark.parametrize("options", [["--countdown", "-nan"], ["-Q", "a b"], ["--idempotency-key", ""]])
def test_an_option_that_a_call_cannot_have(worker_environment: dict[str, str], options: list[str]) -> None:
    done = ran(worker_environment, *PROGRAM, "task", "delay", app.add.task_key, "1", "2", "-A", APP, *options)
    assert options[0].strip("-").split("-")[0].lower() in line_of(done, 2).lower()


def test_a_call_that_fails_while_it_is_waited_for(
    fleet: Fleet, worker_environment: dict[str, str], start_worker: StartWorker
) -> None:
    start_worker("-c", "1", ready=1)
    done = ran(worker_environment, *PROGRAM, "task", "delay", app.add.task_key, "1", '"2"', "-A", APP, "--wait")
    assert "TypeError: " in line_of(done, 1)


def test_check_asks_the_broker_that_carries_the_calls(worker_environment: dict[str, str]) -> None:
    away = {**worker_environment, "ORCHESTRATOR_BROKER_URL": "celery+amqp://u:pa55word@127.0.0.1:1//"}
    told = line_of(ran(away, *PROGRAM, "check"), 1)
    assert "celery+amqp://u:***@127.0.0.1:1// does not answer" in told
    assert "pa55word" not in told


@pytest.mark.parametrize(
    ("url", "reason"),
    [("celery+boats://u:pa55word@h/", "No such transport: boats"), ("celery+amqp://u:pa55word@h:x//", "Port")],
)
def test_a_broker_that_celery_does_not_know(worker_environment: dict[str, str], url: str, reason: str) -> None:
    told = line_of(ran({**worker_environment, "ORCHESTRATOR_BROKER_URL": url}, *PROGRAM, "worker", "-A", APP), 1)
    assert reason in told
    assert "pa55word" not in told
