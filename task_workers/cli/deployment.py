"""``orchestrator deployment``: deployments, their versions; runs of them are in ``deployment_run``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from task_workers.cli.deployment_run import run
from task_workers.cli.deployment_schedule import schedule
from task_workers.cli.deployment_table import (
    DROP,
    HEADS,
    VERSION_DROP,
    VERSION_HEADS,
    facts_of,
    json_of,
    json_of_version,
    row_of,
    version_row,
)
from task_workers.cli.run_facts import print_facts
from task_workers.cli.session import polled_queues, say_project, the_fleet
from task_workers.cli.terminal import as_json, ask, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.scheduling.record import ScheduleRecord

MOST = 10_000
_NAME = click.argument("name", metavar="NAME")


@click.group("deployment")
def command() -> None:
    """Deployments: list them, look at one, run it, go back to an earlier version. NAME is FLOW/DEPLOYMENT, or an id."""


command.add_command(run)
command.add_command(schedule)


@command.command("ls")
@click.option("--flow-name", "flows", multiple=True, metavar="NAME", help="Of this flow; * and ? (repeatable).")
@as_json
def list_deployments(flows: tuple[str, ...], as_json: bool) -> None:
    """List deployments with their schedules, and whether somebody serves them."""
    from orchestrator.deployments.lookup import newest_deployments

    with the_fleet() as fleet:
        _, records = newest_deployments(fleet.broker, 0, MOST)
        found = [one for one in records if not flows or any(fnmatchcase(one.flow_name, flow) for flow in flows)]
        found.sort(key=lambda one: one.full_name)
        schedules = _schedules_by_deployment(fleet) if found else {}
        polled = polled_queues(fleet) if found else set()
        if not found:
            say_project(fleet)
    if as_json:
        return echo_json([json_of(one, schedules.get(one.id, ()), polled) for one in found])
    if not found:
        return say("there are no such deployments" if flows else "there are no deployments")
    return echo_table(HEADS, [row_of(one, schedules.get(one.id, ()), polled) for one in found], DROP)


def _schedules_by_deployment(fleet: Fleet) -> dict[str, list[ScheduleRecord]]:
    """All schedules of deployments, in two round trips. Raises BrokerError."""
    from orchestrator.scheduling.edit import newest

    found: dict[str, list[ScheduleRecord]] = {}
    for each in newest(fleet, 0, MOST)[1]:
        if each.is_of_deployment:
            found.setdefault(each.owner[2:], []).append(each)
    return found


@command.command()
@_NAME
@as_json
def inspect(name: str, as_json: bool) -> None:
    """What is known of a deployment: where its flow is, parameters, schedules, version, limits."""
    from orchestrator.deployments.lookup import find_deployment
    from orchestrator.deployments.schedules import owner_of
    from orchestrator.scheduling.edit import of_owner

    with the_fleet() as fleet:
        record = find_deployment(fleet.broker, name)
        schedules, polled = of_owner(fleet, owner_of(record.id)), polled_queues(fleet)
    if as_json:
        return echo_json(json_of(record, schedules, polled))
    return print_facts(facts_of(record, schedules, polled))


@command.command()
@_NAME
@as_json
def versions(name: str, as_json: bool) -> None:
    """The versions of a deployment, the newest first; the one that runs has a star."""
    from orchestrator.deployments.editing import versions

    with the_fleet() as fleet:
        record, kept = versions(fleet, name)
    if as_json:
        return echo_json([json_of_version(version, record.version_number) for version in kept])
    return echo_table(VERSION_HEADS, [version_row(version, record.version_number) for version in kept], VERSION_DROP)


@command.command()
@_NAME
@click.option("--to", "version", required=True, metavar="VERSION", help="Number or label of the version.")
def rollback(name: str, version: str) -> None:
    """Have an earlier version of a deployment run, from the next run on; it keeps its number."""
    from orchestrator.deployments.editing import roll_back

    with the_fleet() as fleet:
        rolled = roll_back(fleet, name, version)
    label = f" ({rolled.label})" if rolled.label else ""
    say(f"Deployment {rolled.deployment_name!r} runs version {rolled.number}{label} now.")


@command.command()
@_NAME
def pause(name: str) -> None:
    """Leave the schedules of a deployment alone until it is resumed; runs by hand go on. Survives redeployments."""
    from orchestrator.deployments.editing import pause_deployment

    with the_fleet() as fleet:
        record = pause_deployment(fleet, name)
    say(f"Deployment {record.full_name!r} is paused.")


@command.command()
@_NAME
def resume(name: str) -> None:
    """Have the schedules of a deployment fire again, from the first tick after now on."""
    from orchestrator.deployments.editing import resume_deployment

    with the_fleet() as fleet:
        record = resume_deployment(fleet, name)
    say(f"Deployment {record.full_name!r} is not paused.")


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@with_yes
def delete(names: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete deployments with their schedules and versions; their runs that have not begun are cancelled."""
    from orchestrator.deployments.editing import delete_deployment
    from orchestrator.deployments.lookup import find_deployment, newest_deployments

    if bool(names) == everything:
        raise click.UsageError("which ones? Name deployments, or say --all")
    with the_fleet() as fleet:
        if everything:
            records = newest_deployments(fleet.broker, 0, MOST)[1]
            ask(f"delete all {len(records):,} deployments for good?", yes)
        else:
            records = [find_deployment(fleet.broker, name) for name in names]
            ask_on_a_terminal(f"delete {', '.join(record.full_name for record in records)} for good?", yes)
        for record in records:
            delete_deployment(fleet, record.id)
            say(f"Deleted deployment {record.full_name!r}.")
