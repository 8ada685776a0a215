"""``orchestrator artifact``: what runs left behind on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import artifacts
from orchestrator.client.fleet import Fleet, use_fleet
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine


@pytest.fixture
def command(fleet: Fleet) -> Iterator[Command]:
    fleet.broker.artifacts.delete(fleet.broker.artifacts.newest(0, 1000)[1])  # of the tests before: they share a fleet
    before = use_fleet(fleet)
    yield command_on(fleet)
    use_fleet(before)


def shown(command: Command, *words: str) -> Any:
    done = command("artifact", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_list_has_the_newest_version_of_each_key(command: Command) -> None:
    first, second = (artifacts.create_markdown_artifact(text, key="b-report") for text in ("one", "two"))
    table = artifacts.create_table_artifact([{"a": 1}], key="a-table", description="Of customers\nand more")
    plain = artifacts.create_progress_artifact(5)
    assert [one["id"] for one in shown(command, "ls")] == [str(table), str(second)]
    every = shown(command, "ls", "--all")
    assert [one["id"] for one in every] == [str(one) for one in (plain, table, second, first)]
    assert [one["id"] for one in shown(command, "ls", "--all", "--limit", "1")] == [str(plain)]
    text = command("artifact", "ls").stdout
    assert "a-table" in text
    assert "Of customers" in text
    assert str(first) not in text
    assert "and 1 more: --limit" in command("artifact", "ls", "--limit", "1").stdout


def test_inspect_shows_the_versions_of_a_key(command: Command) -> None:
    for text in ("one", "# Two\n" + "line\n" * 30):
        artifacts.create_markdown_artifact(text, key="report", description="d")
    found = shown(command, "inspect", "report")
    assert [one["data"][:5] for one in found] == ["# Two", "one"]
    assert set(found[0]) == {
        "id", "created", "updated", "key", "type", "description", "data", "metadata_", "flow_run_id", "task_run_id",
    }  # fmt: skip
    text = command("artifact", "inspect", "report", "--limit", "1").stdout
    assert "# Two" in text
    assert "11 more lines: -o json" in text
    assert "and 1 older versions: --limit" in text


def test_inspect_shows_tables_and_pictures(command: Command) -> None:
    artifacts.create_table_artifact({"a": range(1001)}, key="long")
    artifacts.create_table_artifact([[1, None]], key="short")
    artifacts.create_image_artifact(b"GIF89a", key="picture")
    assert json.loads(shown(command, "inspect", "short")[0]["data"]) == [[1, None]]
    (long,) = shown(command, "inspect", "long")
    assert (long["data"], long["metadata_"]["rows"]) == (None, "1001")
    assert "rows: 1,001, columns: a" in command("artifact", "inspect", "long").stdout
    assert "picture: image/gif, 6 bytes" in command("artifact", "inspect", "picture").stdout


def test_delete_takes_every_version_of_a_key_or_one_by_its_id(command: Command) -> None:
    kept, other = (
        artifacts.create_markdown_artifact("a", key="kept"),
        artifacts.create_markdown_artifact("b", key="kept"),
    )
    for _ in range(2):
        artifacts.create_markdown_artifact("x", key="gone")
    assert command("artifact", "delete", "gone").stdout == "Deleted 2 artifact(s) with key 'gone'.\n"
    assert command("artifact", "delete", "--id", str(other).upper()).stdout == f"Deleted artifact with id '{other}'.\n"
    assert [one["id"] for one in shown(command, "ls", "--all")] == [str(kept)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["inspect", "gone"], "Artifact 'gone' not found!"),
        (["delete", "gone"], "Artifact 'gone' not found!"),
        (["delete", "--id", "01a227c1-dcdd-7406-be86-cb19c63bdc5f"], "Artifact with id '01a227c1"),
        (["delete", "--id", "nonsense"], "'nonsense' is no id of an artifact"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_1(command: Command, words: list[str], says: str) -> None:
    done = command("artifact", *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["delete"], ["delete", "a", "--id", "b"]])
def test_delete_wants_a_key_or_an_id(command: Command, words: list[str]) -> None:
    done = command("artifact", *words)
    assert done.returncode == 2
    assert "either a key or --id" in done.stderr


def test_without_artifacts_the_list_says_so(command: Command) -> None:
    assert "there is no artifact with a key yet" in command("artifact", "ls").stdout
    assert shown(command, "ls", "--all") == []
