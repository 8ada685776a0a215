"""``orchestrator queues``: how full they are; pause, resume, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli.session import say_project, the_fleet
from task_workers.cli.terminal import age_text, as_json, ask, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.inspection import QueueView

HEADS = ("QUEUE", "WAITING", "HELD", "DELAYED", "OLDEST", "WORKERS", "STATE")
DROP = ("HELD", "DELAYED", "OLDEST")  # on a narrow terminal, in this order


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
        if not found:
            say_project(fleet)
    if as_json:
        return echo_json([queue.as_json() for queue in found])
    if not found:
        return say("no queue has been used yet")
    return echo_table(HEADS, [row_of(queue) for queue in found], DROP)


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


def _must_be_known(fleet: Fleet, queue: str, otherwise: str = "") -> None:
    """Raises ConfigurationError for a queue that has no calls, no worker and is not paused: a slip of the pen."""
    from orchestrator.errors import ConfigurationError
    from orchestrator.inspection import queues_of

    names = [found.name for found in queues_of(fleet)]
    if queue not in [*names, fleet.settings.default_queue]:
        known = ", ".join(names) or "none has been used yet"
        raise ConfigurationError(f"there is no queue {queue!r}; the queues: {known}{otherwise}")


@command.command()
@click.argument("queue")
@click.option("--force", is_flag=True, help="Also one that does not exist yet: its first calls will wait.")
def pause(queue: str, force: bool) -> None:
    """Hand out no more of its calls, until it is resumed: what workers hold is run, new calls are kept."""
    from orchestrator.inspection import pause_queue
    from orchestrator.runnables.options import check_queue

    with the_fleet() as fleet:
        if force:
            try:
                check_queue(queue)
            except ValueError as error:
                raise click.UsageError(str(error)) from None
        else:
            _must_be_known(fleet, queue, ". One that does not exist yet is paused with --force")
        event = pause_queue(fleet, queue)
    say(f"{queue} is paused" if event else f"{queue} was paused already")


@command.command()
@click.argument("queue")
def resume(queue: str) -> None:
    """Hand out its calls again."""
    from orchestrator.inspection import resume_queue

    with the_fleet() as fleet:
        _must_be_known(fleet, queue)
        event = resume_queue(fleet, queue)
    say(f"{queue} goes on" if event else f"{queue} was not paused")


@command.command()
@click.argument("queue")
@with_yes
def purge(queue: str, yes: bool) -> None:
    """Cancel every call that waits in it now. What workers hold and what is delayed stays."""
    from orchestrator.inspection import purge_queue, queues_of

    with the_fleet() as fleet:
        _must_be_known(fleet, queue)
        if not yes:
            waiting = sum(found.waiting for found in queues_of(fleet) if found.name == queue)
            ask(f"cancel the {waiting:,} calls that wait in {queue}?", yes)
        purged = purge_queue(fleet, queue)
    say(f"{purged:,} calls cancelled")


@command.command()
@click.argument("queue")
def republish(queue: str) -> None:
    """Send the messages of its waiting calls once more, after Celery's broker has lost some (its disk was wiped).

    Workers publish them within seconds. A message that was not lost is there twice then: the second one does nothing.
    """
    from orchestrator.inspection import republish_queue

    with the_fleet() as fleet:
        _must_be_known(fleet, queue)
        waiting = republish_queue(fleet, queue)
    say(f"the messages of {waiting:,} calls are sent again")
