"""What people do to deployments that are there: pause, resume, delete, roll back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from orchestrator.automations.of_deployments import delete_triggers
from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import cancel_waiting, forget
from orchestrator.concurrency.deployment_limits import limit_of_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.record import KIND, DeploymentRecord
from orchestrator.deployments.run_version import version_for_run
from orchestrator.deployments.schedules import owner_of
from orchestrator.deployments.versions import Version, forget_versions, versions_of
from orchestrator.inspection import FlowRunFilter, cancel_runs, flow_runs_of
from orchestrator.scheduling import edit

MOST_RUNS: Final = 10_000  # that are looked at when a deployment is deleted


def pause_deployment(fleet: Fleet, name: Any, *, expected: int | None = None, who: str = "") -> DeploymentRecord:
    """Leave its schedules alone until it is resumed. Raises ObjectNotFound, BrokerConflict, BrokerError."""
    record = find_deployment(fleet.broker, name)
    fleet.broker.documents.write(KIND, record.id, {"p": b"1"}, expected=expected, who=who)
    return find_deployment(fleet.broker, record.id)


def resume_deployment(fleet: Fleet, name: Any, *, expected: int | None = None, who: str = "") -> DeploymentRecord:
    """Have its schedules fire again, from their first ticks after now on. Raises as :func:`pause_deployment`."""
    record = find_deployment(fleet.broker, name)
    if record.paused:  # first: the ticks of the pause are not made up for
        edit.skip_past(fleet, owner_of(record.id))
    fleet.broker.documents.write(KIND, record.id, {"p": b"0"}, expected=expected, who=who)
    return find_deployment(fleet.broker, record.id)


def delete_deployment(fleet: Fleet, name: Any, who: str = "") -> DeploymentRecord:
    """Forget a deployment with its schedules and versions; returns what it was.

    Its runs that have not begun are cancelled: nobody could load their flow. All of them stay in lists.

    Raises:
        ObjectNotFound, BrokerError.
    """
    record = find_deployment(fleet.broker, name)
    schedules = [schedule.id for schedule in edit.of_owner(fleet, owner_of(record.id))]
    edit.delete(fleet, schedules, who=who)
    delete_triggers(fleet, record.id)
    fleet.broker.documents.delete(KIND, [record.id], who=who)
    cancel_waiting(fleet, limit_of_deployment(record.id), "its deployment has been deleted")
    forget_versions(fleet.broker, record.id, record.newest_version, who)
    runs = flow_runs_of(fleet, FlowRunFilter(deployments=(record.id,)), MOST_RUNS)
    cancel_runs(fleet, [run.id for run in runs if run.state_type in ("SCHEDULED", "PENDING")])
    forget(fleet, [limit_of_deployment(record.id)])  # one that is made anew under this name has its own, or none
    return record


def roll_back(fleet: Fleet, name: Any, to: int | str, *, expected: int | None = None, who: str = "") -> Version:
    """Make an earlier version the one that runs; it keeps its number.

    Raises:
        ObjectNotFound: no such deployment or version. MissingFlowError: its code is gone. BrokerConflict, BrokerError.
    """
    record = find_deployment(fleet.broker, name)
    version = version_for_run(fleet.broker, record, to)
    assert version is not None
    rolled = replace(record, version_number=version.number, label=version.label, isasync=version.isasync)
    generation = record.generation if expected is None else expected
    fleet.broker.documents.write(KIND, record.id, rolled.document(), expected=generation, who=who)
    return version


def versions(fleet: Fleet, name: Any) -> tuple[DeploymentRecord, list[Version]]:
    """A deployment and its versions, the newest first. Raises ObjectNotFound, BrokerError."""
    record = find_deployment(fleet.broker, name)
    return record, versions_of(fleet.broker, record.id, record.newest_version)
