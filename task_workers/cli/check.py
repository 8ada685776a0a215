"""``orchestrator check``: for probes and for people. Exit code 0 when a worker could work now."""

from __future__ import annotations

import click

from task_workers.cli.at_work import as_json, echo_json


@click.command("check")
@click.option("--workers", is_flag=True, help="Also require at least one live worker.")
@as_json
def command(workers: bool, as_json: bool) -> None:
    """Ask the server whether it answers and is fit, and whether workers live.

    The exit code is 0 when it answers (warnings do not change that), 1 when it does not, 3 when --workers finds none.
    """
    from brokers.redis.health import warnings
    from orchestrator.fleet import current_fleet

    fleet = current_fleet()
    found = warnings(fleet.broker)
    alive = fleet.live_workers()
    working = sum("tasks" in facts for facts in alive.values())
    if as_json:
        echo_json({"ok": bool(working) or not workers, "workers": working, "warnings": found})
    else:
        for warning in found:
            click.echo(f"warning: {warning}", err=True)
        click.echo(f"the server answers; {working} live worker processes; {len(found)} warnings")
    if workers and not working:
        raise SystemExit(3)
