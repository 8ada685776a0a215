"""What of everything somebody sees whose teams have scopes: kept for one request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from brokers.base import Broker
from brokers.stored import number
from orchestrator.deployments.lookup import read_deployments
from orchestrator.deployments.record import KIND, DeploymentRecord
from orchestrator.people.scope import Scope
from orchestrator.work_pools.lookup import newest_pools

MAX_DEPLOYMENTS: int = 10_000
MAX_POOLS: int = 10_000
CLOCKS_DIFFER: Final = 10.0  # seconds between who writes a deployment and who makes its runs


@dataclass
class Reach:
    """The scopes of a person, and what is in them. May be used from one thread at a time.

    Args:
        broker: of the fleet.
        scopes: they add up.
    """

    broker: Broker
    scopes: tuple[Scope, ...]
    _runs: dict[str, bool] = field(default_factory=dict)  # flow run -> whether it is in reach

    def has_deployment(self, record: DeploymentRecord) -> bool:
        """Whether a deployment is in reach; a damaged one is judged by its name."""
        found = (record.full_name, record.work_pool_name, record.tags)
        return any(scope.has_deployment(*found) for scope in self.scopes)

    def has_definition(self, full_name: str, pool: str | None, tags: Iterable[str]) -> bool:
        """Whether a deployment that is yet to be written would be in reach."""
        return any(scope.has_deployment(full_name, pool, list(tags)) for scope in self.scopes)

    def has_flow(self, flow: str) -> bool:
        """Whether a flow is in reach: all of it, or a deployment of it."""
        return self.has_runs_of(flow) or flow in self.flows_of_deployments

    def has_runs_of(self, flow: str) -> bool:
        """Whether runs of a flow are in reach that are of no deployment."""
        return any(scope.has_flow(flow) for scope in self.scopes)

    def has_pool(self, pool: str) -> bool:
        """Whether a work pool is in reach."""
        return any(scope.has_pool(pool) for scope in self.scopes)

    def has_tags(self, tags: Iterable[str]) -> bool:
        """Whether something with these tags is in reach."""
        found = list(tags)
        return any(scope.has_tags(found) for scope in self.scopes)

    @cached_property
    def deployments(self) -> dict[str, DeploymentRecord]:
        """Id -> deployment, of those in reach."""
        _, ids = self.broker.documents.newest(KIND, 0, MAX_DEPLOYMENTS)
        found = read_deployments(self.broker, ids) if ids else []
        return {record.id: record for record in found if record is not None and self.has_deployment(record)}

    @cached_property
    def pool_ids(self) -> frozenset[str]:
        """The ids of the work pools in reach."""
        found = newest_pools(self.broker, 0, MAX_POOLS)[1] if any(scope.pools for scope in self.scopes) else []
        return frozenset(str(pool.id) for pool in found if self.has_pool(pool.name))

    @cached_property
    def flows_of_deployments(self) -> frozenset[str]:
        """Flows of which a deployment is in reach."""
        return frozenset(record.flow_name for record in self.deployments.values())

    def has_flow_run(self, flow: str, deployment_id: str | None, created: float | None) -> bool:
        """Whether a flow run is in reach, by its deployment, or by its flow where it is of none.

        Ids of deployments are made of their names. Runs that are older than the deployment (``created``: unix seconds,
        ``None``: unknown) are of another one, which had that name and was deleted: they come with no new one.
        """
        if not deployment_id:
            return self.has_runs_of(flow)
        record = self.deployments.get(deployment_id)
        return record is not None and (created is None or created > record.created_at - CLOCKS_DIFFER)

    def has_flow_run_named(self, flow_run_id: str | None) -> bool:
        """Whether a flow run is in reach, by its record. Raises BrokerError."""
        return flow_run_id is not None and self.flow_runs([flow_run_id])[0]

    def flow_runs(self, flow_run_ids: Sequence[str]) -> list[bool]:
        """Of each flow run, whether it is in reach, by its record. Raises BrokerError."""
        unknown = [run_id for run_id in dict.fromkeys(flow_run_ids) if run_id not in self._runs]
        records = self.broker.flow_runs.read_many(unknown) if unknown else []
        for run_id, fields in zip(unknown, records, strict=True):
            texts = {name: fields.get(name, b"").decode("utf-8", "replace") for name in ("flow", "deployment")}
            facts = (texts["flow"], texts["deployment"] or None, number(fields.get("created")))
            self._runs[run_id] = bool(fields) and self.has_flow_run(*facts)
        return [self._runs[run_id] for run_id in flow_run_ids]


def seconds_of(moment: datetime | None) -> float | None:
    """Unix seconds of a moment."""
    return moment.timestamp() if moment is not None else None
