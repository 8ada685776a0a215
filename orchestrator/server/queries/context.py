"""What every query and action of the server works on: the fleet, the index of its runs, and what may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.errors import ObjectNotFound
from orchestrator.inspection import Redaction, RunView, views_of
from orchestrator.people.rights import NotAllowed, Person
from orchestrator.people.roles import Role
from orchestrator.server.index import RunIndex
from orchestrator.server.queries.reach import Reach
from orchestrator.server.view_models import ReadOnly


@dataclass(slots=True)
class QueryContext:
    """Shared by the queries of one app. Its methods may be called from any thread and may raise ``BrokerError``.

    Args:
        fleet: the fleet that is queried.
        index: finds its runs; whoever creates the index starts and stops it.
        redaction: names of arguments whose values are hidden.
        read_only: whether every action is refused with :class:`ReadOnly`.
        person: who asks; ``None`` for the program itself, which may do everything.
        reach: the part of everything that they see; ``None``: all.
    """

    fleet: Fleet
    index: RunIndex
    redaction: Redaction = field(default_factory=Redaction)
    read_only: bool = False
    person: Person | None = None
    reach: Reach | None = None

    def views(self, run_ids: Sequence[str]) -> list[RunView]:
        """The records of these runs that are in reach, in order, without expired ones.

        The index is corrected by what they say.
        """
        views = views_of(self.fleet, run_ids)
        self.index.correct(run_ids, views)
        return self.in_reach(views)

    def in_reach(self, runs: Sequence[RunView]) -> list[RunView]:
        """Those task runs that this person sees: of flow runs in reach, or with tags that are."""
        reach = self.reach
        if reach is None:
            return list(runs)
        reach.flow_runs([run.flow_run_id for run in runs if run.flow_run_id is not None])  # all at once
        return [run for run in runs if reach.has_tags(run.tags) or reach.has_flow_run_named(run.flow_run_id)]

    def has_run(self, run_id: str) -> bool:
        """Whether a task run or flow run is in reach."""
        if self.reach is None:
            return True
        return self.reach.has_flow_run_named(run_id) or bool(self.in_reach(views_of(self.fleet, [run_id])))

    def must_reach(self, what: str, is_in_reach: bool) -> None:
        """Raises ObjectNotFound: something is out of reach, so that for this person there is no such thing."""
        if self.reach is not None and not is_in_reach:
            raise ObjectNotFound(f"there is no {what}, or it is out of the scope of your teams")

    def may(self, needed: Role, record: DeploymentRecord) -> bool:
        """Whether this person has a role over a deployment."""
        if self.person is None or self.person.has_all(needed):
            return True
        scopes = tuple(scope for scope in self.person.scopes(needed) if scope is not None)
        return Reach(self.fleet.broker, scopes).has_deployment(record)

    def must_have(self, needed: Role, record: DeploymentRecord, what: str) -> None:
        """Raises NotAllowed: something about a deployment in reach takes a higher role over it than the rest."""
        if self.person is not None and not self.may(needed, record):
            raise NotAllowed(
                f"{what}: {needed} is needed for this, and {self.person.name} is not over {record.full_name}"
            )

    def must_write(self) -> None:
        """Raises ReadOnly if actions are refused here."""
        if self.read_only:
            raise ReadOnly("this server is read-only: it was started with --read-only")


def page_size(limit: int, largest: int = 200) -> int:
    """A requested page size within bounds.

    >>> page_size(0), page_size(50), page_size(100_000)
    (1, 50, 200)
    """
    return max(1, min(limit, largest))
