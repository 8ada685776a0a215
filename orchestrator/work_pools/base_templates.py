"""The types of work pools, and the base job template of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.work_pools.docker_template import DOCKER_TEMPLATE
from orchestrator.work_pools.kubernetes_template import KUBERNETES_TEMPLATE

PROCESS, DOCKER, KUBERNETES = "process", "docker", "kubernetes"
PROCESS_TEMPLATE: Final[dict[str, Any]] = {
    "job_configuration": {"env": "{{ env }}", "working_dir": "{{ working_dir }}"},
    "variables": {
        "type": "object",
        "properties": {
            "env": {
                "title": "Environment Variables",
                "description": "Environment variables of the process, set before the flow is loaded.",
                "type": "object",
                "additionalProperties": {"type": "string"},
            },
            "working_dir": {
                "title": "Working Directory",
                "description": "Where the flow runs; unless given, where it was deployed.",
                "type": "string",
            },
        },
    },
}
_TEMPLATES: Final = {PROCESS: PROCESS_TEMPLATE, DOCKER: DOCKER_TEMPLATE, KUBERNETES: KUBERNETES_TEMPLATE}
TYPES: Final = tuple(_TEMPLATES)


def base_template(kind: str) -> dict[str, Any]:
    """The base job template of a type; of one that is not known here, that of processes.

    >>> base_template("kubernetes")["variables"]["properties"]["backoff_limit"]["default"]
    0
    """
    return _TEMPLATES.get(kind, PROCESS_TEMPLATE)


def check_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """A base job template as it may be. Raises ValueError, with what is missing.

    >>> check_template({"variables": {}})
    Traceback (most recent call last):
    ValueError: a base job template has 'job_configuration' and 'variables', both JSON objects
    """
    if not all(isinstance(template.get(part), Mapping) for part in ("job_configuration", "variables")):
        raise ValueError("a base job template has 'job_configuration' and 'variables', both JSON objects")
    return dict(template)
