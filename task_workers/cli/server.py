"""``orchestrator server``: the dashboard and its JSON API."""

from __future__ import annotations

from typing import Any

import click

from task_workers.cli.at_work import import_apps, the_fleet, with_apps


@click.group("server")
def command() -> None:
    """The dashboard and its JSON API."""


@command.command(
    "start",
    context_settings={"auto_envvar_prefix": "ORCHESTRATOR_SERVER"},
    epilog="Every option is also a variable: --port is ORCHESTRATOR_SERVER_PORT. A token on a command line is seen by "
    "whoever lists processes: ORCHESTRATOR_SERVER_TOKEN and ORCHESTRATOR_SERVER_PASSWORD are not.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=4200, show_default=True, help="0: any free one.")
@click.option("--token", help="What API clients send as bearer token; it logs people in, too.", show_envvar=True)
@click.option("--password", help="What people log in with.", show_envvar=True)
@click.option("--read-only", is_flag=True, help="Show everything, do nothing.")
@click.option("--allow-open", is_flag=True, help="Listen elsewhere than on this machine without token and password.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="A further name of this machine, when it is open.")
@click.option("--root-path", default="", help="Where a proxy in front of it serves it: /orchestrator")
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="warning",
    show_default=True,
    help="What is logged; info has every request.",
)
@with_apps
def start(host: str, port: int, apps: tuple[str, ...], loglevel: str, **told: Any) -> None:
    """Serve the dashboard, on http://127.0.0.1:4200 unless told otherwise.

    Without a token or a password it listens on this machine only, and answers nobody else.
    """
    _check_installed()
    from orchestrator.server.app import make_app
    from task_workers.server import check_safe, serve

    with the_fleet() as fleet:
        import_apps(apps)
        allow_open = told.pop("allow_open")
        check_safe(host, told["token"], told["password"], allow_open, fleet.settings)
        app = make_app(fleet, allow_open=allow_open, **told)
        serve(app, host, port, loglevel.lower(), say=click.echo, root_path=told["root_path"])


def _check_installed() -> None:
    from importlib.util import find_spec

    from orchestrator.errors import ConfigurationError

    missing = [name for name in ("starlette", "uvicorn", "jinja2") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the dashboard needs {', '.join(missing)}: pip install 'orchestrator[web]'")
