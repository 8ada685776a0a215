"""``orchestrator workers``: who is there."""

from __future__ import annotations

import click

from task_workers.cli.at_work import as_json, echo_json, echo_table, first_line, the_fleet


@click.group("workers")
def command() -> None:
    """The live workers."""


@command.command("ls")
@as_json
def list_workers(as_json: bool) -> None:
    """List the processes that run tasks, as they describe themselves."""
    with the_fleet() as fleet:
        found = {name: facts for name, facts in fleet.live_workers().items() if facts}
    if as_json:
        rows = [
            {"consumer": name, **facts, "tasks": facts.get("tasks", "").split(",")} for name, facts in found.items()
        ]
        return echo_json(rows)
    if not found:
        return click.echo("no live workers")
    heads = ("CONSUMER", "WORKER", "HOST", "PID", "QUEUES", "THREADS", "TASKS")
    return echo_table(
        heads,
        [
            (
                name,
                facts.get("name", ""),
                facts.get("host", ""),
                facts.get("pid", ""),
                facts.get("queues", ""),
                facts.get("threads", ""),
                first_line(facts.get("tasks", "").replace(",", " "), 60),
            )
            for name, facts in sorted(found.items())
        ],
    )
