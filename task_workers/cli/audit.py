"""``orchestrator audit``: who wrote, deleted and asked for what."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, say

HEADS = ("WHEN", "WHO", "WHAT", "KIND", "ID")
DROP = ("ID",)


@click.group("audit")
def command() -> None:
    """The audit: who wrote and deleted definitions, people, sessions and keys; about 100,000 lines are kept."""


@command.command("ls")
@click.option("--limit", type=Whole(1, 10_000), default=100, show_default=True, help="How many at most.")
@as_json
def list_lines(limit: int, as_json: bool) -> None:
    """List what people did last, the newest first."""
    with the_fleet() as fleet:
        found = fleet.broker.documents.audit(limit)
    rows = [
        (datetime.fromtimestamp(max(0, line.at_ms) / 1000, UTC).isoformat(timespec="seconds"), *line[1:])
        for line in found
    ]
    if as_json:
        return echo_json([dict(zip(("when", "who", "what", "kind", "id"), row, strict=True)) for row in rows])
    if not rows:
        return say("nobody has written anything yet")
    echo_table(HEADS, rows, DROP)
