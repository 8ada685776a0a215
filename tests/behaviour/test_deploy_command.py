"""``orchestrator deploy``: deployments of a flow that is named, and of a project's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.schedules import owner_of
from orchestrator.scheduling.edit import of_owner
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
FLOWS = """
from orchestrator import flow

@flow
def etl(days: int = 1): "Loads."; return days

if __name__ != "__main__":
    etl.serve("never")  # while it is loaded nothing is served
"""
PROJECT = """
deployments:
- name: one
  entrypoint: "project_flows.py:etl"
  tags: ["{{ prefect.variables.tag }}"]
  parameters: {days: 2}
  schedule: {cron: "@daily"}
- {name: two, entrypoint: "project_flows.py:etl", paused: true}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with flows, which is the current one."""
    (tmp_path / "project_flows.py").write_text(FLOWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


def schedules_of(fleet: Fleet, name: str) -> list[Any]:
    return [one.schedule for one in of_owner(fleet, owner_of(find_deployment(fleet.broker, name).id))]


def test_a_flow_of_a_file_is_deployed_and_what_is_not_said_again_stays(
    fleet: Fleet, command: Command, project: Path
) -> None:
    words = ("--cron", "0 6 * * *", "--timezone", "Europe/Oslo", "-t", "etl", "--param", "days=3", "-l", "2")
    done = command("deploy", "project_flows.py:etl", "-n", "nightly", *words)
    assert done.returncode == 0, done.stderr
    record = find_deployment(fleet.broker, "etl/nightly")
    assert done.stdout.splitlines() == [
        f"Deployment 'etl/nightly' successfully created with id '{record.id}': version 1.",
        "  run it:  orchestrator deployment run 'etl/nightly'",
        "  nobody takes its runs yet:  orchestrator serve project_flows.py:etl -n 'nightly'",
    ]
    command("deploy", "./project_flows.py:etl", "-n", "nightly", "-d", "Every night.")
    record = find_deployment(fleet.broker, "etl/nightly")
    assert (record.parameters, record.tags, record.description) == ({"days": 3}, ("etl",), "Every night.")
    (schedule,) = schedules_of(fleet, "etl/nightly")
    assert (schedule.cron, schedule.timezone) == ("0 6 * * *", "Europe/Oslo")


def test_a_projects_file_is_deployed_whole_or_in_part_and_options_win(
    fleet: Fleet, command: Command, project: Path
) -> None:
    (project / "orchestrator.yaml").write_text(PROJECT)
    untold = command("deploy", "-n", "one")
    assert (untold.returncode, "orchestrator variable set tag VALUE" in untold.stderr) == (1, True)
    command("variable", "set", "tag", "a")
    done = command("deploy")
    assert (done.returncode, "describes one, two" in done.stderr) == (2, True)
    told = json.loads(command("deploy", "--all", "-o", "json").stdout)
    assert [one["name"] for one in told] == ["etl/one", "etl/two"]
    assert find_deployment(fleet.broker, "etl/two").paused
    command("deploy", "-n", "o*", "--param", "days=5")
    record = find_deployment(fleet.broker, "etl/one")
    assert (record.parameters, record.tags) == ({"days": 5}, ("a",))
    assert [one.cron for one in schedules_of(fleet, "etl/one")] == ["@daily"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "which flow?"),
        (("project_flows.py:etl",), 2, "-n NAME"),
        (("project_flows.py:load", "-n", "a"), 1, "has no 'load'; its flows: etl"),
        (("missing.py:etl", "-n", "a"), 1, "there is no file"),
        (("project_flows.py:etl", "-n", "a/b"), 1, "'a/b' is no name"),
        (("project_flows.py:etl", "-n", "a", "-p", "no-pool"), 1, "Work pool 'no-pool' not found!"),
        (("project_flows.py:etl", "-n", "a", "--param", "source=x"), 1, "'source'"),
        (("project_flows.py:etl", "-n", "a", "--cron", "never"), 2, "'never'"),
        (("--file", "other.yaml", "--all"), 1, "other.yaml cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_deployed_is_said_and_nothing_is_written(
    command: Command, project: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = command("deploy", *words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert command("deployment", "inspect", "etl/a").returncode == 1
