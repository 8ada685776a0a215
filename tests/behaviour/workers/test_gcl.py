"""``orchestrator gcl``: limits are made, listed, changed, switched and deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.sync import concurrency
from tests.support.command_line import Command

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def test_a_limit_from_its_making_to_its_end(command: Command, fleet: Fleet) -> None:
    assert "there is no limit yet" in command("gcl", "ls").stdout
    assert command("gcl", "create", "db", "--limit", "2", "--slot-decay-per-second", "0.5").returncode == 0
    again = command("gcl", "create", "db", "-l", "2")
    assert (again.returncode, "gcl update db" in again.stderr) == (1, True)
    with concurrency("db", occupy=2):
        (row,) = json.loads(command("gcl", "ls", "--json").stdout)
        assert (row["name"], row["limit"], row["active"], row["active_slots"]) == ("db", 2, True, 2)
        assert row["slot_decay_per_second"] == 0.5
        assert [holder["places"] for holder in row["holders"]] == [2]
        assert "holds 2" in command("gcl", "inspect", "db").stdout
        assert command("gcl", "update", "db", "--limit", "1").stdout == "db is changed\n"
    with concurrency("db"), pytest.raises(TimeoutError), concurrency("db", timeout_seconds=0):
        pass
    assert command("gcl", "disable", "db").stdout == "db is off\n"
    assert command("gcl", "disable", "db").stdout == "db was off already\n"
    assert "off" in command("gcl", "ls").stdout
    assert command("gcl", "enable", "db").stdout == "db is on\n"
    for option, active in (("--disable", False), ("--enable", True)):  # as Prefect's users write it
        assert command("gcl", "update", "db", option).stdout == "db is changed\n"
        assert json.loads(command("gcl", "ls", "--json").stdout)[0]["active"] is active
    assert command("gcl", "delete", "db").stdout == "db is deleted\n"


@pytest.mark.parametrize("words", [("inspect",), ("update", "--limit", "1"), ("enable",), ("delete",)])
def test_a_limit_that_is_not_there_is_one_line_and_exit_code_one(command: Command, words: tuple[str, ...]) -> None:
    first, *more = words
    done = command("gcl", first, "nobody", *more)
    assert done.returncode == 1
    assert "'nobody' not found" in done.stderr


def test_what_cannot_be_a_limit_is_refused(command: Command) -> None:
    assert command("gcl", "create", "db", "--limit", "-1").returncode == 2
    assert command("gcl", "create", "a|b", "--limit", "1").returncode == 2
    assert "nothing to change" in command("gcl", "update", "db").stderr
