"""Flows that the store knows: those that have deployments, and those that have run lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.names import flow_id_of
from orchestrator.deployments.record import KIND
from orchestrator.inspection.flow_runs import FlowRunRow, flow_runs_of

FLOW_KIND: Final = "flow"
MOST: Final = 10_000  # deployments, and flows that have some
RECENT_RUNS: Final = 1000


@dataclass(frozen=True, slots=True)
class KnownFlow:
    """A flow in a list.

    Attributes:
        id: the same in every process.
        name: of the flow.
        deployments: their names, without the flow's.
        last_run: the run that changed last, if it did so lately.
    """

    id: str
    name: str
    deployments: tuple[str, ...] = ()
    last_run: FlowRunRow | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "id": self.id,
            "name": self.name,
            "deployments": list(self.deployments),
            "last_run": self.last_run.as_json() if self.last_run is not None else None,
        }

    @property
    def last_moment(self) -> datetime | None:
        """When its last run ended, or began."""
        return (self.last_run.ended or self.last_run.began) if self.last_run is not None else None


def known_flows(fleet: Fleet) -> list[KnownFlow]:
    """The flows that the store knows, by name. Raises BrokerError."""
    deployments: dict[str, list[str]] = {name: [] for name in _names_of(fleet, FLOW_KIND)}
    for full_name in _names_of(fleet, KIND):
        flow, _, name = full_name.partition("/")
        deployments.setdefault(flow, []).append(name)
    last: dict[str, FlowRunRow] = {}
    for run in flow_runs_of(fleet, limit=RECENT_RUNS):
        last.setdefault(run.flow, run)
    names = sorted({*deployments, *last} - {""})
    return [
        KnownFlow(
            flow_id_of(fleet.settings.namespace, name), name, tuple(sorted(deployments.get(name, ()))), last.get(name)
        )
        for name in names
    ]


def _names_of(fleet: Fleet, kind: str) -> list[str]:
    documents = fleet.broker.documents
    _, ids = documents.newest(kind, 0, MOST)
    return [found.name for found in documents.read(kind, ids) if found is not None and found.name]
