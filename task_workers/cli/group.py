"""The group of commands. Importing it loads click and nothing else of weight: ``--help`` is instant."""

from __future__ import annotations

import errno
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
    "serve": ("serve", "Serve flows: orchestrator serve etl.py:nightly --cron '0 6 * * *'"),
    "task": ("task", "Send a call: orchestrator task delay NAME -A app"),
    "runs": ("runs", "Runs: list, show, logs, cancel, retry, delete."),
    "deploy": ("deploy", "Write deployments: orchestrator deploy etl.py:nightly -n NAME, or of an orchestrator.yaml"),
    "deployment": ("deployment", "Deployments: list, inspect, run, versions, rollback, pause, schedules."),
    "work-pool": ("work_pool", "Work pools: create, ls, inspect, pause, resume, update, limits, delete."),
    "work-queue": ("work_queue", "Queues of work pools: create, ls, pause, resume, limits."),
    "automation": ("automation", "Automations: create, ls, inspect, enable, disable, test, delete."),
    "flow": ("flow", "Flows: list those with deployments, or that have run lately."),
    "flow-run": ("flow_run", "Flow runs: list, inspect, logs, watch, cancel, retry, delete."),
    "flows": ("flows", "Flow runs: list, show."),
    "watch": ("watch", "Follow a run until its end."),
    "top": ("top", "The fleet, live: queues, workers, rates."),
    "block": ("block", "Blocks: list, inspect, create, delete, register, rekey; and their types."),
    "schedule": ("schedule", "Schedules: list, next ticks, trigger, backfill, pause, resume, skip, apply."),
    "events": ("events", "Events: list, follow, emit."),
    "queues": ("queues", "Queues: list, pause, resume, purge."),
    "variable": ("variable", "Variables: set, get, ls, inspect, unset."),
    "artifact": ("artifact", "Artifacts: list, inspect, delete what runs have left."),
    "gcl": ("gcl", "Global concurrency limits: create, ls, inspect, update, enable, disable, delete."),
    "workers": ("workers", "Workers: list, ping, pause, resume, stop."),
    "dead": ("dead", "Dead letters: list, show, replay, purge."),
    "user": ("user", "Users: add, ls, passwd, role, delete; the first one closes an open server."),
    "team": ("team", "Teams, roles over parts: create, ls, add, remove, scope, delete."),
    "api-key": ("api_key", "API keys of users, for programs: create, ls, revoke."),
    "audit": ("audit", "The audit: who wrote and deleted what."),
    "check": ("check", "Is the server fit, do workers live? For probes."),
    "acl": ("acl", "The least rights that the server's user needs."),
    "demo": ("demo", "Watch calls fan out over worker processes."),
    "config": ("config", "The settings and where they come from: view, set, unset, validate."),
    "profile": ("profile", "Profiles, settings under names: ls, create, use, inspect, rename, delete."),
    "completion": ("completion", "Completion of commands for bash, zsh or fish."),
    "version": ("version", "The version."),
}

INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C has ended, as shells count it: 128, and 2 for SIGINT."""
ALIASES: Final = {"event": "events"}  # as Prefect takes them


class _Habit(click.ClickException):
    """One line, without usage."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"orchestrator: {self.message}", err=True)


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"task_workers.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Habits of Celery's and Prefect's command lines are answered with what it is called here."""
        from task_workers.cli.foreign_commands import answer

        hint = answer(args, COMMANDS)
        if hint is not None:
            raise _Habit(hint)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is one clear line, not a traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would say that it has failed: "Aborted!", exit code 1
            if sys.stdout.isatty():
                click.echo()  # below the ^C
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if not _is_one_line(error):
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            from task_workers.cli.terminal import say

            say(f"orchestrator: {error}", err=True)
            ctx.exit(1)


def _is_one_line(error: Exception) -> bool:
    """Whether its text is enough: errors of ours, and what the system refuses (a full disk, a folder)."""
    from brokers.errors import OrchestratorError

    if isinstance(error, OSError):
        return error.errno is not None and error.errno != errno.EPIPE  # a closed pipe is click's to answer
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
@click.version_option(package_name="orchestrator", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="ORCHESTRATOR_DEBUG", help="Show tracebacks of errors.")
@click.option("--prompt/--no-prompt", hidden=True, expose_value=False, help="Accepted: a script is never asked.")
@click.option("-p", "--profile", metavar="NAME", envvar="ORCHESTRATOR_PROFILE", help="The profile of settings to take.")
def command(debug: bool, profile: str | None) -> None:
    """Tasks, flows and futures on a fleet of workers."""
    if profile:
        os.environ["ORCHESTRATOR_PROFILE"] = profile  # before settings are read, and for programs that are started


def main(args: list[str] | None = None) -> None:
    """The console script."""
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        from orchestrator.neighbours import hidden_in  # before the path: what is imported here stays ours

        for warning in hidden_in(os.getcwd()):
            click.echo(f"orchestrator: {warning}", err=True)  # before ours are imported
        sys.path.insert(0, os.getcwd())  # `orchestrator run my_module:flow` finds what `python -m my_module` finds
    try:
        command.main(args, prog_name="orchestrator")
    except OSError as error:  # while the help is written
        click.echo(f"orchestrator: {error}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries again at its end, and exits with 120
        sys.exit(1)
