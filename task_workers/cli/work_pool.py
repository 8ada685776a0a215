"""``orchestrator work-pool``: work pools are made, listed, changed, paused, limited and deleted."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.deployment_table import iso_text
from task_workers.cli.numbers import Whole
from task_workers.cli.previews import preview
from task_workers.cli.session import polled_queues, the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.work_pools.record import WorkPool

HEADS = ("NAME", "TYPE", "STATUS", "LIMIT", "QUEUES", "DESCRIPTION", "ID")
DROP = ("ID", "DESCRIPTION", "QUEUES", "TYPE")  # on a narrow terminal, in this order
_template = click.option(
    "--base-job-template",
    "template",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON: what a run of the pool is given.  [default: the type's]",
)
_description = click.option("--description", metavar="TEXT", help="For people.")


@click.group("work-pool")
def command() -> None:
    """Work pools: deployments name one, and its workers run them.

    \b
    orchestrator work-pool create my-pool --type process
    orchestrator worker start --pool my-pool
    """


command.add_command(preview)


@command.command()
@click.argument("name")
@click.option("--type", "-t", "kind", default="process", show_default=True, help="process, docker or kubernetes.")
@_template
@_description
@click.option("--paused", is_flag=True, help="Hand out none of its runs until it is resumed.")
@click.option("--overwrite", is_flag=True, help="Change one that is there; its queues and limits stay.")
def create(name: str, kind: str, template: Path | None, description: str | None, paused: bool, overwrite: bool) -> None:
    """Make a work pool. Exits with 1 if there is one of that name."""
    from orchestrator.work_pools.editing import create_pool

    given = _read(template)
    with the_fleet() as fleet:
        try:
            create_pool(
                fleet,
                name,
                kind,
                description=description,
                base_job_template=given,
                paused=paused,
                overwrite=overwrite,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    say(f"Created work pool {name!r}; its runs are run by: orchestrator worker start --pool {name!r}")


@command.command("ls")
@as_json
def list_pools(as_json: bool) -> None:
    """List work pools. READY: a worker lives that takes their runs."""
    from orchestrator.work_pools.editing import limits_of
    from orchestrator.work_pools.lookup import newest_pools

    with the_fleet() as fleet:
        total, pools = newest_pools(fleet.broker, limit=1000)
        limits, polled = limits_of(fleet, [pool.id for pool in pools]), polled_queues(fleet)
    if as_json:
        return echo_json([_json_of(pool, limit, polled) for pool, limit in zip(pools, limits, strict=True)])
    if not pools:
        return say("there is no work pool yet: orchestrator work-pool create NAME --type process")
    echo_table(HEADS, [_row_of(pool, limit, polled) for pool, limit in zip(pools, limits, strict=True)], DROP)
    if total > len(pools):
        say(f"and {total - len(pools):,} more")
    return None


@command.command()
@click.argument("name")
@as_json
def inspect(name: str, as_json: bool) -> None:
    """Show a work pool with its queues and its base job template."""
    from orchestrator.work_pools.editing import limits_of
    from orchestrator.work_pools.lookup import find_pool

    with the_fleet() as fleet:
        pool = find_pool(fleet.broker, name)
        (limit,), polled = limits_of(fleet, [pool.id]), polled_queues(fleet)
    facts = _json_of(pool, limit, polled)
    if as_json:
        return echo_json(facts)
    for key, value in facts.items():
        if key not in ("queues", "base_job_template") and value is not None:
            say(f"{key}: {value}")
    for each in pool.queues:
        say(
            f"queue {each.name}: priority {each.priority}{', paused' if each.paused else ''}, in the store {each.queue}"
        )
    return say(f"base_job_template: {json.dumps(facts['base_job_template'], indent=2)}")


@command.command()
@click.argument("name")
def pause(name: str) -> None:
    """Hand out none of its runs, until it is resumed: what runs goes on, new runs are kept."""
    from orchestrator.work_pools.editing import pause_pool

    with the_fleet() as fleet:
        changed = pause_pool(fleet, name, True)
    say(f"{name} is paused" if changed else f"{name} was paused already")


@command.command()
@click.argument("name")
def resume(name: str) -> None:
    """Hand out its runs again."""
    from orchestrator.work_pools.editing import pause_pool

    with the_fleet() as fleet:
        changed = pause_pool(fleet, name, False)
    say(f"{name} goes on" if changed else f"{name} was not paused")


@command.command()
@click.argument("name")
@_template
@_description
@click.option("--concurrency-limit", type=Whole(0), help="Runs at once, whoever works; 0: none may start.")
def update(name: str, template: Path | None, description: str | None, concurrency_limit: int | None) -> None:
    """Change a work pool: what is not given stays."""
    from orchestrator.work_pools.editing import limit_pool, update_pool

    if template is None and description is None and concurrency_limit is None:
        raise click.UsageError("nothing to change: give --base-job-template, --description or --concurrency-limit")
    given = _read(template)
    with the_fleet() as fleet:
        try:
            pool = update_pool(fleet, name, description=description, base_job_template=given)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        if concurrency_limit is not None:
            limit_pool(fleet, pool, concurrency_limit)
    say(f"{name} is changed")


@command.command("set-concurrency-limit")
@click.argument("name")
@click.argument("limit", type=Whole(0))
def set_limit(name: str, limit: int) -> None:
    """So many of its runs are at work at once, whoever works; 0: none may start. Holds for what waits, too."""
    _limit(name, limit)
    say(f"{name}: {limit} runs at once")


@command.command("clear-concurrency-limit")
@click.argument("name")
def clear_limit(name: str) -> None:
    """Let as many of its runs go on as its workers take."""
    _limit(name, None)
    say(f"{name} has no limit")


@command.command()
@click.argument("name")
@with_yes
def delete(name: str, yes: bool) -> None:
    """Forget a work pool. Runs that wait in it stay, for a pool of the same name."""
    from orchestrator.work_pools.editing import delete_pool
    from orchestrator.work_pools.lookup import find_pool
    from orchestrator.work_pools.members import PoolMembers

    with the_fleet() as fleet:
        find_pool(fleet.broker, name)
        members = len(PoolMembers(fleet.broker, name)())
        ask_on_a_terminal(f"delete the work pool {name}, which {members} deployments name?", yes)
        delete_pool(fleet, name)
    say(f"{name} is deleted" + (f"; {members} deployments name it, their runs wait" if members else ""))


@command.command("get-default-base-job-template")
@click.option("--type", "-t", "kind", default="process", show_default=True, help="Of which type of pools.")
def default_template(kind: str) -> None:
    """Write the base job template of pools that were made without one.

    \b
    orchestrator work-pool get-default-base-job-template --type kubernetes > job.json
    orchestrator work-pool create my-pool --type kubernetes --base-job-template job.json
    """
    from orchestrator.work_pools.base_templates import TYPES, base_template

    if kind not in TYPES:
        raise click.UsageError(f"--type {kind}: no type of work pools; known: {', '.join(TYPES)}")
    echo_json(base_template(kind))


def _limit(name: str, limit: int | None) -> None:
    from orchestrator.work_pools.editing import limit_pool
    from orchestrator.work_pools.lookup import find_pool

    with the_fleet() as fleet:
        limit_pool(fleet, find_pool(fleet.broker, name), limit)


def _read(template: Path | None) -> dict[str, Any] | None:
    if template is None:
        return None
    try:
        read = json.loads(template.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--base-job-template {template}: {error}") from None
    if not isinstance(read, dict):
        raise click.UsageError(f"--base-job-template {template}: it has no JSON object")
    return read


def _row_of(pool: WorkPool, limit: int | None, polled: Collection[str]) -> tuple[str, ...]:
    return (
        pool.name,
        pool.type,
        pool.status(polled),
        "-" if limit is None else f"{limit:,}",
        ", ".join(each.name for each in pool.queues),
        pool.description or "-",
        pool.id,
    )


def _json_of(pool: WorkPool, limit: int | None, polled: Collection[str]) -> dict[str, Any]:
    queues = [
        {"name": each.name, "priority": each.priority, "is_paused": each.paused, "queue": each.queue}
        for each in pool.queues
    ]
    return {
        "id": pool.id,
        "name": pool.name,
        "type": pool.type,
        "status": pool.status(polled),
        "description": pool.description,
        "is_paused": pool.paused,
        "concurrency_limit": limit,
        "queues": queues,
        "trouble": pool.trouble or None,
        "created": iso_text(pool.created_at),
        "updated": iso_text(pool.written_at_ms / 1000),
        "base_job_template": pool.template,
    }
