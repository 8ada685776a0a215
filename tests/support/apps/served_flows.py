"""Flows that a host of this module runs, each in a process of its own: ``python -m ... LIMIT``."""

from __future__ import annotations

import asyncio
import os
import sys

from orchestrator import flow
from orchestrator.client.slot_lending import waiting_for
from orchestrator.runner.host import ServedFlows, find_host
from tests.support import signals

QUEUE = "s-0123456789ab"


@flow
def where(entered: str = "", go_on: str = "") -> tuple[int, int]:
    """Its process, and how many flow runs of the test are at work with it."""
    if entered:
        signals.give(entered)
        signals.wait_for(go_on)
    return os.getpid(), os.getppid()


@flow
async def where_on_a_loop(entered: str, go_on: str) -> int:
    """Its process, as of an async flow."""
    signals.give(entered)
    while not signals.count(go_on):
        await asyncio.sleep(0.01)
    return os.getpid()


@flow
def nests(depth: int) -> list[str]:
    """Waits for a run of itself in the same queue, so deep."""
    if depth == 0:
        return ["innermost"]
    with waiting_for(QUEUE):
        inner: list[str] = nests.apply_async((depth - 1,), queue=QUEUE).result(timeout=40)
    return [*inner, f"depth {depth}"]


@flow
def dies_at_first(died: str) -> str:
    """Its process is killed, the first time."""
    if signals.count(died) == 0:
        signals.give(died)
        os.kill(os.getpid(), 9)
    return "the second time"


if __name__ == "__main__":
    served = ServedFlows("served flows", (QUEUE,), (__spec__.name,), limit=int(sys.argv[1]))
    sys.exit(not find_host()(served).run())
