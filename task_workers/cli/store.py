"""``orchestrator store``: the private server, when it is to last."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from task_workers.cli.terminal import as_json, echo_json, say

if TYPE_CHECKING:
    from brokers.private_server import ServerStatus


@click.group("store")
def command() -> None:
    """Start, stop or look at the private server.

    It starts by itself when it is used, and ends with its last user. `start` makes it stay until `stop`.
    """


def _home() -> Path:
    from brokers.private_server import default_home
    from orchestrator.settings import current

    return current().home or default_home()


@command.command()
def start() -> None:
    """Start it, or keep the one that runs, until it is stopped."""
    from brokers.private_server import start_lasting

    _print(start_lasting(_home()))


@command.command()
def stop() -> None:
    """Stop it, even if it is in use. Its data stay."""
    from brokers.private_server import stop_lasting

    home = _home()
    say(f"stopped; the data stay in {home}" if stop_lasting(home) else f"no private server runs in {home}")


@command.command()
@as_json
def status(as_json: bool) -> None:
    """Say whether it runs; the exit code is 3 if not."""
    from brokers.private_server import status as look

    home = _home()
    found = look(home)
    if as_json:
        echo_json({"running": found is not None, "home": str(home), **(_facts(found) if found else {})})
    elif found is None:
        say(f"no private server runs in {home}")
    else:
        _print(found)
    if found is None:
        sys.exit(3)


def _facts(found: ServerStatus) -> dict[str, object]:
    return {
        "url": found.url,
        "pid": found.server_pid,
        "keeper_pid": found.keeper_pid,
        "lasting": found.lasting,
        "started_at": datetime.fromtimestamp(found.started_at, UTC).isoformat(timespec="seconds"),
    }


def _print(found: ServerStatus) -> None:
    say(f"the private server runs in {found.home}")
    for name, value in _facts(found).items():
        say(f"  {name:<11} {str(value).lower() if isinstance(value, bool) else value}")
