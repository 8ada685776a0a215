"""Queries and actions behind the pages and the JSON API, one module per subject.

The index finds runs, their records say what is shown: where the two differ the record wins and the index is corrected.
"""

from __future__ import annotations

from orchestrator.client.fleet import Fleet
from orchestrator.inspection import Redaction
from orchestrator.people.rights import Person
from orchestrator.people.scope import Scope
from orchestrator.server.index import RunIndex
from orchestrator.server.queries.artifacts import ArtifactQueries
from orchestrator.server.queries.automations import AutomationQueries
from orchestrator.server.queries.blocks import BlockQueries
from orchestrator.server.queries.context import QueryContext
from orchestrator.server.queries.dead_letters import DeadLetterQueries
from orchestrator.server.queries.deployments import DeploymentQueries
from orchestrator.server.queries.events import EventQueries
from orchestrator.server.queries.fleet import FleetQueries, QueueQueries, WorkerQueries
from orchestrator.server.queries.flow_runs import FlowRunQueries
from orchestrator.server.queries.flows import FlowQueries
from orchestrator.server.queries.limits import LimitQueries
from orchestrator.server.queries.people import PeopleQueries
from orchestrator.server.queries.reach import Reach
from orchestrator.server.queries.reported_runs import ReportedRuns
from orchestrator.server.queries.run_actions import RunActions
from orchestrator.server.queries.runs import RunQueries
from orchestrator.server.queries.schedules import ScheduleQueries
from orchestrator.server.queries.variables import VariableQueries
from orchestrator.server.queries.work_pools import WorkPoolQueries

__all__ = ["Queries"]


class Queries:
    """All queries and actions of one app, by subject. Every method of them may be called from any thread.

    Args:
        fleet: the fleet that is queried.
        index: finds its runs; whoever creates the index starts and stops it.
        redaction: names of arguments whose values are hidden.
        read_only: whether every action is refused with :class:`~orchestrator.server.view_models.ReadOnly`.
        person: who asks; ``None`` for the program itself.
        reach: the part of everything that they see; ``None``: all.

    Every method of a subject may raise ``BrokerError``: the server underneath does not respond.
    """

    def __init__(
        self,
        fleet: Fleet,
        index: RunIndex,
        redaction: Redaction | None = None,
        read_only: bool = False,
        person: Person | None = None,
        reach: Reach | None = None,
    ) -> None:
        self.context = QueryContext(fleet, index, redaction or Redaction(), read_only, person, reach)
        self.index = index
        self.runs = RunQueries(self.context)
        self.run_actions = RunActions(self.context, self.runs)
        self.flow_runs = FlowRunQueries(self.context)
        self.reported_runs = ReportedRuns(self.context)
        self.schedules = ScheduleQueries(self.context)
        self.deployments = DeploymentQueries(self.context, self.schedules, self.flow_runs)
        self.flows = FlowQueries(self.context, self.deployments)
        self.artifacts = ArtifactQueries(self.context)
        self.automations = AutomationQueries(self.context)
        self.limits = LimitQueries(self.context)
        self.variables = VariableQueries(self.context)
        self.blocks = BlockQueries(self.context)
        self.events = EventQueries(self.context)
        self.work_pools = WorkPoolQueries(self.context)
        self.people = PeopleQueries(self.context)
        self.queues = QueueQueries(self.context)
        self.workers = WorkerQueries(self.context)
        self.fleet = FleetQueries(self.context)
        self.dead_letters = DeadLetterQueries(self.context, self.run_actions)

    def of_person(self, person: Person, scopes: tuple[Scope, ...] | None) -> Queries:
        """The same, for what somebody may see and change; ``scopes``: ``None`` where that is everything."""
        own = self.context
        reach = Reach(own.fleet.broker, scopes) if scopes is not None else None
        return Queries(own.fleet, own.index, own.redaction, own.read_only, person, reach)
