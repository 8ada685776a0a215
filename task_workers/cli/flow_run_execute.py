"""``orchestrator flow-run execute``: what is run inside of a container that a worker has started for a flow run."""

from __future__ import annotations

import sys

import click

from task_workers.cli.terminal import say
from task_workers.options import LOG_LEVELS


@click.command("execute")
@click.argument("flow_run_id", required=False)
@click.option(
    "--loglevel", "--log-level", "loglevel", type=click.Choice(LOG_LEVELS, case_sensitive=False), help="What is logged."
)
def execute(flow_run_id: str | None, loglevel: str | None) -> None:
    """Run the flow run that this process was started for: its id and ticket are in the environment.

    Workers of docker and kubernetes pools start it, it is not for people. If the run was handed to another worker
    meanwhile, it says so, runs nothing and exits with 0.
    """
    import orchestrator.flows  # noqa: F401 - what runs of deployments are
    from orchestrator.client.fleet import current_fleet
    from task_workers import logs
    from task_workers.infrastructure.inside import execute
    from task_workers.infrastructure.variables import own_call

    call = own_call(flow_run_id)
    fleet = current_fleet()
    settings = fleet.settings
    logs.set_up(loglevel or settings.log_level, settings.log_format, "flow-run")
    try:
        code = execute(fleet, call, say)
    finally:
        fleet.close()
    sys.exit(code)
