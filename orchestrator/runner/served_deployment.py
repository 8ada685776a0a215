"""A deployment that was registered to be served: by which queue its runs come, and where its flow's code is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.client.fleet import current_fleet
from orchestrator.deployments.names import full_name, served_queue_of
from orchestrator.errors import ConfigurationError
from orchestrator.inspection.known_flows import FLOW_KIND
from orchestrator.runnables.code_places import place_of


@dataclass(frozen=True, slots=True)
class ServedDeployment:
    """One of those that a process serves.

    Args:
        id: of the deployment.
        name: ``flow/deployment``.
        queue: of its runs.
        code: modules and files that a child process loads before it runs the flow; none where it loads it each time.
        is_local: the flow is in no file: it runs in this process.
    """

    id: str
    name: str
    queue: str
    code: tuple[str, ...] = ()
    is_local: bool = False


def check(deployments: Iterable[Any], before: Sequence[ServedDeployment] = ()) -> None:
    """Whether these can be served together with those of before; nothing is written.

    Raises:
        ConfigurationError: one is no deployment, or is run by the workers of a pool.
        ValueError: two have one name.
    """
    names = {each.name for each in before}
    given = list(deployments)
    if not given and not before:
        raise ConfigurationError("serve() needs at least one deployment: serve(my_flow.to_deployment('nightly'))")
    for deployment in given:
        name = _name_of(deployment)
        if deployment.work_pool_name is not None:
            raise ConfigurationError(
                f"{name!r} belongs to the work pool {deployment.work_pool_name!r}, whose workers run it: deploy it "
                f"there with apply() or deploy(), or leave out work_pool_name to serve it"
            )
        if name in names:
            raise ValueError(f"two deployments are called {name!r}: give one of them another name")
        names.add(name)


def register(deployment: Any) -> ServedDeployment:
    """Write it to the store. Raises as :func:`check`, and what its ``apply`` raises."""
    place = place_of(deployment.flow.fn) if deployment.flow is not None else None
    is_local = deployment.flow is not None and place is None
    deployment_id = str(deployment.apply())
    queue = served_queue_of(deployment_id)
    return ServedDeployment(deployment_id, _name_of(deployment), queue, (place,) if place else (), is_local)


def lost_of(deployments: Sequence[Any]) -> list[Any]:
    """Those that a store does not know which came back empty; people delete a deployment, and its flow stays known."""
    if not deployments:
        return []
    flows = current_fleet().broker.documents.find(FLOW_KIND, [each.flow_name for each in deployments])
    return [each for each, flow_id in zip(deployments, flows, strict=True) if flow_id is None]


def _name_of(deployment: Any) -> str:
    if not hasattr(deployment, "apply") or not hasattr(deployment, "flow_name"):
        raise ConfigurationError(f"{deployment!r} is no deployment: serve() takes what my_flow.to_deployment() makes")
    return full_name(deployment.flow_name, deployment.name)
