"""``orchestrator queues``: how full they are; pause, resume, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli.at_work import age_text, as_json, ask, echo_json, echo_table, the_fleet, with_yes

if TYPE_CHECKING:
    from orchestrator.inspection import QueueView

HEADS = ("QUEUE", "WAITING", "HELD", "DELAYED", "OLDEST", "WORKERS", "STATE")


@click.group("queues")
def command() -> None:
    """How full the queues are; pause, resume, purge."""


@command.command("ls")
@as_json
def list_queues(as_json: bool) -> None:
    """List queues: calls that wait, that workers hold, that are delayed, and how long the oldest has waited."""
    from orchestrator.inspection import queues_of

    with the_fleet() as fleet:
        found = queues_of(fleet)
    if as_json:
        return echo_json([queue.as_json() for queue in found])
    if not found:
        return click.echo("no queue has been used yet")
    return echo_table(HEADS, [row_of(queue) for queue in found])


def row_of(queue: QueueView) -> tuple[str, ...]:
    """A queue as a row."""
    state = "paused" if queue.paused else "no worker" if not queue.workers and queue.waiting else "-"
    return (
        queue.name,
        f"{queue.waiting:,}",
        f"{queue.held:,}",
        "?" if queue.delayed is None else f"{queue.delayed:,}",
        age_text(queue.oldest_seconds),
        str(queue.workers),
        state,
    )


@command.command()
@click.argument("queue")
def pause(queue: str) -> None:
    """Hand out no more of its calls, until it is resumed: what workers hold is run, new calls are kept."""
    from orchestrator.inspection import pause_queue

    with the_fleet() as fleet:
        news = pause_queue(fleet, queue)
    click.echo(f"{queue} is paused" if news else f"{queue} was paused already")


@command.command()
@click.argument("queue")
def resume(queue: str) -> None:
    """Hand out its calls again."""
    from orchestrator.inspection import resume_queue

    with the_fleet() as fleet:
        news = resume_queue(fleet, queue)
    click.echo(f"{queue} goes on" if news else f"{queue} was not paused")


@command.command()
@click.argument("queue")
@with_yes
def purge(queue: str, yes: bool) -> None:
    """Cancel every call that waits in it now. What workers hold and what is delayed stays."""
    from orchestrator.inspection import purge_queue, queues_of

    with the_fleet() as fleet:
        if not yes:
            waiting = sum(found.waiting for found in queues_of(fleet) if found.name == queue)
            ask(f"cancel the {waiting:,} calls that wait in {queue}?", yes)
        purged = purge_queue(fleet, queue)
    click.echo(f"{purged:,} calls cancelled")
