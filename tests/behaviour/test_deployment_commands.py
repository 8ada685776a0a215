"""``orchestrator deployment``: deployments on the command line, in words that Prefect's users know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.deployments.lookup import find_deployment
from orchestrator.schedules import Cron
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from tests.support.apps import deployed_flows
from tests.support.command_line import Command, command_on

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
SERVED = "tracker/served"
EVERY_COMMAND = [
    ("run",),
    ("inspect",),
    ("versions",),
    ("rollback", "--to", "1"),
    ("pause",),
    ("resume",),
    ("delete",),
    ("schedule", "ls"),
    ("schedule", "create", "--cron", "@daily"),
    ("schedule", "clear"),
]


@pytest.fixture(scope="module", autouse=True)
def served(fleet: Fleet) -> Iterator[LocalWorkers]:
    """Deployments whose runs threads of this process take."""
    deployed_flows.tracker.to_deployment("served", tags=["etl"], parameters={"city": "Oslo"}).apply()
    deployed_flows.on_a_loop.to_deployment("served").apply()
    names = (SERVED, "on-a-loop/served")
    queues = [find_deployment(fleet.broker, name).run_queue for name in names]
    workers = LocalWorkers(fleet, SlotsOptions((*queues, "default"), 2))
    workers.start()
    yield workers
    workers.stop(5)


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


@pytest.fixture
def alone() -> str:
    """A deployment that nobody serves, with two schedules."""
    schedules = [Cron("0 6 * * *", timezone="Europe/Oslo", slug="morning"), Cron("@hourly")]
    deployed_flows.tracker.to_deployment("alone", schedules=schedules, paused=False).apply()
    return "tracker/alone"


def read(command: Command, *arguments: str) -> Any:
    done = command("deployment", *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_what_is_not_there_is_one_line_and_exit_code_1(command: Command, words: tuple[str, ...]) -> None:
    at = 2 if words[0] == "schedule" else 1
    done = command("deployment", *words[:at], "a/b", *words[at:])
    assert done.returncode == 1
    assert done.stderr.startswith("orchestrator: Deployment 'a/b' not found!")
    assert len(done.stderr.splitlines()) == 1


def test_deployments_are_listed_with_who_serves_them_and_their_schedules(command: Command, alone: str) -> None:
    found = {one["flow_name"] + "/" + one["name"]: one for one in read(command, "ls")}
    assert (found[SERVED]["status"], found[alone]["status"]) == ("READY", "NOT_READY")
    assert [one["schedule"].get("timezone") for one in found[alone]["schedules"]].count("Europe/Oslo") == 1
    assert {one["flow_name"] for one in read(command, "ls", "--flow-name", "on-*")} == {"on-a-loop"}
    lines = command("deployment", "ls").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "SCHEDULES", "POOL", "VERSION", "TAGS", "ID"]
    (line,) = [line for line in lines if line.startswith(alone)]
    assert "0 6 * * * (Europe/Oslo)" in line
    assert command("deployment", "ls", "--flow-name", "unheard").stdout == "there are no such deployments\n"


def test_a_deployment_is_inspected_by_its_name_and_its_id(fleet: Fleet, command: Command, alone: str) -> None:
    facts = read(command, "inspect", SERVED)
    assert (facts["parameters"], facts["tags"], facts["version"]) == ({"city": "Oslo"}, ["etl"], 1)
    assert facts["parameter_openapi_schema"]["properties"].keys() == {"city", "days"}
    assert read(command, "inspect", facts["id"]) == facts
    text = command("deployment", "inspect", alone).stdout
    assert "name           tracker/alone" in text
    assert "Europe/Oslo): active" in text


def test_a_run_is_made_and_told_with_all_that_was_asked_for(fleet: Fleet, command: Command, alone: str) -> None:
    more = ("--start-in", "2 hours", "-t", "by hand", "-jv", "cpu=2", "--flow-run-name", "mine", "-p", "days=3")
    done = command("deployment", "run", alone, "--params", '{"city": "Rome", "days": 1}', *more)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Created flow run 'mine'."
    run_id = lines[1].removeprefix("  UUID: ")
    assert lines[2] == "  Parameters: {'city': 'Rome', 'days': 3}"
    assert lines[3] == "  Job Variables: {'cpu': 2}"
    assert "(in 2h00m)" in lines[4] or "(in 1h59m)" in lines[4]
    assert run_id in lines[5]
    assert "nobody serves 'tracker/alone' now" in done.stderr
    run = read_flow_run(fleet, run_id)
    assert (run.name, run.parameters, run.tags) == ("mine", {"city": "Rome", "days": 3}, ("by hand",))


def test_the_name_of_a_run_has_its_parameters(command: Command, alone: str) -> None:
    done = command(
        "--no-prompt", "deployment", "run", alone, "-p", "city=Rome", "--flow-run-name", "to {city}, {{now}}"
    )
    assert done.stdout.splitlines()[0] == "Created flow run 'to Rome, {now}'.", done.stderr
    done = command("deployment", "run", alone, "-p", "city=Rome", "--flow-run-name", "to {town}")
    assert done.returncode == 2
    assert "'to {town}' cannot be filled in; parameters of this run: city" in done.stderr


def test_a_watched_run_ends_the_command_with_its_end(command: Command) -> None:
    done = command("deployment", "run", SERVED, "-p", "days=2", "--watch")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "tracker  Completed"
    assert "tracking Oslo" in done.stdout
    found = read(command, "run", SERVED, "-p", "days=4", "--watch")
    assert (found["state"], found["result"]["days"]) == ("Completed", 4)


def test_watching_stops_when_its_time_is_over_and_the_run_goes_on(command: Command, alone: str) -> None:
    done = command("deployment", "run", alone, "--watch", "--watch-timeout", "0")
    assert done.returncode == 124
    assert "the run goes on: orchestrator flow-run watch" in done.stderr


def test_parameters_come_from_standard_input(command: Command) -> None:
    done = command("deployment", "run", "on-a-loop/served", "--params", "-", "--watch", "-o", "json", stdin='{"x": 4}')
    assert json.loads(done.stdout)["result"] == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-p", "days"), "NAME=VALUE"),
        (("--params", "[1]"), "JSON object"),
        (("--start-in", "soon"), "'soon' is no span"),
        (("--start-at", "tomorrow"), "'tomorrow' is no moment"),
        (("--start-in", "1h", "--start-at", "now"), "not both"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_a_usage_error(command: Command, words: tuple[str, ...], told: str) -> None:
    done = command("deployment", "run", SERVED, *words)
    assert done.returncode == 2
    assert told in done.stderr


def test_parameters_that_do_not_fit_are_refused_before_a_run_is_made(command: Command) -> None:
    done = command("deployment", "run", SERVED, "-p", "source=x")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "'source'" in done.stderr


def test_a_deployment_goes_back_to_an_earlier_version(command: Command) -> None:
    for label in ("one", "two"):
        deployed_flows.tracker.to_deployment("versioned", version=label).apply()
    assert [
        (one["number"], one["label"], one["current"]) for one in read(command, "versions", "tracker/versioned")
    ] == [
        (2, "two", True),
        (1, "one", False),
    ]
    done = command("deployment", "rollback", "tracker/versioned", "--to", "one")
    assert done.stdout == "Deployment 'tracker/versioned' runs version 1 (one) now.\n"
    assert command("deployment", "versions", "tracker/versioned").stdout.splitlines()[2].startswith("1 *")
    assert "has no version '7'" in command("deployment", "rollback", "tracker/versioned", "--to", "7").stderr


def test_a_paused_deployment_is_shown_as_such_until_it_is_resumed(command: Command, alone: str) -> None:
    assert command("deployment", "pause", alone).stdout == f"Deployment '{alone}' is paused.\n"
    assert read(command, "inspect", alone)["status"] == "PAUSED"
    assert command("deployment", "resume", alone).returncode == 0
    assert read(command, "inspect", alone)["status"] == "NOT_READY"


def test_schedules_are_created_paused_resumed_and_deleted(command: Command, alone: str) -> None:
    made = command("deployment", "schedule", "create", alone, "--interval", "PT30M", "--inactive")
    assert made.returncode == 0, made.stderr
    schedule_id = made.stdout.split("'")[1]
    found = {one["id"]: one for one in read(command, "schedule", "ls", alone)}
    assert (len(found), found[schedule_id]["active"]) == (3, False)
    assert command("deployment", "schedule", "resume", alone, schedule_id[:8]).returncode == 0
    assert command("deployment", "schedule", "pause", alone, "morning").returncode == 0
    found = {one["slug"] or one["id"]: one for one in read(command, "schedule", "ls", alone)}
    assert (found[schedule_id]["active"], found["morning"]["active"]) == (True, False)
    assert "no (paused: paused by hand)" in command("deployment", "schedule", "ls", alone).stdout
    assert "Deleted 1 of 3" in command("deployment", "schedule", "delete", alone, "morning").stdout
    assert "no schedule 'morning'" in command("deployment", "schedule", "delete", alone, "morning").stderr
    command("deployment", "schedule", "create", alone, "--cron", "0 7 * * *", "--replace")
    assert [one["schedule"]["cron"] for one in read(command, "schedule", "ls", alone)] == ["0 7 * * *"]
    assert command("deployment", "schedule", "clear", alone).returncode == 0
    assert "has no schedules" in command("deployment", "schedule", "ls", alone).stdout


def test_the_schedule_of_a_deployment_makes_runs_now_and_of_a_time_that_has_passed(
    fleet: Fleet, command: Command, alone: str
) -> None:
    made = command("deployment", "schedule", "create", alone, "--interval", "PT30M", "--inactive")
    schedule_id = made.stdout.split("'")[1]
    triggered = command("schedule", "trigger", schedule_id)
    assert read_flow_run(fleet, triggered.stdout.strip()).deployment_name == alone, triggered.stderr
    window = ("--from", "2024-01-01", "--to", "2024-01-01T01:00")
    backfilled = command("schedule", "backfill", schedule_id, *window)
    assert [read_flow_run(fleet, run_id).deployment_name for run_id in backfilled.stdout.split()] == [alone] * 3
    assert command("schedule", "backfill", schedule_id, *window).stdout == ""


@pytest.mark.parametrize("words", [(), ("--cron", "61 * * * *"), ("--cron", "@daily", "--timezone", "Europe/Osl")])
def test_a_schedule_that_never_fires_is_a_usage_error(command: Command, alone: str, words: tuple[str, ...]) -> None:
    assert command("deployment", "schedule", "create", alone, *words).returncode == 2


def test_a_deleted_deployment_is_gone_and_what_waited_for_it_is_cancelled(fleet: Fleet, command: Command) -> None:
    deployed_flows.tracker.to_deployment("gone").apply()
    run = run_deployment("tracker/gone", timeout=0)
    assert command("deployment", "delete", "tracker/gone").stdout == "Deleted deployment 'tracker/gone'.\n"
    assert command("deployment", "inspect", "tracker/gone").returncode == 1
    assert read_flow_run(fleet, str(run.id)).state_name == "Cancelled"
    assert command("deployment", "delete").returncode == 2


def test_a_damaged_deployment_and_schedule_are_shown_as_such_and_hide_nothing(fleet: Fleet, command: Command) -> None:
    deployed_flows.tracker.to_deployment("damaged", schedules=[Cron("@daily")]).apply()
    record = find_deployment(fleet.broker, "tracker/damaged")
    fleet.broker.documents.write("deployment", record.id, {"d": b"\xff\x1b[2J", "v": b"many"})
    (schedule_id,) = fleet.broker.schedules.of(f"d:{record.id}")
    fleet.broker.schedules.write(schedule_id, {"s": b"\xff"})
    found = {one["name"]: one for one in read(command, "ls") if one["flow_name"] == "tracker"}
    assert (found["damaged"]["status"], found["served"]["status"]) == ("UNREADABLE", "READY")
    assert "left alone: its record is damaged" in command("deployment", "schedule", "ls", "tracker/damaged").stdout
    done = command("deployment", "run", "tracker/damaged")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert command("deployment", "delete", "tracker/damaged").returncode == 0
