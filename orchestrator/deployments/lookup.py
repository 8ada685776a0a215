"""Deployments in the store: found by name or id, listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brokers.base import Broker
from orchestrator.deployments.names import is_id
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of
from orchestrator.errors import ObjectNotFound


def find_deployment(broker: Broker, name: Any) -> DeploymentRecord:
    """A deployment by ``flow/deployment``, or by its id (a text or a UUID).

    Raises:
        ObjectNotFound: there is none. BrokerError: the server does not answer.
    """
    wanted = str(name)
    found = wanted if is_id(wanted) else broker.documents.find(KIND, [wanted])[0]
    record = read_deployments(broker, [found])[0] if found is not None else None
    if record is None:
        raise ObjectNotFound(f"Deployment {wanted!r} not found! {_hint(wanted)}")
    return record


def read_deployments(broker: Broker, deployment_ids: Sequence[str]) -> list[DeploymentRecord | None]:
    """Deployments by their ids; ``None`` where there is none. Raises BrokerError."""
    return [record_of(document) for document in broker.documents.read(KIND, deployment_ids)]


def newest_deployments(broker: Broker, first: int = 0, limit: int = 200) -> tuple[int, list[DeploymentRecord]]:
    """How many there are, and some of them, those that were written last first. Raises BrokerError."""
    total, ids = broker.documents.newest(KIND, first, limit)
    return total, [record for record in read_deployments(broker, ids) if record is not None]


def _hint(name: str) -> str:
    if "/" in name or is_id(name):
        return "`orchestrator deployment ls` lists what there is; my_flow.serve() or .deploy() makes one."
    return "Write 'flow name/deployment name', or its id."
