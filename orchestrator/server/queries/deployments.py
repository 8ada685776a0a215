"""Deployments: lists with status, schedules and last runs, their versions, and what people do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from brokers.records import in_portions
from orchestrator.deployments import editing
from orchestrator.deployments.defining import change_deployment, define_deployment
from orchestrator.deployments.envelope import NO_WISHES, RunWishes
from orchestrator.deployments.lookup import find_deployment, newest_deployments, read_deployments
from orchestrator.deployments.names import full_name
from orchestrator.deployments.parameter_schema import check_parameters, plain_parameters
from orchestrator.deployments.record import KIND, DeploymentRecord
from orchestrator.deployments.run_version import has_code
from orchestrator.deployments.running import RunRequest, envelope_of
from orchestrator.deployments.schedules import write_schedule, write_schedules
from orchestrator.errors import ObjectNotFound
from orchestrator.people.roles import EDITOR
from orchestrator.schedules import Schedule
from orchestrator.server.definition_views import DeploymentPage, DeploymentView, ScheduleView, TickView, VersionView
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.flow_runs import FlowRunQueries
from orchestrator.server.queries.runs import PAGE
from orchestrator.server.queries.schedules import NEXT_TICKS, ScheduleQueries
from orchestrator.server.view_models import FlowRunView

LAST_RUNS: Final = 5  # of each deployment in a list
MAX_LISTED: Final = 10_000  # that a search looks at


class DeploymentQueries:
    """The deployments of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext, schedules: ScheduleQueries, flow_runs: FlowRunQueries) -> None:
        self._context, self._schedules, self._flow_runs = context, schedules, flow_runs

    def newest(self, first: int = 0, limit: int = PAGE, *, last_runs: int = LAST_RUNS) -> DeploymentPage:
        """A page of all, what was written last first."""
        if (reach := self._context.reach) is not None:
            every = list(reach.deployments.values())
            return DeploymentPage(self.views(every[first : first + page_size(limit)], last_runs), len(every))
        total, records = newest_deployments(self._context.fleet.broker, first, page_size(limit))
        return DeploymentPage(self.views(records, last_runs), total)

    def all(self) -> list[DeploymentRecord]:
        """The records of all, at most 10,000, what was written last first; for searches and choices in forms."""
        if self._context.reach is not None:
            return list(self._context.reach.deployments.values())
        broker = self._context.fleet.broker
        ids = broker.documents.newest(KIND, limit=None)[1][:MAX_LISTED]
        found = [record for some in in_portions(ids, 1000) for record in read_deployments(broker, some)]
        return [record for record in found if record is not None]

    def get(self, name: str, *, ticks: int = NEXT_TICKS, last_runs: int = LAST_RUNS) -> DeploymentView | None:
        """One by its id or ``flow/deployment``; ``None`` if there is none."""
        try:
            record = self._found(name)
        except ObjectNotFound:
            return None
        (view,) = self.views([record], last_runs, ticks)
        return view

    def views(
        self, records: Sequence[DeploymentRecord], last_runs: int = LAST_RUNS, ticks: int = NEXT_TICKS
    ) -> list[DeploymentView]:
        """Deployments as people see them."""
        if not records:
            return []
        served = self.served_queues()
        schedules = self._schedules.of_deployments({record.id: record.full_name for record in records}, ticks)
        return [
            DeploymentView(
                record,
                "READY" if record.run_queue in served else "NOT_READY",
                schedules[record.id],
                self._flow_runs.find(deployment_ids=[record.id], limit=last_runs).runs if last_runs else [],
            )
            for record in records
        ]

    def served_queues(self) -> set[str]:
        """The queues whose calls a live process takes."""
        found = self._context.fleet.live_workers().values()
        return {queue for facts in found for queue in facts.get("queues", "").split(",")}

    def _found(self, name: str) -> DeploymentRecord:
        """One that is in reach. Raises ObjectNotFound."""
        record, reach = find_deployment(self._context.fleet.broker, name), self._context.reach
        self._context.must_reach("such deployment", reach is None or reach.has_deployment(record))
        return record

    def _seen(self, deployment_ids: Sequence[str]) -> list[DeploymentRecord]:
        found, reach = read_deployments(self._context.fleet.broker, list(deployment_ids)), self._context.reach
        return [one for one in found if one is not None and (reach is None or reach.has_deployment(one))]

    def upcoming(self, deployment_ids: Sequence[str], most: int) -> list[FlowRunView]:
        """Runs that the schedules of these deployments will make: they have no record yet."""
        records = {record.id: record for record in self._seen(deployment_ids) if not record.paused}
        schedules = self._schedules.of_deployments({one.id: one.full_name for one in records.values()}, most)
        return [
            _run_to_come(records[owner], schedule, tick)
            for owner, some in schedules.items()
            for schedule in some
            for tick in schedule.next_ticks
        ]

    def named(self, deployment_ids: Sequence[str]) -> dict[str, str]:
        """Deployment id -> ``flow/deployment``, of those that are there."""
        return {record.id: record.full_name for record in self._seen(deployment_ids)} if deployment_ids else {}

    def versions(self, name: str) -> list[VersionView]:
        """Its versions, the newest first. Raises ObjectNotFound."""
        broker = self._context.fleet.broker
        record, versions = editing.versions(self._context.fleet, self._found(name).id)
        return [
            VersionView(version, version.number == record.version_number, has_code(broker, record.id, version))
            for version in versions
        ]

    # -- what people do to them --------------------------------------------------------------------------------------

    def start_run(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        version: int | str | None = None,
        scheduled_time: datetime | None = None,
        wishes: RunWishes = NO_WISHES,
        enforce: bool | None = None,
    ) -> str:
        """Make a run of it; returns the id.

        Args:
            name: ``flow/deployment``, or its id.
            parameters: over those of the deployment.
            version: number or label; the current one unless given.
            scheduled_time: when it is to begin, with a zone; now unless given.
            wishes: what else is wanted of this run; its job variables say what is started, and take an editor.
            enforce: whether the parameters are checked; ``None``: as the deployment says.

        Raises:
            ObjectNotFound: no such deployment or version. MissingFlowError: that version's code is gone.
            NotAllowed: job variables, by somebody who could not give them to the deployment either.
            ParameterBindError, ParameterTypeError, PayloadTooLarge: the parameters do not fit.
        """
        self._context.must_write()
        fleet = self._context.fleet
        record = self._found(name)
        if (parent := wishes.parent_task_run_id) is not None:
            self._context.must_reach("such run as its parent", self._context.has_run(parent))
        if wishes.job_variables:
            self._context.must_have(EDITOR, record, "job_variables of a run")
        if enforce is not None:
            record = replace(record, enforce_parameter_schema=enforce)
        if scheduled_time is not None:
            delay = (scheduled_time - datetime.now(UTC)).total_seconds()
            wishes = wishes._replace(expected_at=scheduled_time.timestamp(), delay_ms=max(0, round(delay * 1000)))
        envelope = envelope_of(fleet, record, RunRequest(record.id, parameters, version=version, wishes=wishes))
        return fleet.calls.send([envelope])[0]

    def define(self, flow_name: str, name: str, changes: Mapping[str, Any]) -> tuple[DeploymentRecord, bool]:
        """Create one or change it; whether it is new. See ``deployments.defining.define_deployment``."""
        self._context.must_write()
        self._must_stay_in_reach(full_name(flow_name, name), changes)
        return define_deployment(self._context.fleet, flow_name, name, changes)

    def change(self, deployment_id: str, changes: Mapping[str, Any]) -> DeploymentRecord:
        """Change what is given of it. See ``deployments.defining.change_deployment``."""
        self._context.must_write()
        self._must_stay_in_reach(self._found(deployment_id).full_name, changes)
        if "paused" in changes:  # a resumed one does not make up for the ticks of its pause
            (self.resume if not changes["paused"] else self.pause)(deployment_id)
        return change_deployment(self._context.fleet, deployment_id, changes)

    def _must_stay_in_reach(self, name: str, changes: Mapping[str, Any]) -> None:
        """Somebody with a scope changes what is in it, to what is in it, in pools that are. Raises ObjectNotFound."""
        if (reach := self._context.reach) is None:
            return
        try:
            before: DeploymentRecord | None = find_deployment(self._context.fleet.broker, name)
        except ObjectNotFound:
            before = None
        pool = changes.get("work_pool_name", before.work_pool_name if before is not None else None)
        tags = changes.get("tags", before.tags if before is not None else ())
        stays = reach.has_definition(name, pool, tags or ()) and (before is None or reach.has_deployment(before))
        self._context.must_reach(f"place for deployment {name!r}", stays)
        if pool is not None and pool != (before.work_pool_name if before is not None else None):
            # its code would run with whatever that pool gives; and whether there is such a pool stays unknown too
            self._context.must_reach(f"work pool {pool!r}", reach.has_pool(pool))

    def set_schedules(self, record: DeploymentRecord, schedules: Sequence[Schedule]) -> None:
        """Have it have these schedules and no others."""
        self._context.must_write()
        self._found(record.id)
        self._check(record, schedules)
        write_schedules(self._context.fleet, record, schedules)

    def write_schedule(self, record: DeploymentRecord, schedule: Schedule, schedule_id: str | None = None) -> str:
        """Add a schedule to it, or change the one with that id; returns the id."""
        self._context.must_write()
        self._found(record.id)
        self._check(record, [schedule])
        fleet = self._context.fleet
        return write_schedule(fleet, record, schedule, active=schedule.active, the_id=schedule_id).id

    @staticmethod
    def _check(record: DeploymentRecord, schedules: Sequence[Schedule]) -> None:
        if record.enforce_parameter_schema and record.parameter_schema:
            for schedule in schedules:
                what = f"a schedule of deployment {record.full_name!r}"
                check_parameters(record.parameter_schema, plain_parameters(schedule.parameters), what)

    def pause(self, name: str) -> None:
        """Leave its schedules alone until it is resumed. Raises ObjectNotFound."""
        self._context.must_write()
        editing.pause_deployment(self._context.fleet, self._found(name).id)

    def resume(self, name: str) -> None:
        """Have its schedules fire again, from their next ticks on. Raises ObjectNotFound."""
        self._context.must_write()
        editing.resume_deployment(self._context.fleet, self._found(name).id)

    def delete(self, name: str) -> None:
        """Forget it; its runs that wait are cancelled, the others stay. Raises ObjectNotFound."""
        self._context.must_write()
        editing.delete_deployment(self._context.fleet, self._found(name).id)

    def roll_back(self, name: str, to: int | str) -> int:
        """Make an earlier version the one that runs; returns its number. Raises ObjectNotFound, MissingFlowError."""
        self._context.must_write()
        return editing.roll_back(self._context.fleet, self._found(name).id, to).number


def _run_to_come(record: DeploymentRecord, schedule: ScheduleView, tick: TickView) -> FlowRunView:
    return FlowRunView(
        tick.run_id,
        record.flow_name,
        f"{record.flow_name}-{tick.run_id[-4:]}",
        "SCHEDULED",
        "Scheduled",
        "",
        None,
        None,
        0,
        None,
        {},
        expected=tick.moment.astimezone(UTC),
        deployment=record.full_name,
        deployment_id=record.id,
        version=record.version_number,
        schedule_id=schedule.id,
        tags=record.tags,
        work_pool=record.work_pool_name,
    )
