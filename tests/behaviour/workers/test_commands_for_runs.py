"""Runs on the command line: found, followed, cancelled, retried, deleted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.apps import progressing
from tests.support.command_line import Command, on_a_terminal
from tests.support.waiting import wait_until
from tests.support.worker_process import APP, ROOT, StartWorker, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *arguments]


def listed(command: Command, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    done = command("runs", "ls", "--json", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["runs"]
    return rows


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


@pytest.mark.smoke
def test_runs_are_found_by_state_task_queue_and_text(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    start_worker("-c", "1", ready=1)
    added = app.add.delay(1, 2)
    broken = app.fails_first.delay("/nowhere/at/all")
    waiting = app.say.with_options(queue="nobody").delay("later")
    added.result(timeout=40)
    broken.wait(40)
    assert ids(listed(command)) == [waiting.run_id, broken.run_id, added.run_id]  # the newest first
    assert ids(listed(command, "--state", "completed")) == [added.run_id]
    assert ids(listed(command, "--state", "failed", "--state", "completed")) == [broken.run_id, added.run_id]
    assert ids(listed(command, "--task", "*.say", "-Q", "nob*")) == [waiting.run_id]
    assert ids(listed(command, "--text", waiting.run_id[:20].upper(), "--since", "1h")) != []
    assert ids(listed(command, "--until", "1h")) == []
    assert ids(listed(command, ORCHESTRATOR_RUNS_LS_LIMIT="1")) == [waiting.run_id]
    text = command("runs", "ls").stdout
    assert added.run_id in text
    assert "\x1b" not in text
    assert text.splitlines()[0].split() == ["RUN", "STATE", "TASK", "QUEUE", "CREATED", "TOOK", "MESSAGE"]


def test_a_list_that_stops_early_says_where_to_go_on(fleet: Fleet, command: Command) -> None:
    run_ids = [app.add.delay(number, 1).run_id for number in range(5)]
    first = command("runs", "ls", "-n", "2")
    assert "--cursor" in first.stderr
    cursor = first.stderr.split("--cursor ")[1].strip()
    rest = json.loads(command("runs", "ls", "--json", "--cursor", cursor).stdout)
    assert ids(rest["runs"]) == run_ids[:3][::-1]
    assert rest["cursor"] is None
    assert "no such runs" in command("runs", "ls", "--task", "unheard.of").stdout


def test_a_moment_that_is_none_is_a_usage_error(command: Command) -> None:
    done = command("runs", "ls", "--since", "yesterday")
    assert done.returncode == 2
    assert "'yesterday' is neither a span" in done.stderr


def test_runs_that_a_filter_finds_are_cancelled_only_when_somebody_says_yes(fleet: Fleet, command: Command) -> None:
    futures = [app.add.with_options(queue="nobody").delay(number, 1) for number in range(3)]
    kept = app.say.with_options(queue="nobody").delay("stay")
    refused = command("runs", "cancel", "--task", "*.add")
    assert refused.returncode == 2
    assert "ask 3 runs to stop?" in refused.stderr
    assert not futures[0].state.is_settled()
    done = command("runs", "cancel", "--task", "*.add", "--yes")
    assert done.returncode == 0, done.stderr
    assert {future.state.name for future in futures} == {"Cancelled"}
    assert not kept.state.is_settled()
    assert command("runs", "cancel", "--task", "*.add", "--yes").returncode == 0  # there is nothing left to cancel
    assert command("runs", "cancel").returncode == 2
    assert command("runs", "cancel", kept.run_id, "--task", "x").returncode == 2


def test_runs_are_retried_and_deleted(
    fleet: Fleet, command: Command, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker("-c", "1", ready=1)
    future = app.fails_first.delay(str(tmp_path / "missing"))
    future.wait(40)
    assert future.state.is_failed()
    (tmp_path / "missing").mkdir()
    before = listed(command)[0]["ended"]
    assert "queued again" in command("runs", "retry", future.run_id).stdout
    wait_until(lambda: listed(command)[0]["ended"] not in (None, before), 40)
    assert "deleted" in command("runs", "rm", "--state", "failed", "--state", "completed", "--yes").stdout
    assert listed(command) == []
    assert command("runs", "rm", future.run_id, "--yes").returncode == 1


def test_show_names_the_arguments_as_the_workers_tell_them(
    fleet: Fleet, command: Command, start_worker: StartWorker
) -> None:
    start_worker("-c", "1", ready=1)
    future = app.add.delay(2, b=3)
    future.result(timeout=40)
    wait_until(lambda: any(facts.get("parameters") for facts in fleet.live_workers().values()))
    shown = json.loads(command("runs", "show", future.run_id, "--json").stdout)
    assert shown["parameters"] == {"a": "2", "b": "3"}
    assert (shown["queue"], shown["priority"], shown["result"]) == ("default", "default", 5)


def test_watch_shows_a_run_until_its_end_and_tells_it_by_its_exit_code(
    fleet: Fleet, command: Command, start_worker: StartWorker, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    start_worker("-c", "1", ready=1)
    future = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    watching = subprocess.Popen(
        command_line("watch", future.run_id),
        env=worker_environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    try:
        assert "wait_for_sign" in watching.stdout.readline()
        (tmp_path / "go").touch()
        rest, _ = watching.communicate(timeout=40)
    finally:
        watching.kill()
        watching.wait(10)
    assert watching.returncode == 0
    assert "Completed" in rest.splitlines()[-1]
    failed = app.fails_first.delay("/nowhere/at/all")
    failed.wait(40)
    assert command("watch", failed.run_id).returncode == 1
    unclaimed = app.add.with_options(queue="nobody").delay(1, 2)
    fleet.cancel([unclaimed.run_id])
    assert command("watch", unclaimed.run_id).returncode == 3
    assert command("watch", "01a1fd63-9e9f-77c1-af09-7228ab8dc351").returncode == 5


def test_watch_shows_how_far_a_run_has_come(
    fleet: Fleet, start_worker: StartWorker, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    start_worker("-c", "1", ready=1, app="tests.support.apps.progressing")
    future = progressing.step.delay(str(tmp_path), 2)
    (tmp_path / "step-1").touch()
    with subprocess.Popen(
        command_line("watch", future.run_id), env=worker_environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        try:
            half = next((line for line in watching.stdout if "%" in line), "")
            assert half.strip() == "[############............]  50%  1 of 2  step 1"
            (tmp_path / "step-2").touch()
            rest = watching.stdout.read()
            watching.wait(20)
        finally:
            watching.kill()
    assert watching.returncode == 0
    assert "step 2" in rest
    assert "Completed" in rest.splitlines()[-1]


def test_watch_writes_news_as_json_lines(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    start_worker("-c", "1", ready=1)
    future = app.say.delay("good morning")
    future.result(timeout=40)
    news = [json.loads(line) for line in command("watch", "--json", future.run_id).stdout.splitlines()]
    assert [(one["news"], one.get("name") or one.get("message")) for one in news] == [
        ("line", "saying good morning"),
        ("stands", "Completed"),
    ]


def test_logs_are_followed_until_the_run_ends(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    start_worker("-c", "1", ready=1)
    future = app.say.delay("good morning")
    assert "saying good morning" in command("runs", "logs", "--follow", future.run_id).stdout
    (line,) = command("runs", "logs", "--json", future.run_id).stdout.splitlines()
    assert json.loads(line)["message"] == "saying good morning"
    assert command("runs", "logs", "01a1fd63-9e9f-77c1-af09-7228ab8dc351").returncode == 1


def test_a_call_is_submitted_with_plain_arguments_and_its_result_written(
    fleet: Fleet, command: Command, start_worker: StartWorker
) -> None:
    start_worker("-c", "1", ready=1)
    done = command("task", "submit", app.add.task_key, "2", "-p", "b=3", "-A", APP)
    assert (done.returncode, json.loads(done.stdout)) == (0, 5), done.stderr
    failed = command("task", "submit", app.fails_first.task_key, "/nowhere/at/all", "-A", APP)
    assert failed.returncode == 1
    assert "No such file" in failed.stderr
    late = command("task", "submit", app.add.task_key, "1", "2", "-A", APP, "-Q", "nobody", "--timeout", "0.2")
    assert late.returncode == 124
    assert app.add.task_key in command("task", "ls").stdout  # as the workers tell it


def test_a_terminal_gets_colours_unless_no_color_is_set(
    fleet: Fleet, start_worker: StartWorker, worker_environment: dict[str, str]
) -> None:
    start_worker("-c", "1", ready=1)
    future = app.add.delay(1, 2)
    future.result(timeout=40)
    place = {**worker_environment, "TERM": "xterm-256color", "COLUMNS": "200"}
    for arguments in (("runs", "ls"), ("watch", future.run_id)):
        assert "\x1b[32m" in on_a_terminal(place, *arguments)  # green
        plain = on_a_terminal({**place, "NO_COLOR": "1"}, *arguments)
        assert "\x1b[32m" not in plain
        assert "Completed" in plain
    assert future.run_id in on_a_terminal({**place, "COLUMNS": "60"}, "runs", "ls")  # whole, whatever else goes
    asked = on_a_terminal(place, "runs", "retry", future.run_id, typed="n\n", code=1)
    assert "1 of 1 completed: what they did is done again" in asked
    assert "queued again" in on_a_terminal(place, "runs", "retry", future.run_id, "--yes")
