"""``orchestrator workers``: who is there; ping, pause, resume, stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from task_workers.cli.numbers import Number
from task_workers.cli.session import say_project, the_fleet
from task_workers.cli.terminal import age_text, as_json, ask, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.inspection import Reply, WorkerView

HEADS = ("PROCESS", "WORKER", "HOST", "PID", "QUEUES", "THREADS", "HELD", "RUNNING", "BEAT", "MEMORY", "STATE")
DROP = ("THREADS", "BEAT", "MEMORY", "PID", "HOST", "WORKER", "HELD")  # on a narrow terminal, in this order
NAMES = "A name is a process's, its worker's (-n), or holds * and ?; orders go to the whole worker with its processes."


@click.group("workers")
def command() -> None:
    """The live workers: list, ping, pause, resume, stop."""


@command.command("ls")
@as_json
def list_workers(as_json: bool) -> None:
    """List the processes that run tasks, as they describe themselves."""
    from orchestrator.inspection import workers_of

    with the_fleet() as fleet:
        found = workers_of(fleet)
        if not found:
            say_project(fleet)
    if as_json:
        return echo_json([view.as_json() for view in found])
    if not found:
        return say("no live workers")
    return echo_table(HEADS, [row_of(view) for view in found], DROP)


def row_of(view: WorkerView) -> tuple[str, ...]:
    """A process as a row."""
    return (
        view.name,
        view.worker or "-",
        view.host,
        str(view.pid),
        ",".join(view.queues),
        str(view.threads),
        str(view.held),
        str(len(view.running)),
        age_text(view.beat_age_seconds),
        f"{view.memory_bytes / 2**20:.0f} MiB" if view.memory_bytes else "-",
        "paused" if view.paused else "-",
    )


@command.command(epilog=NAMES)
@click.argument("names", nargs=-1)
@click.option(
    "--timeout", type=Number(0), default=3.0, show_default=True, metavar="SECONDS", help="How long to listen."
)
@as_json
def ping(names: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Ask workers (all unless named) for a sign of life.

    The exit code is 1 when one does not answer, 3 when there is none.
    """
    from orchestrator.inspection import ping_workers

    with the_fleet() as fleet:
        replies = ping_workers(fleet, names or ("*",), timeout)
    if as_json:
        echo_json([{"name": reply.name, "seconds": reply.seconds} for reply in replies])
    else:
        _print(replies, "answers", "does not answer")
    _leave(replies)


@command.command(epilog=NAMES)
@click.argument("names", nargs=-1, required=True)
def pause(names: tuple[str, ...]) -> None:
    """Have workers take no new calls: what they hold is run."""
    from orchestrator.inspection import pause_workers

    with the_fleet() as fleet:
        replies = pause_workers(fleet, names)
    _print(replies, "takes no new calls", "was asked, and has not confirmed yet that it is paused")
    _leave(replies)


@command.command(epilog=NAMES)
@click.argument("names", nargs=-1, required=True)
def resume(names: tuple[str, ...]) -> None:
    """Have paused workers take calls again."""
    from orchestrator.inspection import resume_workers

    with the_fleet() as fleet:
        replies = resume_workers(fleet, names)
    _print(replies, "takes calls", "was asked, and has not confirmed yet that it goes on")
    _leave(replies)


@command.command(epilog=NAMES)
@click.argument("names", nargs=-1, required=True)
@with_yes
def stop(names: tuple[str, ...], yes: bool) -> None:
    """Ask workers to end as by SIGTERM: running calls are finished, the others handed back."""
    from orchestrator.inspection import stop_workers, workers_of
    from orchestrator.inspection.workers import select_workers

    with the_fleet() as fleet:
        if not yes:
            ask(f"stop {len(select_workers(workers_of(fleet), names))} processes?", yes)
        asked = stop_workers(fleet, names)
    for name in asked:
        say(f"{name}  was asked to stop")


def _print(replies: Sequence[Reply], good: str, bad: str) -> None:
    if not replies:
        say("no live workers")
    for reply in replies:
        outcome = bad if reply.seconds is None else f"{good} ({reply.seconds * 1000:.0f} ms)"
        say(f"{reply.name}  {outcome}")


def _leave(replies: Sequence[Reply]) -> None:
    if not replies:
        sys.exit(3)
    if any(reply.seconds is None for reply in replies):
        sys.exit(1)
