"""An async task that writes down when it starts and ends. A module of its own: a worker that knows it has a loop."""

from __future__ import annotations

import asyncio

from orchestrator import task
from tests.support.tracing import note


@task
async def nap(trace: str, seconds: float) -> float:
    note(trace, "+")
    await asyncio.sleep(seconds)
    note(trace, "-")
    return seconds
