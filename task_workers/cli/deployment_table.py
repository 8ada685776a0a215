"""A deployment as a row, and as a table of facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from task_workers.cli.schedule_table import state_text, time_text, when_text
from task_workers.cli.terminal import moment_text

if TYPE_CHECKING:
    from orchestrator.deployments.record import DeploymentRecord
    from orchestrator.deployments.versions import Version
    from orchestrator.scheduling.record import ScheduleRecord

HEADS = ("NAME", "STATUS", "SCHEDULES", "POOL", "VERSION", "TAGS", "ID")
DROP = ("ID", "TAGS", "POOL", "VERSION", "SCHEDULES")  # on a narrow terminal, in this order
VERSION_HEADS = ("VERSION", "LABEL", "MADE", "BY", "CODE", "COMMIT")
SCHEDULE_HEADS = ("ID", "SCHEDULE", "ACTIVE", "NEXT", "MISSED")
VERSION_DROP = ("COMMIT", "BY", "CODE")
SCHEDULE_DROP = ("MISSED", "NEXT")


def status_text(record: DeploymentRecord, polled: Collection[str]) -> str:
    """READY where a live process takes its runs, else NOT_READY; PAUSED where its schedules are left alone."""
    if record.trouble:
        return "UNREADABLE"
    if record.paused:
        return "PAUSED"
    return "READY" if record.run_queue in polled else "NOT_READY"


def row_of(record: DeploymentRecord, schedules: Sequence[ScheduleRecord], polled: Collection[str]) -> tuple[str, ...]:
    """A deployment as a row."""
    return (
        record.full_name,
        status_text(record, polled),
        ", ".join(_schedule_text(schedule) for schedule in schedules) or "-",
        record.work_pool_name or "-",
        str(record.version_number) + (f" ({record.label})" if record.label else ""),
        ", ".join(record.tags) or "-",
        record.id,
    )


def json_of(record: DeploymentRecord, schedules: Sequence[ScheduleRecord], polled: Collection[str]) -> dict[str, Any]:
    """A deployment for programs; moments as ISO 8601 texts in UTC."""
    return {
        "id": record.id,
        "name": record.name,
        "flow_name": record.flow_name,
        "status": status_text(record, polled),
        "paused": record.paused,
        "trouble": record.trouble or None,
        "entrypoint": record.entrypoint,
        "description": record.description,
        "version": record.version_number,
        "version_label": record.label,
        "tags": list(record.tags),
        "parameters": record.parameters,
        "parameter_openapi_schema": record.parameter_schema,
        "enforce_parameter_schema": record.enforce_parameter_schema,
        "frozen_parameters": list(record.frozen),
        "schedules": [json_of_schedule(schedule) for schedule in schedules],
        "work_pool_name": record.work_pool_name,
        "work_queue_name": record.work_queue_name,
        "job_variables": record.job_variables,
        "image": record.image,
        "concurrency_limit": record.concurrency_limit,
        "priority": record.priority,
        "max_deliveries": record.max_deliveries,
        "queue": record.run_queue,
        "created": iso_text(record.created_at),
        "updated": iso_text(record.written_at_ms / 1000),
    }


def facts_of(record: DeploymentRecord, schedules: Sequence[ScheduleRecord], polled: Collection[str]) -> dict[str, Any]:
    """The same for people: what is as by default is left out."""
    facts = json_of(record, schedules, polled)
    for name in ("parameter_openapi_schema", "name", "flow_name", "enforce_parameter_schema", "paused", "priority"):
        del facts[name]
    parameters = record.parameter_schema.get("properties")
    facts["takes"] = ", ".join(parameters) if isinstance(parameters, dict) else None
    facts["schedules"] = [f"{_schedule_text(schedule)}: {state_text(schedule)}" for schedule in schedules]
    texts = {name: ", ".join(value) if isinstance(value, list) else value for name, value in facts.items()}
    return {"name": record.full_name, **texts}


def version_row(version: Version, current: int) -> tuple[str, ...]:
    """A version as a row; the one that runs is marked."""
    return (
        f"{version.number}{' *' if version.number == current else ''}",
        version.label or "-",
        moment_text(datetime.fromtimestamp(version.at, UTC)) if version.at else "-",
        version.who or "-",
        version.image or version.entrypoint,
        version.commit[:12] or "-",
    )


def json_of_version(version: Version, current: int) -> dict[str, Any]:
    """A version for programs."""
    return {
        "number": version.number,
        "current": version.number == current,
        "label": version.label,
        "made": iso_text(version.at),
        "who": version.who,
        "entrypoint": version.entrypoint,
        "image": version.image,
        "commit": version.commit or None,
        "repository": version.repository or None,
        "has_snapshot": version.has_snapshot,
    }


def schedule_row(record: ScheduleRecord, next_ms: int | None) -> tuple[str, ...]:
    """A schedule of a deployment as a row."""
    state = state_text(record)
    return (
        record.id,
        _schedule_text(record),
        "yes" if state == "active" else f"no ({state})",
        time_text(next_ms, record),
        f"{record.missed:,}",
    )


def json_of_schedule(record: ScheduleRecord) -> dict[str, Any]:
    """A schedule of a deployment for programs."""
    from orchestrator.schedules.spec import spec_of

    return {
        "id": record.id,
        "schedule": spec_of(record.schedule) if record.schedule is not None else None,
        "active": record.active,
        "state": state_text(record),
        "slug": record.schedule.slug if record.schedule is not None else None,
        "next": iso_text(record.due_ms / 1000) if record.due_ms else None,
        "missed": record.missed,
    }


def _schedule_text(record: ScheduleRecord) -> str:
    return when_text(record.schedule) if record.schedule is not None else "?"


def iso_text(seconds: float) -> str | None:
    """A moment (unix seconds) as ISO 8601 in UTC; ``None`` for none, or one that is damaged."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None
    except (ValueError, OverflowError, OSError):
        return None
