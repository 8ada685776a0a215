"""Commands of the command line, run in this process: as a pipe sees them, and without half a second for each start."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from click.testing import CliRunner

from orchestrator.client.fleet import Fleet, use_fleet
from task_workers.cli.group import command as all_commands
from tests.support.engines import ROOT


class Done(NamedTuple):
    """What a command has written, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def command_on(fleet: Fleet) -> Command:
    """``command("runs", "ls", VARIABLE="value")`` on a fleet, over connections of its own; nobody answers questions.

    ``stdin="..."`` is what it reads.
    """

    def run(*arguments: str, stdin: str = "", **environment: str) -> Done:
        before = use_fleet(Fleet(fleet.settings))  # the command closes it
        try:
            result = CliRunner().invoke(all_commands, arguments, env=environment, input=stdin, prog_name="orchestrator")
        finally:
            use_fleet(before)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


def on_a_terminal(
    environment: dict[str, str],
    *arguments: str,
    typed: str = "",
    answers: Mapping[str, str] | None = None,
    code: int = 0,
) -> str:
    """What a person sees, who types this, and these answers when asked for them."""
    waiting = list((answers or {}).items())
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=environment,
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    seen = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # the end of a terminal is an error
        while more := terminal.read(4096):
            seen += more
            if waiting and waiting[0][0].encode() in seen:
                os.write(terminal.fileno(), f"{waiting.pop(0)[1]}\n".encode())
    assert process.wait(20) == code
    return seen.decode()
