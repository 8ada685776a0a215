"""What a pool starts for a run, for people: the command line of a container, the manifest of a Job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Protocol

from orchestrator.work_pools.base_templates import DOCKER, KUBERNETES
from orchestrator.work_pools.docker_job import container_environment, create_arguments
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.kubernetes_job import manifest_of
from orchestrator.work_pools.run_labels import name_for


class Hides(Protocol):
    """Puts something else in the place of values whose names sound like secrets."""

    def of(self, value: Mapping[str, Any]) -> Any:
        """The same with those hidden."""


def shown_start(job: Job, flow_name: str, hides: Hides) -> dict[str, Any]:
    """Facts about what would be started. The worker adds labels and, to the environment, how the store is reached.

    Raises:
        ConfigurationError: it could not be started: no image, a template without its manifest.
    """
    job = job._replace(env=dict(hides.of(job.env)))
    if job.kind == DOCKER:
        env = {name: value for name, value in job.env.items() if value is not None}
        variables = container_environment(job.configuration, env)
        words = ["docker", *create_arguments(job, name_for(flow_name), {}, variables)]
        return {"image": job.configuration["image"], "command": shlex.join(words)}
    if job.kind == KUBERNETES:
        manifest = manifest_of(job, flow_name, {}, {})
        return {"image": manifest["spec"]["template"]["spec"]["containers"][0]["image"], "manifest": manifest}
    return {}
