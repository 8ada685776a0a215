"""``orchestrator serve``: make deployments of flows and run their flow runs."""

from __future__ import annotations

from typing import Any

import click

from task_workers.cli.numbers import Number, Whole
from task_workers.cli.terminal import refused_values


@click.command("serve")
@click.argument("flows", metavar="MODULE:FLOW...", nargs=-1, required=True)
@click.option("-n", "--name", help="Name of the deployments.  [default: the flow's]")
@click.option("--cron", multiple=True, help="When they run; may be given several times.")
@click.option("--interval", type=Number(), metavar="SECONDS", help="How often they run.")
@click.option("--rrule", multiple=True, help="When they run, as RFC 5545 has it.")
@click.option("--timezone", help="Of these schedules: Europe/Berlin.  [default: UTC]")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of their runs.")
@click.option("--tag", "tags", multiple=True, help="A tag of the deployments.")
@click.option("--limit", type=Whole(1), default=5, show_default=True, help="Flow runs at once, here.")
@click.option("--global-limit", type=Whole(0), help="Flow runs of each deployment at once, everywhere.")
@click.option("--paused/--active", default=None, help="Whether their schedules are left alone.  [default: as before]")
def command(flows: tuple[str, ...], limit: int, **given: Any) -> None:
    """Serve flows: make a deployment of each, and run its flow runs in processes of this one.

    \b
    orchestrator serve etl.py:nightly --cron "0 6 * * *" --timezone Europe/Berlin
    orchestrator serve shop.flows:load shop.flows:clean --limit 2

    SIGTERM and Ctrl-C finish what runs, a second one kills.
    """
    from orchestrator import serve
    from task_workers.cli.run import find_flow

    found = [find_flow(flow) for flow in flows]
    with refused_values():
        deployments = [deployment_of(flow, given) for flow in found]
    serve(*deployments, limit=limit)


def deployment_of(flow: Any, given: dict[str, Any]) -> Any:
    """The deployment of a flow that the options ask for; what they do not say is left as it was."""
    from task_workers.cli.run import parameter

    options: dict[str, Any] = {
        "interval": given["interval"],
        "cron": list(given["cron"]) or None,
        "rrule": list(given["rrule"]) or None,
        "timezone": given["timezone"],
        "parameters": dict(parameter(text) for text in given["params"]) or None,
        "tags": list(given["tags"]) or None,
        "paused": given["paused"],
    }
    if given["global_limit"] is not None:
        options["concurrency_limit"] = given["global_limit"]
    return flow.to_deployment(flow.name if given["name"] is None else given["name"], **options)
