"""Commands of the command line, run in this process: as a pipe sees them, and without half a second for each start."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from click.testing import CliRunner

from orchestrator.fleet import Fleet, use_fleet
from task_workers.cli.group import command as all_commands


class Done(NamedTuple):
    """What a command has written, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def command_on(fleet: Fleet) -> Command:
    """``command("runs", "ls", VARIABLE="value")`` on a fleet, over connections of its own; nobody answers questions."""

    def run(*arguments: str, **environment: str) -> Done:
        before = use_fleet(Fleet(fleet.settings))  # the command closes it
        try:
            result = CliRunner().invoke(all_commands, arguments, env=environment, prog_name="orchestrator")
        finally:
            use_fleet(before)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run
