"""What the command line makes of tables, of other people's habits and of text from runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import task_workers.cli
from orchestrator.observability.plain_text import on_one_line, printable
from task_workers.cli.group import command
from task_workers.cli.runs import DROP, HEADS
from task_workers.cli.table_width import fit_table

RUN_ID = "0199f1c2-aaaa-7000-8000-0000000004d2"
ROW = (RUN_ID, "AwaitingRetry", "shop.orders.tasks.send_receipt", "-", "default", "2030-01-31 14:00:00", "in 2m", "-")
FROM_ELSEWHERE = [
    (["-A", "shop", "worker", "-l", "INFO"], "orchestrator worker -A shop -l INFO"),
    (["-A", "shop", "inspect", "active"], "runs ls --state running"),
    (["worker", "-A", "shop", "-P", "gevent"], "--threads"),
    (["worker", "-A", "shop", "--pool=prefork"], "--threads"),
    (["worker", "-A", "shop", "--autoscale=8,2"], "-c N"),
    (["worker", "-A", "shop", "-B"], "no scheduler process"),
    (["inspect", "ping"], "workers ls"),
    (["status"], "workers ls"),
    (["purge", "-f"], "queues purge"),
    (["beat"], "cron"),
    (["agent", "start"], "orchestrator worker start --pool"),
    (["agent", "local", "start"], "orchestrator serve"),
    (["create", "project", "shop"], "deployment"),
    (["backend", "cloud"], "server start"),
    (["auth", "login", "-k", "key"], "ORCHESTRATOR_REDIS_URL"),
    (["cloud", "login"], "server start"),
    (["init", "--recipe", "docker"], "orchestrator deploy"),
    (["api", "GET", "/flows"], "get_client()"),
]


@pytest.mark.parametrize(("typed", "told"), FROM_ELSEWHERE, ids=lambda value: " ".join(value)[:30])
def test_habits_of_others_are_answered_in_one_line(typed: list[str], told: str) -> None:
    done = CliRunner().invoke(command, typed)
    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_version_is_told_when_it_is_asked_for_as_everywhere() -> None:
    done = CliRunner().invoke(command, ["--version"], prog_name="orchestrator")
    assert (done.exit_code, done.stdout.split()[0]) == (0, "orchestrator")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_table_of_runs_keeps_the_ids_whole_on_every_terminal(width: int) -> None:
    heads, (row,) = fit_table(HEADS, [(*ROW, "ConnectionError: " + "x" * 90)], width, DROP)
    assert row[0] == RUN_ID
    assert heads[:3] == ["RUN", "STATE", "TASK"]
    assert sum(map(len, row)) + 2 * (len(row) - 1) <= max(width, 36 + 2 + 8 + 2 + 8)
    assert ("QUEUE" in heads) == (width >= 200)
    assert [head for head in heads if head not in DROP[: len(HEADS) - len(heads)]] == heads  # dropped in that order


@given(st.text(st.characters(), max_size=40))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    one_line = on_one_line(text)
    one_line.encode()  # no lone surrogates
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", one_line)
    if text.isprintable() or (text.isascii() and text.replace("\n", "").isprintable()):
        assert printable(text) == text


def test_there_is_one_door_for_text_to_a_terminal() -> None:
    folder = Path(task_workers.cli.__file__).parent
    others = {"terminal.py", "completion.py", "group.py"}  # the door; a shell's script; one line of ours
    writers = [
        path.name
        for path in folder.glob("*.py")
        if path.name not in others
        and re.search(r"click\.s?echo\(|\bprint\(|stdout\.write|click\.style", path.read_text())
    ]
    assert writers == []
