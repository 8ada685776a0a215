"""The group of commands. Importing it loads click and nothing else of weight: ``--help`` is instant."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any, Final

import click

# command -> (module below task_workers.cli, what it does); the modules are imported when their command is used
COMMANDS: Final = {
    "worker": ("worker", "Run tasks in worker processes."),
    "store": ("store", "Start, stop or look at the private server."),
    "server": ("server", "The dashboard and its JSON API: orchestrator server start"),
    "dev": ("dev", "Server, workers, dashboard and app in one terminal."),
    "run": ("run", "Run a flow: orchestrator run shop.flows:nightly --param day=3"),
    "task": ("task", "Send a call: orchestrator task delay NAME -A app"),
    "runs": ("runs", "Runs: list, show, logs, cancel, retry, delete."),
    "watch": ("watch", "Follow a run until its end."),
    "top": ("top", "The fleet, live: queues, workers, rates."),
    "queues": ("queues", "Queues: list, pause, resume, purge."),
    "workers": ("workers", "Workers: list, ping, pause, resume, stop."),
    "dead": ("dead", "Dead letters: list, show, replay, purge."),
    "check": ("check", "Is the server fit, do workers live? For probes."),
    "acl": ("acl", "The least rights that the server's user needs."),
    "demo": ("demo", "Watch calls fan out over worker processes."),
    "config": ("config", "The settings and where they come from."),
    "completion": ("completion", "Completion of commands for bash, zsh or fish."),
    "version": ("version", "The version."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"task_workers.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is one clear line, not a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not _is_ours(error):
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            click.echo(f"orchestrator: {error}", err=True)
            ctx.exit(1)


def _is_ours(error: Exception) -> bool:
    from brokers.errors import OrchestratorError

    return isinstance(error, OrchestratorError)


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "auto_envvar_prefix": "ORCHESTRATOR",
    },
    epilog="Every option is also a variable: `runs ls --limit` is ORCHESTRATOR_RUNS_LS_LIMIT. Settings: `config show`.",
)
@click.option("--debug", is_flag=True, envvar="ORCHESTRATOR_DEBUG", help="Show tracebacks of errors.")
def command(debug: bool) -> None:
    """Tasks, flows and futures on a fleet of workers."""


def main(args: list[str] | None = None) -> None:
    """The console script."""
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # `orchestrator run my_module:flow` finds what `python -m my_module` finds
    command.main(args, prog_name="orchestrator")
