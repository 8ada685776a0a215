"""``orchestrator dev``: server, workers, dashboard and web application in one terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet


@click.command("dev")
@click.argument("app")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the app and the dashboard listen.")
@click.option("--port", type=Whole(0, 65535), default=8000, show_default=True, help="The app's; 0: any.")
@click.option(
    "--dashboard-port", type=Whole(0, 65535), default=4200, show_default=True, help="The dashboard's; 0: any."
)
@click.option("--dashboard/--no-dashboard", default=True, help="With the dashboard or without.  [default: with]")
@click.option("-c", "--concurrency", type=Whole(1), default=2, show_default=True, help="Worker processes.")
@click.option("--threads", type=Whole(1), default=4, show_default=True, help="Sync calls at once in each.")
@click.option("-Q", "--queues", help="Queues, best first.  [default: default]")
@click.option("--reload/--no-reload", default=True, help="Take new code when a file is saved.  [default: yes]")
@click.option(
    "--watch",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="A directory whose files are watched, beside the application's own (repeatable).",
)
def command(
    app: str,
    host: str,
    port: int,
    dashboard_port: int,
    dashboard: bool,
    concurrency: int,
    threads: int,
    queues: str | None,
    reload: bool,
    watch: tuple[str, ...],
) -> None:
    """Run an application while you write it: store, workers, dashboard, and its web app where it has one.

    \b
    orchestrator dev examples/web        a directory with tasks.py, and app.py that has an ASGI app
    orchestrator dev main.py             a file with tasks, and perhaps an ASGI app
    orchestrator dev shop.tasks          a module

    Without ORCHESTRATOR_REDIS_URL the store is the private server. Ctrl-C ends everything, a second one at once.
    """
    from orchestrator.client.project import begin_at, pass_to_children
    from task_workers.dev import DevOptions, DevServer, target_of

    target = target_of(app)
    begin_at(target.apps)
    pass_to_children()
    options = DevOptions(
        host, port, dashboard_port, dashboard, concurrency, threads, queues, reload, tuple(map(Path, watch))
    )
    with the_fleet() as fleet:
        code = DevServer(fleet, target, options).run()
    sys.exit(code)
