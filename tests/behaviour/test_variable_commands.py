"""``orchestrator variable``: variables on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


def inspected(command: Command, name: str) -> Any:
    done = command("variable", "inspect", name, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("word", ["get", "inspect", "unset", "delete"])
def test_a_variable_that_is_not_there_is_one_line_and_exit_code_1(command: Command, word: str) -> None:
    done = command("variable", word, "gone")
    assert (done.returncode, done.stderr) == (1, "Error: Variable 'gone' not found!\n")


def test_a_variable_from_its_making_to_its_end(command: Command) -> None:
    assert command("variable", "set", "cities", '["Oslo", "Rome"]', "--tag", "etl", "--tag", "geo").returncode == 0
    assert command("variable", "get", "cities").stdout == '["Oslo", "Rome"]\n'
    again = command("variable", "set", "cities", "none")
    assert (again.returncode, "--overwrite" in again.stderr) == (1, True)
    shown = inspected(command, "cities")
    assert (shown["value"], shown["tags"], shown["trouble"]) == (["Oslo", "Rome"], ["etl", "geo"], None)
    assert 'tags: ["etl", "geo"]' in command("variable", "inspect", "cities").stdout
    assert "cities" in command("variable", "ls").stdout
    assert command("variable", "set", "cities", "only Oslo", "--overwrite").stdout == "Set variable 'cities'.\n"
    assert command("variable", "get", "cities").stdout == '"only Oslo"\n'
    assert command("variable", "unset", "cities").stdout == "Unset variable 'cities'.\n"
    assert command("variable", "get", "cities").returncode == 1


def test_what_cannot_be_set_is_said_in_one_line(command: Command) -> None:
    for name, value in (("Cities", "1"), ("cities", "NaN"), ("cities", "x" * 5001)):
        done = command("variable", "set", name, value)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert command("variable", "get", "cities").returncode == 1


def test_the_list_is_by_name_and_shows_what_cannot_be_read(command: Command, fleet: Fleet) -> None:
    for name in ("list-b", "list-a", "list-c"):
        variables.write(fleet, name, "x" * 100)
    damaged = variables.write(fleet, "list-b", 1, overwrite=True)
    fleet.broker.documents.write(variables.KIND, damaged.id, {"d": b"?"})
    rows = [line for line in command("variable", "ls").stdout.splitlines() if line.startswith("list-")]
    assert [row.split()[0] for row in rows] == ["list-a", "list-b", "list-c"]
    assert "unreadable" in rows[1]
    assert "…" in rows[0]
    listed = json.loads(command("variable", "ls", "-o", "json").stdout)
    assert [one["name"] for one in listed] == sorted(one["name"] for one in listed)
    damaged_there = command("variable", "get", "list-b")
    assert (damaged_there.returncode, "cannot be read here" in damaged_there.stderr) == (1, True)
    assert len(json.loads(command("variable", "ls", "--limit", "2", "--json").stdout)) == 2
