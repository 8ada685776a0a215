"""What a run knows of the deployment that it is a run of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class DeployedRun(NamedTuple):
    """A run's deployment, as the run was made. Moments are unix seconds."""

    deployment_id: str
    deployment_name: str  # ``flow/deployment``
    version: int = 0
    version_label: str | None = None
    run_name: str | None = None  # that somebody gave
    expected_at: float | None = None
    job_variables: Mapping[str, Any] | None = None  # of the deployment, with those of the run over them
    schedule_id: str | None = None
    parent_deployment_id: str | None = None
    root_flow_run_id: str | None = None
    own_job_variables: tuple[str, ...] | None = None  # names of those that came with the run; ``None``: unknown

    @property
    def name(self) -> str:
        """The deployment's own name.

        >>> DeployedRun("1", "daily-etl/nightly").name
        'nightly'
        """
        return self.deployment_name.partition("/")[2]
