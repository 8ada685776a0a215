"""Deployments: flows under a name in the store, started by schedules, people and other programs.

>>> from orchestrator import flow
>>> @flow
... def daily_etl(source: str = "dev"): ...
>>> daily_etl.to_deployment("nightly", cron="0 6 * * *").full_name
'daily-etl/nightly'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.deployments.deploying import Deployment as Deployment
    from orchestrator.deployments.deploying import DockerImage as DockerImage
    from orchestrator.deployments.deploying import deploy as deploy
    from orchestrator.deployments.runner_deployment import RunnerDeployment as RunnerDeployment
    from orchestrator.deployments.runner_deployment import freeze as freeze
    from orchestrator.deployments.running import arun_deployment as arun_deployment
    from orchestrator.deployments.running import run_deployment as run_deployment

_HOMES = {
    "Deployment": "deploying",
    "DockerImage": "deploying",
    "RunnerDeployment": "runner_deployment",
    "arun_deployment": "running",
    "deploy": "deploying",
    "freeze": "runner_deployment",
    "run_deployment": "running",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
