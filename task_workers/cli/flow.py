"""``orchestrator flow``: the flows that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import say_project, the_fleet
from task_workers.cli.terminal import as_json, echo_json, echo_table, moment_text, say

if TYPE_CHECKING:
    from orchestrator.inspection import KnownFlow

HEADS = ("FLOW", "DEPLOYMENTS", "LAST RUN", "STATE", "ID")
DROP = ("ID", "LAST RUN", "DEPLOYMENTS")  # on a narrow terminal, in this order


@click.group("flow")
def command() -> None:
    """Flows. Their runs: `orchestrator flow-run ls --flow-name NAME`; run one: `orchestrator run MODULE:FLOW`."""


@command.command("ls")
@click.option("-n", "--limit", type=Whole(1), default=200, show_default=True, help="At most so many.")
@as_json
def list_flows(limit: int, as_json: bool) -> None:
    """List the flows that have deployments, or have run lately."""
    from orchestrator.inspection import known_flows

    with the_fleet() as fleet:
        found = known_flows(fleet)[:limit]
        if not found:
            say_project(fleet)
    if as_json:
        return echo_json([flow.as_json() for flow in found])
    if not found:
        return say("no flows are known")
    return echo_table(HEADS, [_row_of(flow) for flow in found], DROP)


def _row_of(flow: KnownFlow) -> tuple[str, ...]:
    state = flow.last_run.state_name if flow.last_run is not None else "-"
    return (flow.name, ", ".join(flow.deployments) or "-", moment_text(flow.last_moment), state, flow.id)
