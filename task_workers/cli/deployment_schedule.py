"""``orchestrator deployment schedule``: the schedules of one deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from task_workers.cli.deployment_table import SCHEDULE_DROP, SCHEDULE_HEADS, json_of_schedule, schedule_row
from task_workers.cli.schedule_options import with_schedule_options
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.deployments.record import DeploymentRecord
    from orchestrator.schedules import Schedule
    from orchestrator.scheduling.record import ScheduleRecord

_NAME = click.argument("name", metavar="NAME")
_SCHEDULE = click.argument("schedule_id")


@click.group("schedule")
def schedule() -> None:
    """The schedules of a deployment. SCHEDULE_ID is an id, the beginning or end of one, or a slug."""


@contextmanager
def _deployment(name: str) -> Iterator[tuple[Fleet, DeploymentRecord, list[ScheduleRecord]]]:
    """A deployment and its schedules."""
    from orchestrator.deployments.lookup import find_deployment
    from orchestrator.deployments.schedules import owner_of
    from orchestrator.scheduling.edit import of_owner

    with the_fleet() as fleet:
        record = find_deployment(fleet.broker, name)
        yield fleet, record, of_owner(fleet, owner_of(record.id))


def _one(name: str, found: list[ScheduleRecord], text: str) -> ScheduleRecord:
    """The schedule that a text means. Raises ObjectNotFound, ``click.UsageError``."""
    from orchestrator.errors import ObjectNotFound

    if not text:
        raise click.UsageError("which schedule? The id is empty")
    slugs = [one for one in found if one.schedule is not None and one.schedule.slug == text]
    fitting = slugs or [one for one in found if one.id.startswith(text) or one.id.endswith(text)]
    if not fitting:
        raise ObjectNotFound(f"Deployment {name!r} has no schedule {text!r}!")
    if len(fitting) > 1:
        raise click.UsageError(f"{text!r} may mean any of {', '.join(one.id for one in fitting)}")
    return fitting[0]


@schedule.command("ls")
@_NAME
@as_json
def list_schedules(name: str, as_json: bool) -> None:
    """List the schedules of a deployment, and when they are due next, in their zones."""
    from orchestrator.scheduling.edit import upcoming

    with _deployment(name) as (fleet, record, found):
        now_ms = fleet.broker.ticks.now_ms()
    if as_json:
        return echo_json([json_of_schedule(one) for one in found])
    if not found:
        return say(f"Deployment {record.full_name!r} has no schedules.")
    coming = [next((tick.tick_ms for tick in upcoming(one, now_ms, 1)), None) for one in found]
    rows = [schedule_row(one, next_ms) for one, next_ms in zip(found, coming, strict=True)]
    return echo_table(SCHEDULE_HEADS, rows, SCHEDULE_DROP)


@schedule.command()
@_NAME
@with_schedule_options
@click.option("--active/--inactive", default=None, help="Whether it fires.  [default: active, or as it was]")
@click.option("--replace", is_flag=True, help="Delete the deployment's other schedules.")
@with_yes
def create(name: str, schedules: list[Schedule], active: bool | None, replace: bool, yes: bool) -> None:
    """Create a schedule of a deployment. One that is there already is changed.

    \b
    orchestrator deployment schedule create daily-etl/nightly --cron '0 6 * * *' --timezone Europe/Oslo
    """
    from orchestrator.deployments.schedules import write_schedule
    from orchestrator.scheduling.edit import delete

    if len(schedules) != 1:
        raise click.UsageError("when is it due? Give one of --cron, --interval and --rrule")
    with _deployment(name) as (fleet, record, before):
        if replace and before:
            ask_on_a_terminal(f"delete the other {len(before):,} schedules of {record.full_name}?", yes)
        made = write_schedule(fleet, record, schedules[0], active=active)
        if replace:
            delete(fleet, [one.id for one in before if one.id != made.id])
    say(f"Schedule {made.id!r} of deployment {record.full_name!r}: {made.what}.")


@schedule.command()
@_NAME
@_SCHEDULE
def pause(name: str, schedule_id: str) -> None:
    """Have one schedule rest until it is resumed. Survives redeployments."""
    from orchestrator.scheduling.edit import pause

    with _deployment(name) as (fleet, record, found):
        one = _one(name, found, schedule_id)
        pause(fleet, one.id)
    say(f"Paused schedule {one.id!r} of deployment {record.full_name!r}.")


@schedule.command()
@_NAME
@_SCHEDULE
def resume(name: str, schedule_id: str) -> None:
    """Have one schedule fire again, from the first tick after now on."""
    from orchestrator.scheduling.edit import resume

    with _deployment(name) as (fleet, record, found):
        one = _one(name, found, schedule_id)
        resume(fleet, one.id)
    say(f"Resumed schedule {one.id!r} of deployment {record.full_name!r}.")


@schedule.command()
@_NAME
@_SCHEDULE
@with_yes
def delete(name: str, schedule_id: str, yes: bool) -> None:
    """Delete one schedule; its runs stay."""
    _delete(name, yes, schedule_id)


@schedule.command()
@_NAME
@with_yes
def clear(name: str, yes: bool) -> None:
    """Delete all schedules of a deployment; their runs stay."""
    _delete(name, yes)


def _delete(name: str, yes: bool, schedule_id: str | None = None) -> None:
    from orchestrator.scheduling.edit import delete

    with _deployment(name) as (fleet, record, found):
        gone = found if schedule_id is None else [_one(name, found, schedule_id)]
        ask_on_a_terminal(f"delete {len(gone):,} of {len(found):,} schedules of {record.full_name}?", yes)
        delete(fleet, [one.id for one in gone])
    say(f"Deleted {len(gone):,} of {len(found):,} schedules of deployment {record.full_name!r}.")
