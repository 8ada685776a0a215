"""The command line takes parts of ids, refuses names that are none, and lets no text of a run steer the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import flow, inspection
from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.command_line import Command
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]
EVIL = "\x1b]0;title\x07\x1b]52;c;UFdO\x07\x1b[2J\x9b31m\u202egnp.exe\ud800 red"


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def test_a_beginning_or_an_end_of_an_id_is_enough_where_only_one_run_has_it(fleet: Fleet, command: Command) -> None:
    first, second = (app.add.apply_async((number, 1), countdown=900).run_id for number in range(2))
    for part in (second[-8:], f"…{second[-8:].upper()}", second[:-1]):
        assert json.loads(command("runs", "show", part, "--json").stdout)["id"] == second
    both = command("runs", "show", second[:4])
    assert both.returncode == 2
    assert first in both.stderr
    assert second in both.stderr
    assert "app_for_workers.add  Scheduled" in both.stderr
    assert command("runs", "show", "fffffff0").returncode == 1
    assert command("runs", "logs", second[-6:]).returncode == 0
    assert f"{first}  asked to stop" in command("runs", "cancel", first[-8:]).stdout
    assert f"{first}  queued again" in command("runs", "retry", first[-8:]).stdout


def test_a_waiting_run_says_when_it_is_due_and_names_are_shown(fleet: Fleet, command: Command) -> None:
    task = app.add.with_options(name="adding up", task_run_name="sum of {a}")
    run_id = task.apply_async((1, 2), countdown=900).run_id
    table = command("runs", "ls").stdout.splitlines()
    assert table[0].split() == ["RUN", "STATE", "TASK", "QUEUE", "CREATED", "DUE", "TOOK", "MESSAGE"]
    assert "in 14m" in table[1] or "in 15m" in table[1]
    assert "adding up (tests.support.app_for_workers.add" in table[1]
    shown = command("runs", "show", run_id).stdout
    assert "due " in shown
    assert "task name      adding up" in shown


def test_a_queue_that_does_not_exist_is_not_paused_by_a_slip_of_the_pen(fleet: Fleet, command: Command) -> None:
    app.add.with_options(queue="mails").delay(1, 1)
    for verb in (("pause",), ("resume",), ("purge", "--yes")):
        refused = command("queues", verb[0], "mials", *verb[1:])
        assert refused.returncode == 1
        assert "there is no queue 'mials'; the queues: mails" in refused.stderr
    assert [queue.name for queue in inspection.queues_of(fleet)] == ["mails"]
    assert command("queues", "pause", "a b", "--force").returncode == 2
    assert "later is paused" in command("queues", "pause", "later", "--force").stdout
    assert "later goes on" in command("queues", "resume", "later").stdout


def test_flow_runs_are_listed_and_shown_with_their_task_runs(fleet: Fleet, command: Command) -> None:
    @flow(name="nightly", flow_run_name="of monday")
    def nightly() -> str:
        return app.add.apply_async((1, 1), countdown=900).run_id

    task_run_id = nightly()
    (row,) = json.loads(command("flows", "ls", "--json").stdout)
    assert (row["flow"], row["name"], row["state_type"]) == ("nightly", "of monday", "COMPLETED")
    assert command("flows", "ls", "--flow", "week*").stdout == "no such flow runs\n"
    assert row["id"] in command("flows", "ls", "--state", "completed").stdout
    shown = command("flows", "show", row["id"][-8:]).stdout
    assert "of monday" in shown
    assert task_run_id in shown
    assert [run["id"] for run in json.loads(command("flows", "show", row["id"], "--json").stdout)["task_runs"]] == [
        task_run_id
    ]


def test_no_text_of_a_run_steers_a_terminal_or_a_log(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    evil = EVIL.replace("\ud800", "")  # a lone surrogate is no message
    worker = start_worker("-c", "1", ready=1)
    future = app.print_and_fail.delay(evil)
    future.wait(40)
    wait_until(lambda: fleet.logs.read(future.run_id), 20)
    for arguments in (
        ["runs", "show", future.run_id, "--logs"],
        ["runs", "logs", future.run_id],
        ["runs", "ls"],
        ["watch", future.run_id],
    ):
        told = command(*arguments).stdout
        assert "\\x1b" in told, arguments
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told), arguments
    (line,) = command("runs", "logs", future.run_id, "--json").stdout.splitlines()
    assert json.loads(line)["message"] == evil  # programs get what was written
    log = worker.output
    assert log.count(" red  (print_and_fail ") == 1  # the line that it printed, once
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(log)
