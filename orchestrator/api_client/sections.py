"""The filters that most searches take, one section of the body each."""

from __future__ import annotations

from typing import Any, TypedDict

from orchestrator.client.schemas.filters import (
    DeploymentFilter,
    FlowFilter,
    FlowRunFilter,
    TaskRunFilter,
    WorkPoolFilter,
    WorkQueueFilter,
)


class Sections(TypedDict, total=False):
    """Keywords of searches. What is left out means all."""

    flow_filter: FlowFilter | None
    flow_run_filter: FlowRunFilter | None
    task_run_filter: TaskRunFilter | None
    deployment_filter: DeploymentFilter | None
    work_pool_filter: WorkPoolFilter | None
    work_queue_filter: WorkQueueFilter | None


_NAMES = {
    "flow_filter": "flows",
    "flow_run_filter": "flow_runs",
    "task_run_filter": "task_runs",
    "deployment_filter": "deployments",
    "work_pool_filter": "work_pools",
    "work_queue_filter": "work_pool_queues",
}


def body_of(sections: Sections, **more: Any) -> dict[str, Any]:
    """The body of a search: the filters that are given, and what else is.

    Raises:
        TypeError: a keyword that no search has.

    >>> body_of({"flow_filter": None}, limit=5, sort=None)
    {'limit': 5}
    """
    unknown = set(sections) - set(_NAMES)
    if unknown:
        raise TypeError(f"no such filter: {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}")
    filters = {_NAMES[name]: value for name, value in sections.items()}
    return {name: value for name, value in (filters | more).items() if value is not None}
