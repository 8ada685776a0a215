"""``orchestrator flows``: flow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli.filters import check_filters
from task_workers.cli.numbers import Whole
from task_workers.cli.run_facts import facts_of, print_facts
from task_workers.cli.session import the_fleet, whole_id
from task_workers.cli.state_names import refuse_unknown_names
from task_workers.cli.terminal import age_text, as_json, echo_json, echo_table, first_line, say

if TYPE_CHECKING:
    from orchestrator.inspection import FlowRunRow

HEADS = ("FLOW RUN", "STATE", "FLOW", "NAME", "BEGAN", "TOOK", "MESSAGE")
DROP = ("BEGAN", "TOOK", "MESSAGE", "NAME")  # on a narrow terminal, in this order
MAX_RUNS = 100


@click.group("flows")
def command() -> None:
    """Flow runs: list them, look at one and its task runs. They are started with `orchestrator run MODULE:FLOW`."""


@command.command("ls")
@click.option("--flow", default="*", metavar="NAME", help="Of this flow; * and ? mean any.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="running, failed, ... (repeatable).")
@click.option("-n", "--limit", type=Whole(1), default=50, show_default=True, help="At most so many.")
@as_json
def list_flow_runs(flow: str, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List flow runs, those that changed last first."""
    from orchestrator.inspection import FlowRunFilter, flow_runs_of

    check_filters({"flow": flow, "states": states})
    with the_fleet() as fleet:
        found = flow_runs_of(fleet, FlowRunFilter((flow,), states), limit)
    if not found:
        refuse_unknown_names(states)
    if as_json:
        return echo_json([run.as_json() for run in found])
    if not found:
        return say("no such flow runs")
    return echo_table(HEADS, [_row_of(run) for run in found], DROP)


def _row_of(run: FlowRunRow) -> tuple[str, ...]:
    began = f"{run.began.astimezone():%Y-%m-%d %H:%M:%S}" if run.began else "-"
    took = (run.ended - run.began).total_seconds() if run.began and run.ended else None
    return (run.id, run.state_name, run.flow, run.name, began, age_text(took), first_line(run.message))


@command.command()
@click.argument("run_id")
@as_json
def show(run_id: str, as_json: bool) -> None:
    """What is known of a flow run, and its newest task runs."""
    from orchestrator.inspection import RunFilter, walk_runs
    from task_workers.cli.runs import DROP as DROP_OF_RUNS
    from task_workers.cli.runs import table_of_runs

    with the_fleet() as fleet:
        run_id = whole_id(fleet, run_id)
        facts = facts_of(fleet, run_id)
        runs = walk_runs(fleet, RunFilter(flow_run_id=run_id), limit=MAX_RUNS).runs
    if as_json:
        return echo_json({**facts, "task_runs": [run.as_json() for run in runs]})
    print_facts(facts)
    if runs:
        say()
        echo_table(*table_of_runs(runs), DROP_OF_RUNS)
    return None
