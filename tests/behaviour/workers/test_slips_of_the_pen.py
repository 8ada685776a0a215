"""Conditions that nothing can fit, blank ids: refused with what is possible, not answered with an empty list."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.states import Completed, StateType
from tests.support import app_for_workers as app
from tests.support.command_line import Command
from tests.support.worker_process import ROOT

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


@flow
def skips() -> object:
    return Completed(name="Skipped")


@pytest.mark.parametrize(
    "command_line", [("runs", "ls"), ("runs", "cancel", "--yes"), ("flow-run", "ls"), ("flows", "ls")]
)
def test_a_state_that_there_is_none_of_is_refused_with_the_states(
    command: Command, command_line: tuple[str, ...]
) -> None:
    refused = command(*command_line, "--state", "fialed")
    assert refused.returncode == 2
    assert "--state 'fialed'" in refused.stderr
    assert "Failed" in refused.stderr
    assert (
        "no such"
        in command(*command_line, "--state", "timedout").stdout + command(*command_line, "--state", "late").stdout
    )


def test_a_state_of_a_name_of_the_flow_itself_is_found(fleet: Fleet, command: Command) -> None:
    skips(return_state=True)
    assert "skips" in command("flow-run", "ls", "--state", "skipped").stdout
    assert "skips" in command("flows", "ls", "--state", "Skip*").stdout


def test_an_automation_on_a_state_that_only_a_flow_could_give_is_made_with_a_warning(command: Command) -> None:
    words = ("automation", "create", "--cancel")
    made = command(*words, "--name", "typo", "--on", "Fialed,timedout,shop.paid,*")
    assert (made.returncode, made.stderr.count("no state of ours is called")) == (0, 1)
    assert "'Fialed'" in made.stderr
    for blank in ("", " , "):
        assert "--on is missing" in command(*words, "--name", "blank", "--on", blank).stderr


def test_a_type_of_states_is_one_of_nine(command: Command) -> None:
    assert command("flow-run", "ls", "--state-type", "failed").returncode == 0
    refused = command("flow-run", "ls", "--state-type", "late")
    assert refused.returncode == 2
    assert all(repr(kind.value) in refused.stderr.upper() for kind in StateType)


def test_names_of_deployments_and_types_that_are_not_there(command: Command) -> None:
    for line in (
        ("flow-run", "ls", "--deployment", "a/b"),
        ("flow-run", "cancel", "--deployment", "a/b"),
        ("block", "ls", "-t", "slak"),
    ):
        refused = command(*line)
        assert refused.returncode == 1
        assert "not found" in refused.stderr
    assert command("block", "ls", "-t", "slack-webhook").returncode == 0


@pytest.mark.parametrize(
    "command_line",
    [
        ("runs", "ls", "--since", "1h", "--until", "2h"),
        ("runs", "cancel", "--since", "2026-02-01", "--until", "2026-01-01"),
        ("events", "ls", "--since", "1h", "--until", "2h"),
    ],
)
def test_a_time_that_ends_before_it_begins_is_refused(command: Command, command_line: tuple[str, ...]) -> None:
    refused = command(*command_line)
    assert refused.returncode == 2
    assert "--since (" in refused.stderr
    assert "is later than --until (" in refused.stderr


def test_a_backfill_that_ends_before_it_begins_is_refused(fleet: Fleet, command: Command) -> None:
    skips.to_deployment("mornings", cron="0 9 * * *").apply()
    window = ("--from", "2026-01-10", "--to", "2026-01-01")
    for more in ((), ("--cancel",)):
        refused = command("schedule", "backfill", "skips/mornings", *window, *more)
        assert refused.returncode == 2
        assert "--from (2026-01-10" in refused.stderr
        assert "is later than --to (2026-01-01" in refused.stderr


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize(
    "command_line",
    [
        ("runs", "show"), ("runs", "logs"), ("runs", "cancel"), ("runs", "retry"), ("runs", "rm"), ("watch",),
        ("dead", "show"), ("dead", "replay"), ("dead", "purge"), ("flows", "show"), ("flow-run", "inspect"),
        ("flow-run", "cancel"), ("flow-run", "retry"), ("flow-run", "delete"), ("flow-run", "resume"),
        ("flow-run", "suspend"), ("flow-run", "logs"), ("flow-run", "watch"), ("runs", "ls", "--flow-run"),
    ],
)  # fmt: skip
def test_a_blank_id_is_no_id(command: Command, command_line: tuple[str, ...], blank: str) -> None:
    refused = command(*command_line, blank)
    assert refused.returncode == 2
    assert "blank" in refused.stderr


@pytest.mark.parametrize(
    "option", ["--task", "--since", "--until", "--text", "--queue", "--tag", "--worker", "--state"]
)
def test_a_blank_condition_is_not_the_lack_of_one(fleet: Fleet, command: Command, option: str) -> None:
    run_id = app.add.apply_async((1, 2), countdown=900).run_id
    refused = command("runs", "cancel", "--yes", "--state", "scheduled", option, "")
    assert refused.returncode == 2
    assert option in refused.stderr
    assert "Scheduled" in command("runs", "show", run_id).stdout


def test_a_deployment_is_named_once(command: Command) -> None:
    assert "which deployment?" in command("deployment", "run", "", "--id", "x").stderr
    assert "'' not found" in command("deployment", "run", "--id", "").stderr


@pytest.mark.parametrize("follows", [("watch",), ("runs", "logs", "--follow"), ("flow-run", "watch")])
def test_ctrl_c_ends_what_follows_a_run_quietly(
    fleet: Fleet, worker_environment: dict[str, str], follows: tuple[str, ...]
) -> None:
    run_id = app.add.apply_async((1, 2), countdown=900).run_id
    code = (
        "import os, signal, sys\n"
        "from task_workers.cli import run_events\n"
        "def sleep(seconds): os.kill(os.getpid(), signal.SIGINT)\n"
        "run_events.time.sleep = sleep\n"
        "from task_workers.cli.group import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "main(sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *follows, run_id],
        env=worker_environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGINT, "")
