"""``orchestrator work-queue``: the queues of work pools."""

from __future__ import annotations

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, say

HEADS = ("NAME", "PRIORITY", "LIMIT", "STATE", "QUEUE")
DROP = ("QUEUE",)  # on a narrow terminal
_pool = click.option("--pool", "-p", "pool", required=True, metavar="NAME", help="The work pool that has the queue.")


@click.group("work-queue")
def command() -> None:
    """The queues of a work pool: workers read them in the order of their priorities, 1 first."""


@command.command()
@click.argument("name")
@_pool
@click.option("--priority", "-q", type=Whole(1), help="1 is read first.  [default: after the others]")
@click.option("--limit", "-l", type=Whole(0), help="Its runs at once, whoever works; 0: none may start.")
def create(name: str, pool: str, priority: int | None, limit: int | None) -> None:
    """Add a queue to a pool; workers that are there already read it when they are started again."""
    from orchestrator.work_pools.editing import limit_pool
    from orchestrator.work_pools.lookup import find_pool
    from orchestrator.work_pools.queue_editing import create_queue

    with the_fleet() as fleet:
        try:
            made = create_queue(fleet, pool, name, priority)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        if limit is not None:
            limit_pool(fleet, find_pool(fleet.broker, pool), limit, name)
    say(f"{pool} has the queue {name}, priority {made.priority}; workers read it from their next start on")


@command.command("ls")
@_pool
@as_json
def list_queues(pool: str, as_json: bool) -> None:
    """List the queues of a pool, the one that is read first at the top."""
    from orchestrator.work_pools.editing import limits_of_queues
    from orchestrator.work_pools.lookup import find_pool

    with the_fleet() as fleet:
        found = find_pool(fleet.broker, pool)
        limits = limits_of_queues(fleet, found)
    rows = list(zip(found.queues, limits, strict=True))
    if as_json:
        return echo_json(
            [
                {"name": each.name, "priority": each.priority, "concurrency_limit": limit, "is_paused": each.paused,
                 "queue": each.queue}
                for each, limit in rows
            ]
        )  # fmt: skip
    texts = [
        (each.name, str(each.priority), "-" if limit is None else f"{limit:,}", _state(each.paused, found.paused),
         each.queue)
        for each, limit in rows
    ]  # fmt: skip
    return echo_table(HEADS, texts, DROP)


def _state(paused: bool, with_its_pool: bool) -> str:
    return "paused" if paused else "paused with its pool" if with_its_pool else "-"


@command.command()
@click.argument("name")
@_pool
def pause(name: str, pool: str) -> None:
    """Hand out none of its runs, until it is resumed."""
    from orchestrator.work_pools.queue_editing import pause_queue

    with the_fleet() as fleet:
        changed = pause_queue(fleet, pool, name, True)
    say(f"{name} is paused" if changed else f"{name} was paused already")


@command.command()
@click.argument("name")
@_pool
def resume(name: str, pool: str) -> None:
    """Hand out its runs again, unless the whole pool is paused."""
    from orchestrator.work_pools.queue_editing import pause_queue

    with the_fleet() as fleet:
        changed = pause_queue(fleet, pool, name, False)
    say(f"{name} goes on" if changed else f"{name} was not paused")


@command.command("set-concurrency-limit")
@click.argument("name")
@click.argument("limit", type=Whole(0))
@_pool
def set_limit(name: str, limit: int, pool: str) -> None:
    """So many of its runs are at work at once, whoever works; 0: none may start."""
    _limit(pool, name, limit)
    say(f"{name}: {limit} runs at once")


@command.command("clear-concurrency-limit")
@click.argument("name")
@_pool
def clear_limit(name: str, pool: str) -> None:
    """Let as many of its runs go on as workers and the pool allow."""
    _limit(pool, name, None)
    say(f"{name} has no limit")


def _limit(pool: str, name: str, limit: int | None) -> None:
    from orchestrator.work_pools.editing import limit_pool
    from orchestrator.work_pools.lookup import find_pool
    from orchestrator.work_pools.queue_editing import queue_named

    with the_fleet() as fleet:
        found = find_pool(fleet.broker, pool)
        limit_pool(fleet, found, limit, queue_named(found, name).name)
