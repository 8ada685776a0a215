"""``deployment run --dry-run`` and ``work-pool preview``: what would be started, and nothing is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.editing import pause_deployment
from orchestrator.inspection import FlowRunFilter, flow_runs_of
from orchestrator.schedules import Interval
from orchestrator.variables import Variable
from orchestrator.work_pools.editing import create_pool, pause_pool
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
TEMPLATE = {
    "job_configuration": {
        "env": {"CITY": "{{ prefect.variables.city_of_previews }}", "API_TOKEN": "{{ token }}", "SIZE": "{{ size }}"},
        "working_dir": "{{ working_dir }}",
    },
    "variables": {"properties": {"token": {"default": "s3cr3t"}, "size": {"default": 1}, "working_dir": {}}},
}


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


@flow
def previewed(city: str, days: int = 1) -> None:
    """A flow of a pool."""


def deployed(fleet: Fleet, pool: str, name: str, **options: Any) -> str:
    """A deployment in a pool of its own; its name."""
    create_pool(fleet, pool, "process", base_job_template=TEMPLATE)
    Variable.set("city_of_previews", "Oslo", overwrite=True)
    previewed.to_deployment(name, work_pool_name=pool, parameters={"city": "Rome"}, **options).apply()
    return f"previewed/{name}"


def answered(command: Command, *words: str) -> Any:
    done = command(*words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_shows_the_run_and_makes_none(command: Command, fleet: Fleet) -> None:
    name = deployed(fleet, "dry", "dry", job_variables={"size": 2, "working_dir": "/srv/dry"})
    words = ("deployment", "run", name, "-p", "days=3", "--job-variable", "size=5", "--dry-run")
    found = answered(command, *words)
    assert found["parameters"] == {"city": "Rome", "days": 3}
    assert (found["deployment"], found["work_pool"], found["is_read"]) == (name, "dry", False)
    assert found["env"] == {"CITY": "Oslo", "API_TOKEN": "••••••", "SIZE": "5"}
    assert (found["working_dir"], found["queue"][:2]) == ("/srv/dry", "p-")
    text = command(*words)
    assert text.returncode == 0
    assert text.stdout.startswith("no run was made; it would be:\n")
    assert "s3cr3t" not in text.stdout
    assert flow_runs_of(fleet, FlowRunFilter(deployments=(name,)), 10) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-p", "days=soon"), "days"),
        (("-p", "colour=red"), "colour"),
        (("--version", "77"), "77"),
    ],
)
def test_a_dry_run_refuses_what_a_run_would_be_refused_for(
    command: Command, fleet: Fleet, words: tuple[str, ...], reason: str
) -> None:
    name = deployed(fleet, f"refused-{reason}", f"refused-{reason}")
    done = command("deployment", "run", name, *words, "--dry-run")
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preview_has_what_waits_and_the_ticks_to_come(command: Command, fleet: Fleet) -> None:
    name = deployed(fleet, "ahead", "ahead", schedules=[Interval(timedelta(minutes=10))])
    now = run_deployment(name, timeout=0)
    later = run_deployment(name, timeout=0, scheduled_time=datetime.now().astimezone() + timedelta(hours=5))
    found = answered(command, "work-pool", "preview", "ahead")
    assert {run["deployment"] for run in found} == {name}
    assert [run["flow_run_id"] for run in found if not run["is_tick"]] == [str(now.id)]
    ticks = [datetime.fromisoformat(run["due"]) for run in found if run["is_tick"]]
    assert 5 <= len(ticks) <= 6
    assert {second - first for first, second in pairwise(ticks)} == {timedelta(minutes=10)}
    env = {"CITY": "Oslo", "API_TOKEN": "••••••", "SIZE": "1"}
    assert [run["env"] for run in found if run["env"] != env] == []
    day = answered(command, "work-pool", "preview", "ahead", "--within", "6h")
    assert {run["flow_run_id"] for run in day if not run["is_tick"]} == {str(now.id), str(later.id)}
    assert [run["due"] for run in day] == sorted(run["due"] for run in day)
    pause_deployment(fleet, name)
    assert [run["is_tick"] for run in answered(command, "work-pool", "preview", "ahead")] == [False]
    pause_pool(fleet, "ahead", True)
    text = command("work-pool", "preview", "ahead").stdout
    assert "ahead is paused" in text
    assert str(now.id)[:8] in text or name in text


def test_a_preview_of_what_cannot_be_filled_in_says_so(command: Command, fleet: Fleet) -> None:
    name = deployed(fleet, "gone-variable", "gone-variable")
    run_deployment(name, timeout=0)
    Variable.unset("city_of_previews")
    (found,) = answered(command, "work-pool", "preview", "gone-variable")
    assert "variable set city_of_previews VALUE" in found["trouble"]
    refused = command("deployment", "run", name, "--dry-run")
    assert (refused.returncode, "city_of_previews" in refused.stderr) == (1, True)


def test_a_preview_of_nothing(command: Command, fleet: Fleet) -> None:
    create_pool(fleet, "idle", "process")
    assert command("work-pool", "preview", "idle").stdout == "idle has nothing to start within 1:00:00\n"
    assert answered(command, "work-pool", "preview", "idle", "--hours", "24") == []
    assert command("work-pool", "preview", "nowhere").returncode == 1
    assert command("work-pool", "preview", "idle", "--hours", "1", "--within", "1h").returncode == 2
