"""``orchestrator flow-run``: flow runs, as Prefect's command line has them: of deployments and all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from task_workers.cli import runs, watch
from task_workers.cli.flow_run_actions import cancel, remove, resume, retry, suspend
from task_workers.cli.flow_run_execute import execute
from task_workers.cli.flow_run_facts import facts_of_flow_run
from task_workers.cli.flow_run_filters import refuse_unknown_deployments, with_flow_run_filters
from task_workers.cli.numbers import Whole
from task_workers.cli.run_facts import print_facts
from task_workers.cli.session import say_project, the_fleet, whole_id
from task_workers.cli.state_names import refuse_unknown_names
from task_workers.cli.terminal import as_json, echo_json, echo_table, first_line, moment_text, say

if TYPE_CHECKING:
    from orchestrator.inspection import FlowRunFilter, FlowRunRow

HEADS = ("ID", "FLOW", "NAME", "STATE", "WHEN", "DEPLOYMENT", "MESSAGE")
DROP = ("MESSAGE", "WHEN", "DEPLOYMENT", "NAME")  # on a narrow terminal, in this order


@click.group("flow-run")
def command() -> None:
    """Flow runs: list them, look at one, follow it, cancel, retry or delete them. An id may be a part of it."""


command.add_command(cancel)
command.add_command(execute)
command.add_command(suspend)
command.add_command(resume)
command.add_command(retry)
command.add_command(remove)
command.add_command(runs.logs)
command.add_command(watch.command)


@command.command("ls")
@with_flow_run_filters
@click.option("-n", "--limit", type=Whole(1), default=15, show_default=True, help="At most so many.")
@as_json
def list_flow_runs(wanted: FlowRunFilter, limit: int, as_json: bool) -> None:
    """List flow runs, those that changed last first.

    \b
    orchestrator flow-run ls --flow-name 'etl*' --state Late
    orchestrator flow-run ls --deployment daily-etl/nightly --state-type FAILED --limit 100 -o json
    """
    from orchestrator.inspection import flow_runs_of

    with the_fleet() as fleet:
        found = flow_runs_of(fleet, wanted, limit)
        if not found:
            refuse_unknown_names(wanted.states)
            refuse_unknown_deployments(fleet, wanted.deployments)
            say_project(fleet)
    if as_json:
        return echo_json([run.as_json() for run in found])
    if not found:
        return say("no such flow runs")
    return echo_table(HEADS, [row_of(run) for run in found], DROP)


def row_of(run: FlowRunRow) -> tuple[str, ...]:
    """A flow run as a row; WHEN is its end, its begin, or the moment at which it is to begin."""
    when = run.ended or run.began or run.expected
    return (
        run.id,
        run.flow,
        run.name,
        run.state_name,
        moment_text(when),
        run.deployment or "-",
        first_line(run.message),
    )


@command.command()
@click.argument("flow_run_id")
@as_json
def inspect(flow_run_id: str, as_json: bool) -> None:
    """What is known of a flow run: its state, deployment, parameters, times, and its result or error."""
    with the_fleet() as fleet:
        facts = facts_of_flow_run(fleet, whole_id(fleet, flow_run_id))
    echo_json(facts) if as_json else print_facts(facts)
