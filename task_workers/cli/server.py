"""``orchestrator server``: the dashboard and its JSON API."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import import_apps, the_fleet
from task_workers.cli.terminal import say, with_apps

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet


def _networks(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """IP addresses and networks such as ``10.0.0.0/8``, as they were given. Raises BadParameter."""
    for text in given:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is no IP address and no network: say one such as 10.0.0.8 or 10.0.0.0/24"
            ) from None
    return given


def _address(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """Where it listens. Raises BadParameter: an empty one would be all addresses of the machine."""
    if not given:
        raise click.BadParameter("give an address, such as 127.0.0.1; 0.0.0.0 is all of them")
    return given


def _path(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """A path as it stands in a URL, without the slash at its end. Raises BadParameter."""
    if given and not given.startswith("/"):
        raise click.BadParameter(f"{given!r} does not begin with a slash: write /{given}")
    return given.rstrip("/")


@click.group("server")
def command() -> None:
    """The dashboard and its JSON API."""


@command.command(
    "start",
    context_settings={"auto_envvar_prefix": "ORCHESTRATOR_SERVER"},
    epilog="Every option is also a variable: --port is ORCHESTRATOR_SERVER_PORT. A token on a command line is seen by "
    "whoever lists processes: ORCHESTRATOR_SERVER_TOKEN and ORCHESTRATOR_SERVER_PASSWORD are not.",
)
@click.option("--host", default="127.0.0.1", show_default=True, callback=_address, help="Where it listens.")
@click.option("--port", type=Whole(0, 65535), default=4200, show_default=True, help="0: any free one.")
@click.option("--token", help="What API clients send as bearer token; it logs people in, too.", show_envvar=True)
@click.option("--password", help="What people log in with.", show_envvar=True)
@click.option("--read-only", is_flag=True, help="Show everything, do nothing.")
@click.option("--allow-open", is_flag=True, help="Listen elsewhere though nobody is asked who they are.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="A further name of this machine, when it is open.")
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    callback=_networks,
    help="Address or network of a proxy in front of it, whose X-Forwarded-For is believed; nobody's otherwise.",
)
@click.option("--no-services", is_flag=True, help="Leave schedules and delayed calls to workers and other servers.")
@click.option("--root-path", default="", callback=_path, help="Where a proxy in front of it serves it: /orchestrator")
@click.option(
    "-l",
    "--loglevel",
    "--log-level",
    "loglevel",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="warning",
    show_default=True,
    help="What is logged; info has every request.",
)
@with_apps
def start(
    host: str,
    port: int,
    apps: tuple[str, ...],
    loglevel: str,
    no_services: bool,
    proxies: tuple[str, ...],
    **given: Any,
) -> None:
    """Serve the dashboard, on http://127.0.0.1:4200 unless set otherwise.

    Without a token, a password or users (orchestrator user add) it listens on this machine only, and answers nobody
    else. It also fires schedules and
    queues delayed calls when they are due, as workers do; with --read-only it does not.
    """
    _check_installed()
    import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
    from orchestrator.maintenance.services import running_services
    from orchestrator.server.app import make_app
    from orchestrator.slots.action_runner import ActionRunner
    from task_workers.server import check_safe, serve

    with the_fleet() as fleet:
        import_apps(apps)
        allow_open = given.pop("allow_open")
        check_safe(host, given["token"], given["password"], allow_open or _has_users(fleet), fleet.settings)
        app = make_app(fleet, allow_open=allow_open, **given)
        with running_services(fleet, wanted=not (no_services or given["read_only"]), action_runner=ActionRunner):
            serve(app, host, port, loglevel.lower(), say=say, root_path=given["root_path"], proxies=proxies)


def _has_users(fleet: Fleet) -> bool:
    """Whether somebody was added, so that it asks who comes; not while the store does not answer."""
    from orchestrator.errors import BrokerError
    from orchestrator.people.users import has_users

    try:
        return has_users(fleet.broker)
    except BrokerError:
        return False


def _check_installed() -> None:
    from importlib.util import find_spec

    from orchestrator.errors import ConfigurationError

    missing = [name for name in ("starlette", "uvicorn", "jinja2") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the dashboard needs {', '.join(missing)}: pip install 'orchestrator[web]'")
