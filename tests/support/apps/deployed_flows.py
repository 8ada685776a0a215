"""Flows that tests deploy."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator import flow, task
from orchestrator.deployments import arun_deployment, run_deployment
from orchestrator.runtime import deployment, flow_run


@task
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


@flow(log_prints=True)
def tracker(city: str = "Boston", days: int = 1) -> dict[str, Any]:
    """What a run of it knows of itself.

    Args:
        city: where it looks.
        days: how far back.
    """
    print(f"tracking {city}")
    return {
        "city": city,
        "days": days,
        "run": flow_run.id,
        "name": flow_run.name,
        "deployment": (deployment.id, deployment.name, deployment.version),
        "expected": flow_run.scheduled_start_time,
        "variables": flow_run.job_variables,
        "tags": flow_run.tags,
        "count": flow_run.run_count,
    }


@flow
async def on_a_loop(x: int) -> int:
    """An async flow."""
    await asyncio.sleep(0)
    return 2 * x


@flow(retries=1, retry_delay_seconds=0.1)
def fails_once() -> int:
    """Fails the first time."""
    if flow_run.run_count == 1:
        raise ValueError("the first time")
    return flow_run.run_count


@flow
def parent(name: str) -> tuple[str, str]:
    """Runs a deployment, and gives the id of the run and its result."""
    child = run_deployment(name, parameters={"x": 21}, timeout=30)
    return str(child.id), child.state.result()


@flow
async def async_parent(name: str) -> tuple[str, str]:
    """The same on an event loop."""
    child = await arun_deployment(name, parameters={"x": 21}, timeout=30)
    return str(child.id), child.state.result()
