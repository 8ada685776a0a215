"""``orchestrator flow-run``: flow runs of deployments on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from tests.support.apps import deployed_flows
from tests.support.command_line import Command, command_on, on_a_terminal
from tests.support.engines import environment_of

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
SETTINGS = {"late_after_seconds": 0.0}


@pytest.fixture(scope="module")
def served(fleet: Fleet) -> Iterator[str]:
    """A deployment whose runs threads of this process take."""
    deployed_flows.tracker.to_deployment("served").apply()
    queue = find_deployment(fleet.broker, "tracker/served").run_queue
    workers = LocalWorkers(fleet, SlotsOptions((queue, "default"), 2))
    workers.start()
    yield "tracker/served"
    workers.stop(5)


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


def waiting(name: str = "alone") -> str:
    """A run of a deployment that nobody serves."""
    deployed_flows.tracker.to_deployment(name).apply()
    return str(run_deployment(f"tracker/{name}", timeout=0).id)


def listed(command: Command, *arguments: str) -> list[dict[str, Any]]:
    done = command("flow-run", "ls", "-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_flow_runs_are_listed_by_flow_deployment_and_state(command: Command, served: str) -> None:
    ended = run_deployment(served, timeout=30)
    late = waiting("late")
    assert {row["id"] for row in listed(command)} >= {str(ended.id), late}
    assert [row["id"] for row in listed(command, "--deployment", "tracker/late", "--state", "late")] == [late]
    assert listed(command, "--deployment", "tracker/late", "--state-type", "COMPLETED") == []
    (row,) = listed(command, "--flow-name", "track*", "--state-type", "completed", "--limit", "1")
    assert (row["id"], row["deployment"], row["flow"]) == (str(ended.id), served, "tracker")
    text = command("flow-run", "ls", "--deployment", "*/late").stdout
    assert text.splitlines()[0].split() == ["ID", "FLOW", "NAME", "STATE", "WHEN", "DEPLOYMENT", "MESSAGE"]
    assert f"{late}  tracker" in text
    assert "no such flow runs" in command("flow-run", "ls", "--flow-name", "unheard").stdout


def test_a_flow_run_is_inspected_by_its_id_or_the_end_of_it(command: Command, served: str) -> None:
    run = run_deployment(served, parameters={"city": "Oslo"}, flow_run_name="first", timeout=30)
    facts = json.loads(command("flow-run", "inspect", str(run.id), "--json").stdout)
    assert (facts["name"], facts["deployment"], facts["type"]) == ("first", served, "COMPLETED")
    assert facts["parameters"]["city"] == "Oslo"
    assert facts["result"]["city"] == "Oslo"
    assert "deployment     tracker/served" in command("flow-run", "inspect", str(run.id)[-12:]).stdout
    assert "tracking Oslo" in command("flow-run", "logs", str(run.id)).stdout
    done = command("flow-run", "inspect", "0199f1c2-aaaa-7000-8000-0000000004d2")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "Flow run '0199f1c2-aaaa-7000-8000-0000000004d2' not found!" in done.stderr


def test_a_flow_run_is_watched_under_its_flows_name_until_its_end(command: Command, served: str) -> None:
    run = run_deployment(served, timeout=30)
    done = command("flow-run", "watch", str(run.id))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "tracker  Completed")
    assert command("flow-run", "watch", "0199f1c2-aaaa-7000-8000-0000000004d2").returncode == 5


def test_what_waits_is_cancelled_by_id_and_by_state_and_deployment(command: Command) -> None:
    first, second, third = (waiting("to-cancel") for _ in range(3))
    assert command("flow-run", "cancel", first).stdout == f"Flow run '{first}' is being cancelled.\n"
    done = command("flow-run", "cancel", "--state", "Late", "--deployment", "tracker/to-cancel", "-y")
    assert done.returncode == 0
    assert {row["id"] for row in listed(command, "--deployment", "tracker/to-cancel", "--state", "Cancelled")} == {
        first,
        second,
        third,
    }
    again = command("flow-run", "cancel", first)
    assert again.returncode == 1
    assert "has ended already" in again.stderr


def test_cancel_alone_asks_which_one_is_meant(command: Command) -> None:
    done = command("flow-run", "cancel")
    assert done.returncode == 2
    assert "which one?" in done.stderr
    waiting("unasked")
    assert command("flow-run", "cancel", "--deployment", "tracker/unasked").returncode == 2  # nobody can say yes


def test_cancel_alone_lists_on_a_terminal_what_has_not_ended_and_asks(fleet: Fleet, command: Command) -> None:
    for row in listed(command, "--state-type", "SCHEDULED", "--limit", "100"):
        command("flow-run", "cancel", row["id"])
    first, second = waiting("chosen"), waiting("chosen")
    seen = on_a_terminal(environment_of(fleet.settings), "flow-run", "cancel", typed="2\n")
    assert f"2  {first}" in seen  # the newest first
    assert f"Flow run '{first}' is being cancelled." in seen
    assert [row["id"] for row in listed(command, "--deployment", "*/chosen", "--state-type", "SCHEDULED")] == [second]


def test_an_ended_run_is_queued_again_and_deleted(command: Command) -> None:
    run_id = waiting("again")
    command("flow-run", "cancel", run_id)
    assert command("flow-run", "retry", run_id).stdout == f"Flow run '{run_id}' is queued again.\n"
    assert [row["state_name"] for row in listed(command, "--deployment", "tracker/again")] == ["AwaitingRetry"]
    assert command("flow-run", "delete", run_id).returncode == 1  # it has not ended
    command("flow-run", "cancel", run_id)
    assert command("flow-run", "delete", run_id).stdout == f"Flow run '{run_id}' is deleted.\n"
    assert listed(command, "--deployment", "tracker/again") == []


def test_a_flow_run_of_a_script_is_deleted_but_cannot_be_queued_again(command: Command) -> None:
    deployed_flows.fails_once.with_options(name="in-a-script")(return_state=True)
    (row,) = listed(command, "--flow-name", "in-a-script")
    done = command("flow-run", "retry", row["id"])
    assert (done.returncode, "was not sent to a worker" in done.stderr) == (1, True)
    assert command("flow-run", "delete", row["id"]).returncode == 0
    assert listed(command, "--flow-name", "in-a-script") == []


def test_flows_are_listed_that_have_deployments_or_have_run(command: Command, served: str) -> None:
    waiting("alone")
    deployed_flows.fails_once.with_options(name="never-deployed")(return_state=True)
    found = {flow["name"]: flow for flow in json.loads(command("flow", "ls", "-o", "json").stdout)}
    assert {"alone", "served"} <= set(found["tracker"]["deployments"])
    assert (found["never-deployed"]["deployments"], found["never-deployed"]["last_run"]["run_count"]) == ([], 2)
    assert command("flow", "ls").stdout.splitlines()[0].split() == ["FLOW", "DEPLOYMENTS", "LAST", "RUN", "STATE", "ID"]
