"""``orchestrator work-pool`` and ``work-queue``: pools on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.lookup import find_deployment
from orchestrator.work_pools.lookup import find_pool
from orchestrator.work_pools.members import PoolMembers
from tests.support.apps import deployed_flows
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
EVERY_COMMAND = [
    ("inspect", "gone"),
    ("pause", "gone"),
    ("resume", "gone"),
    ("update", "gone", "--description", "x"),
    ("set-concurrency-limit", "gone", "1"),
    ("clear-concurrency-limit", "gone"),
    ("delete", "gone", "--yes"),
]


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


def inspected(command: Command, name: str) -> Any:
    done = command("work-pool", "inspect", name, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=lambda words: words[0])
def test_a_pool_that_is_not_there_is_one_line_and_exit_code_1(command: Command, words: tuple[str, ...]) -> None:
    done = command("work-pool", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("orchestrator: Work pool 'gone' not found!")
    assert len(done.stderr.splitlines()) == 1


def test_a_pool_from_its_making_to_its_end(command: Command, fleet: Fleet, tmp_path: Path) -> None:
    template = json.loads(command("work-pool", "get-default-base-job-template", "--type", "process").stdout)
    template["variables"]["properties"]["working_dir"]["default"] = str(tmp_path)
    (tmp_path / "t.json").write_text(json.dumps(template))
    assert command("work-pool", "create", "blue", "--type", "process", "--description", "ours").returncode == 0
    again = command("work-pool", "create", "blue")
    assert (again.returncode, "--overwrite" in again.stderr) == (1, True)
    assert command("work-pool", "set-concurrency-limit", "blue", "3").returncode == 0
    assert command("work-pool", "create", "blue", "--overwrite", "--paused").returncode == 0
    pool = inspected(command, "blue")
    assert (pool["type"], pool["status"], pool["concurrency_limit"], pool["description"]) == (
        "process",
        "PAUSED",
        3,
        None,
    )
    assert command("work-pool", "pause", "blue").stdout == "blue was paused already\n"
    assert command("work-pool", "resume", "blue").stdout == "blue goes on\n"
    assert command("work-pool", "update", "blue", "--base-job-template", str(tmp_path / "t.json")).returncode == 0
    assert inspected(command, "blue")["base_job_template"] == template
    assert "process" in command("work-pool", "inspect", "blue").stdout
    assert "NOT_READY" in command("work-pool", "ls").stdout
    deployed_flows.tracker.deploy("in-blue", work_pool_name="blue", print_next_steps=False)
    assert PoolMembers(fleet.broker, "blue")() == [find_deployment(fleet.broker, "tracker/in-blue").id]
    assert "1 deployments name it" in command("work-pool", "delete", "blue", "--yes").stdout
    assert command("work-pool", "inspect", "blue").returncode == 1


def test_what_cannot_be_a_pool_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    for words in (["a/b"], ["p", "--type", "moon"], ["p", "--base-job-template", str(tmp_path / "t.json")]):
        assert command("work-pool", "create", *words).returncode == 2
    assert "nothing to change" in command("work-pool", "update", "p").stderr


def test_the_queues_of_a_pool_are_read_in_the_order_of_their_priorities(command: Command, fleet: Fleet) -> None:
    command("work-pool", "create", "green")
    assert command("work-queue", "create", "slow", "-p", "green").returncode == 0
    assert command("work-queue", "create", "urgent", "-p", "green", "--priority", "1", "--limit", "2").returncode == 0
    assert command("work-queue", "create", "urgent", "-p", "green").returncode == 1
    assert [each.name for each in find_pool(fleet.broker, "green").queues] == ["default", "urgent", "slow"]
    assert command("work-queue", "pause", "slow", "-p", "green").stdout == "slow is paused\n"
    slow = find_pool(fleet.broker, "green").queues[2].queue
    command("work-pool", "pause", "green")
    command("work-pool", "resume", "green")
    assert fleet.broker.queues.paused() == {slow}  # by itself
    assert command("work-queue", "resume", "slow", "-p", "green").stdout == "slow goes on\n"
    listed = json.loads(command("work-queue", "ls", "-p", "green", "-o", "json").stdout)
    assert [(each["name"], each["concurrency_limit"]) for each in listed] == [
        ("default", None),
        ("urgent", 2),
        ("slow", None),
    ]
    assert "has no queue 'none'" in command("work-queue", "pause", "none", "-p", "green").stderr


def test_job_variables_that_the_pool_does_not_have_are_named_when_a_flow_is_deployed(
    command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    command("work-pool", "create", "plain")
    with caplog.at_level(logging.WARNING, "orchestrator.deployments"):
        variables = {"working_dirs": "/", "env": {}}
        deployed_flows.tracker.deploy("odd", work_pool_name="plain", job_variables=variables, print_next_steps=False)
    assert "'working_dirs' (did you mean 'working_dir'?)" in caplog.text
