"""``orchestrator schedule``: what is due when; trigger, backfill, pause, resume, skip; write what an app declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.filters import check_order
from task_workers.cli.numbers import Whole
from task_workers.cli.schedule_table import DROP, HEADS, json_of_schedule, row_of, time_text
from task_workers.cli.session import import_apps, say_project, the_fleet
from task_workers.cli.terminal import as_json, ask, echo_json, echo_table, say, with_apps, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.scheduling.lookup import NamedSchedule

_NAME = click.argument("name")


@click.group("schedule")
def command() -> None:
    """Schedules of tasks and deployments. NAME is a task's schedule, FLOW/DEPLOYMENT, or an id."""


@contextmanager
def _schedule(name: str) -> Iterator[tuple[Fleet, NamedSchedule]]:
    """The one schedule that a name means; what is wrong with a value is one line."""
    import orchestrator.deployments.tick_calls  # noqa: F401  # what schedules of deployments run
    from orchestrator.errors import ConfigurationError
    from orchestrator.scheduling.lookup import find_schedule

    with the_fleet() as fleet:
        try:
            yield fleet, find_schedule(fleet, name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None


@command.command("ls")
@click.option("-n", "--limit", type=Whole(1), default=200, show_default=True, help="At most so many.")
@as_json
def list_schedules(limit: int, as_json: bool) -> None:
    """List schedules: when they are due, in their zone, what was missed, why one rests or cannot be read."""
    from orchestrator.scheduling.edit import newest
    from orchestrator.scheduling.lookup import named

    with the_fleet() as fleet:
        total, records = newest(fleet, 0, limit)
        found = sorted(named(fleet, records), key=lambda one: (one.name, one.record.id))
        now_ms = fleet.broker.ticks.now_ms()
        if not found:
            say_project(fleet)
    if as_json:
        return echo_json([json_of_schedule(one, now_ms) for one in found])
    if not found:
        return say("there are no schedules")
    echo_table(HEADS, [row_of(one, now_ms) for one in found], DROP)
    if total > len(found):
        say(f"{total:,} in all; more of them with --limit", err=True)
    return None


@command.command("next")
@_NAME
@click.option("-n", "--count", type=Whole(1, 1000), default=10, show_default=True, help="So many.")
@as_json
def next_ticks(name: str, count: int, as_json: bool) -> None:
    """The next ticks in the zone of the schedule, and the ids that their runs will have."""
    from orchestrator.scheduling.edit import upcoming
    from orchestrator.scheduling.lookup import find_schedules
    from orchestrator.scheduling.record import moment_of

    with the_fleet() as fleet:
        found, now_ms = find_schedules(fleet, name), fleet.broker.ticks.now_ms()
    coming = [(*tick, one) for one in found for tick in upcoming(one.record, now_ms, count)]
    ticks = sorted(coming, key=lambda tick: tick[:2])[:count]
    if as_json:
        return echo_json([{"tick": moment_of(tick_ms).isoformat(), "run": run_id} for tick_ms, run_id, _ in ticks])
    for tick_ms, run_id, one in ticks:
        say(f"{time_text(tick_ms, one.record)}  {run_id}")
    if not ticks:
        reasons = {one.record.trouble or one.record.reason or "it is over" for one in found}
        say(f"{name} is not due again: {'; '.join(sorted(reasons))}")
    return None


@command.command()
@_NAME
def trigger(name: str) -> None:
    """Make a run now, beside those of its ticks, and write its id."""
    from orchestrator.scheduling.by_hand import trigger

    with _schedule(name) as (fleet, one):
        say(trigger(fleet, one.record.id))


@command.command()
@_NAME
@click.option(
    "--from", "start", required=True, metavar="MOMENT", help="The first moment: 2026-01-31 or 2026-01-31T14:00."
)
@click.option("--to", "end", required=True, metavar="MOMENT", help="Up to this moment.")
@click.option("--concurrency", type=Whole(1), metavar="N", help="At most so many of these runs at once.")
@click.option("--newest-first", is_flag=True, help="Queue the newest tick first.")
@click.option("--again", is_flag=True, help="Also the ticks that have had a run.")
@click.option("--cancel", is_flag=True, help="Cancel those of these runs that have not begun.")
@as_json
def backfill(name: str, start: str, end: str, cancel: bool, as_json: bool, **how: Any) -> None:
    """Make the runs of a time that has passed: one for each tick that had none. Repeating it makes no second run.

    \b
    orchestrator schedule backfill nightly --from 2026-01-01 --to 2026-01-10 --concurrency 2
    orchestrator schedule backfill nightly --from 2026-01-01 --to 2026-01-10 --cancel

    Moments without a zone are read in the zone of the schedule.
    """
    from orchestrator.scheduling import by_hand

    begun = 0
    if cancel and any(how.values()):
        raise click.UsageError("--cancel goes with --from and --to only")
    with _schedule(name) as (fleet, one):
        moments = _moment(start, one), _moment(end, one)
        check_order("--from", moments[0], "--to", moments[1])
        if cancel:
            run_ids, begun = by_hand.cancel_backfill(fleet, one.record.id, *moments)
        else:
            run_ids = by_hand.backfill(fleet, one.record.id, *moments, **how)
    if as_json:
        return echo_json(run_ids)
    for run_id in run_ids:
        say(run_id)
    if not cancel:
        return say(f"{len(run_ids):,} runs", err=True)
    return say(f"{len(run_ids):,} runs are cancelled, {begun:,} have begun and go on", err=True)


@command.command()
@_NAME
@click.option("--reason", default="paused by hand", show_default=True, help="Shown in lists.")
def pause(name: str, reason: str) -> None:
    """Make no more runs until it is resumed; its ticks meanwhile are not caught up. Survives deployments."""
    from orchestrator.scheduling.edit import pause

    with _schedule(name) as (fleet, one):
        pause(fleet, one.record.id, reason)
    say(f"{one.name} is paused" if one.record.active else f"{one.name} was paused already")


@command.command()
@_NAME
def resume(name: str) -> None:
    """Make runs again, from the first tick after now on."""
    from orchestrator.scheduling.edit import resume

    with _schedule(name) as (fleet, one):
        resume(fleet, one.record.id)
    say(f"{one.name} was not paused" if one.record.active else f"{one.name} goes on")


@command.command()
@_NAME
@click.option("--at", metavar="MOMENT", help="The tick to be left out.  [default: the next one]")
def skip(name: str, at: str | None) -> None:
    """Leave one tick to come out: it will have no run."""
    from orchestrator.errors import ConfigurationError
    from orchestrator.scheduling.edit import skip, upcoming
    from orchestrator.scheduling.record import ms_of

    with _schedule(name) as (fleet, one):
        coming = upcoming(one.record, fleet.broker.ticks.now_ms(), 1)
        if at is None and not coming:
            raise ConfigurationError(f"{one.name} is not due again: there is nothing to be skipped")
        tick_ms = ms_of(_moment(at, one)) if at is not None else coming[0].tick_ms
        skip(fleet, one.record.id, tick_ms)
    say(f"{one.name} leaves out {time_text(tick_ms, one.record)}")


@command.command()
@_NAME
@with_yes
def delete(name: str, yes: bool) -> None:
    """Forget a schedule; its runs stay. One that code declares comes back when its workers start."""
    from orchestrator.scheduling.edit import delete

    with _schedule(name) as (fleet, one):
        ask(f"delete the schedule {one.name}?", yes)
        delete(fleet, [one.record.id])
    say(f"{one.name} is deleted")


@command.command()
@with_apps
@click.option("--prune", is_flag=True, help="Delete those that these apps declared once and do no more.")
@click.option("--force", is_flag=True, help="Also over newer code, and names that another module has.")
@as_json
def apply(apps: tuple[str, ...], prune: bool, force: bool, as_json: bool) -> None:
    """Write the schedules that an app declares (`my_task.schedule(...)`), as its workers do when they start.

    The exit code is 1 when one of them could not be written.
    """
    from orchestrator.scheduling.applying import apply_declarations
    from orchestrator.scheduling.declarations import declarations

    if not apps:
        raise click.UsageError("which app? Name its module or file: -A shop.tasks")
    with the_fleet() as fleet:
        import_apps(apps)
        applied = apply_declarations(fleet, declarations(), prune=prune, force=force)
    if as_json:
        echo_json([{"name": one.name, "what": one.what, "why": one.why} for one in applied])
    elif applied:
        echo_table(("SCHEDULE", "", "WHY"), [(one.name, one.what, one.why or "-") for one in applied])
    else:
        say(f"{', '.join(apps)} declares no schedules")
    if any(one.what in ("refused", "taken") for one in applied):
        click.get_current_context().exit(1)


def _moment(text: str, one: NamedSchedule) -> datetime:
    from orchestrator.errors import ConfigurationError

    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC) - timedelta(days=1)  # a year at the end of the calendar has no day before
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{text!r} is no moment such as 2026-01-31 or 2026-01-31T14:00+01:00") from None
    if moment.tzinfo is not None or one.record.schedule is None:
        return moment
    return moment.replace(tzinfo=one.record.schedule.zone)
