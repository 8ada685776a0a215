"""Flows whose processes are killed, with hooks; ``python -m`` serves them."""

from __future__ import annotations

import os
import re
from typing import Any

from orchestrator import flow, runtime, serve
from tests.support import signals


def write(file: str, line: str) -> None:
    """Append a line."""
    with open(file, "a") as written:
        written.write(line + "\n")


def _say(hook: str, its_flow: Any, run: Any, state: Any) -> None:
    parts = (os.getpid(), its_flow.name, run.id, state.name, state.type.value, run.run_count, runtime.flow_run.id)
    write(run.parameters["said"], " ".join([hook, *map(str, parts)]))


def crashed(its_flow: Any, run: Any, state: Any) -> None:
    _say("crashed", its_flow, run, state)


async def cancelled(its_flow: Any, run: Any, state: Any) -> None:
    _say("cancelled", its_flow, run, state)


@flow(on_crashed=[crashed])
def kills_itself(said: str, pids: str) -> None:
    """Is killed each time."""
    write(pids, str(os.getpid()))
    os.kill(os.getpid(), 9)


@flow(on_cancellation=[cancelled])
def does_not_listen(said: str, entered: str) -> None:
    """Stays in C code."""
    signals.give(entered)
    re.match(r"(a+)+$", "a" * 64 + "b")


if __name__ == "__main__":
    serve(kills_itself.to_deployment("served"), does_not_listen.to_deployment("served"))
