"""``prefect.deployments.flow_runs``, see the package."""

from orchestrator.deployments.running import arun_deployment, run_deployment

__all__ = ["arun_deployment", "run_deployment"]
