"""Flows that tests send to workers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from orchestrator import flow, task
from orchestrator.deployments import run_deployment
from orchestrator.runtime import flow_run
from tests.support import signals


@task(persist_result=True)
def part(x: int, worked: str) -> int:
    """Ten times as much; says that it has worked."""
    signals.give(worked)
    return 10 * x


@flow(name="adds up", log_prints=True)
def adds_up(entered: str, go_on: str, worked: str, n: int = 2) -> dict[str, Any]:
    """Its parts, then a wait, then their sum."""
    print("begun", n)
    values = part.map(range(n), worked=worked).result()
    signals.give(entered)
    signals.wait_for(go_on)
    return {"id": flow_run.id, "runs": flow_run.run_count, "sum": sum(values)}


@task
def starts(deployment: str) -> str:
    """Starts a run of a deployment, and does not wait for it."""
    return str(run_deployment(deployment, timeout=0).id)


@flow
async def adds_up_on_a_loop(n: int, worked: str) -> int:
    """The sum of parts."""
    return sum(await asyncio.gather(*[_value(part.submit(x, worked)) for x in range(n)]))


async def _value(future: Any) -> int:
    value: int = await future
    return value


@flow(retries=2, retry_delay_seconds=0.2)
def fails_once() -> tuple[int, str]:
    """Fails the first time."""
    if flow_run.run_count == 1:
        raise ValueError("the first time")
    return flow_run.run_count, flow_run.id


@flow(timeout_seconds=0.3)
def too_slow() -> None:
    """Runs longer than it may."""
    for _ in range(6000):
        time.sleep(0.01)


@flow
def gives_futures(worked: str) -> list[Any]:
    """Futures, whose states are summed up."""
    return list(part.map([1, 2], worked=worked))


@task
def sends(worked: str) -> str:
    """Sends a flow from a task; gives its id."""
    return gives_futures.delay(worked).run_id
