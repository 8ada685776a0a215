"""Flows: those that were defined, have a deployment, or have run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from orchestrator.deployments.defining import define_flow
from orchestrator.deployments.names import flow_id_of
from orchestrator.errors import BrokerConflict
from orchestrator.inspection.known_flows import FLOW_KIND
from orchestrator.server.definition_views import FlowView
from orchestrator.server.queries.context import QueryContext
from orchestrator.server.queries.deployments import DeploymentQueries

MAX_FLOWS: Final = 10_000


class FlowQueries:
    """The flows of the fleet."""

    def __init__(self, context: QueryContext, deployments: DeploymentQueries) -> None:
        self._context, self._deployments = context, deployments

    def all(self) -> list[FlowView]:
        """Every flow, by name."""
        broker = self._context.fleet.broker
        _, ids = broker.documents.newest(FLOW_KIND, 0, MAX_FLOWS)
        written = {doc.name: doc.written_at_ms for doc in broker.documents.read(FLOW_KIND, ids) if doc is not None}
        deployed: dict[str, list[str]] = {}
        for record in self._deployments.all():
            deployed.setdefault(record.flow_name, []).append(record.id)
        names = {*written, *deployed, *self._context.index.names()["flows"]}
        reach = self._context.reach
        seen = sorted(name for name in names if name and (reach is None or reach.has_flow(name)))
        return [self._view(name, deployed.get(name, []), written.get(name)) for name in seen]

    def id_of(self, name: str) -> str:
        """The id that a flow of this name has."""
        return flow_id_of(self._context.fleet.settings.namespace, name)

    def get(self, flow_id: str) -> FlowView | None:
        """One by its id; ``None`` if there is none."""
        return next((flow for flow in self.all() if flow.id == flow_id), None)

    def named(self, name: str) -> FlowView | None:
        """One by its name; ``None`` if there is none."""
        return next((flow for flow in self.all() if flow.name == name), None)

    def define(self, name: str) -> bool:
        """Have a flow be listed though it has no run; whether it is new. Raises ValueError: the name is none."""
        self._must_have_all_of(name)
        return define_flow(self._context.fleet, name)[1]

    def delete(self, flow: FlowView) -> None:
        """Forget a flow. Raises BrokerConflict: it has deployments; ReadOnly."""
        self._must_have_all_of(flow.name)
        if flow.deployment_ids:
            raise BrokerConflict(f"flow {flow.name!r} has deployments: delete them first")
        self._context.fleet.broker.documents.delete(FLOW_KIND, [flow.id])

    def _must_have_all_of(self, name: str) -> None:
        self._context.must_write()
        reach = self._context.reach
        self._context.must_reach("such flow", reach is None or reach.has_runs_of(name))

    def _view(self, name: str, deployment_ids: list[str], written_at_ms: int | None) -> FlowView:
        moment = datetime.fromtimestamp(written_at_ms / 1000, UTC) if written_at_ms else None
        return FlowView(self.id_of(name), name, deployment_ids, moment)
