"""What is known of one run, as a table for people and for JSON."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from brokers.contract import Record
    from orchestrator.fleet import Fleet
    from orchestrator.states import State


def facts_of(fleet: Fleet, run_id: str) -> dict[str, Any]:
    """A task run or flow run as a table. Raises MissingResult when nobody knows it."""
    from brokers.contract import Status
    from orchestrator.errors import MissingResult
    from orchestrator.outcomes import message_of_flow

    record = fleet.broker.read([run_id])[0]
    if record.status != Status.UNKNOWN:
        return task_run_facts(record) | _more_facts(fleet, run_id)
    flow_run = fleet.broker.read_flow_run(run_id)
    if not flow_run:
        raise MissingResult(f"the store knows nothing of run {run_id}: the id is wrong, or its record has expired")
    told: dict[str, str | bytes] = {**flow_run, "message": message_of_flow(run_id, flow_run.get("message", b""))}
    return {"id": run_id, **{name: value if isinstance(value, str) else value.decode() for name, value in told.items()}}


def _more_facts(fleet: Fleet, run_id: str) -> dict[str, Any]:
    from orchestrator.inspection import Redaction, detail_of, parameter_names

    detail = detail_of(fleet, run_id, Redaction(), parameter_names(fleet))
    if detail is None:  # it has expired this moment
        return {}
    told = detail.as_json()
    names = ("queue", "priority", "tags", "created", "started", "ended", "due", "run_count", "worker")
    more = {name: told[name] for name in names}
    return {**more, "parent": told["parent_task_run_id"], "parameters": told["parameters"] or told["parameters_note"]}


def state_of(record: Record) -> State[Any]:
    """The state that a record tells."""
    from brokers.contract import SETTLED
    from orchestrator.outcomes import open_state, read_outcome

    if record.status in SETTLED:
        return read_outcome(record.run_id, record.status, record.outcome or b"\0")
    return open_state(record.run_id, record.status, record.retries, record.crashes)


def task_run_facts(record: Record) -> dict[str, Any]:
    """The rows about a task run that its record tells."""
    state = state_of(record)
    started = datetime.fromtimestamp(record.started_at, UTC) if record.started_at else None
    facts: dict[str, Any] = {
        "id": record.run_id,
        "task": record.task,
        "state": state.name,
        "type": state.type.value,
        "message": state.message,
        "retries": record.retries,
        "crashes": record.crashes,
        "flow_run_id": record.flow_run_id,
        "running_since": started.isoformat(timespec="milliseconds") if started else None,
    }
    if state.is_completed():
        facts["result"] = state.data
    elif (error := state.error()) is not None:
        facts["error"] = "".join(traceback.format_exception(error)).rstrip()
    return facts


def tell(facts: dict[str, Any]) -> None:
    """Write the rows that have something to say."""
    logs = facts.pop("logs", [])
    for name, value in facts.items():
        if value is None or value in ("", [], {}):
            continue
        text = "\n".join(f"{key} = {some}" for key, some in value.items()) if isinstance(value, dict) else value
        text = text if isinstance(text, str) else repr(text)
        click.echo(f"{name.replace('_', ' '):<14} " + text.replace("\n", "\n" + " " * 15))
    for timestamp, level, message in logs:
        click.echo(log_text(timestamp, level, message))


def log_text(timestamp: datetime, level: str, message: str) -> str:
    """One log line, in local time."""
    return f"{timestamp.astimezone():%H:%M:%S.%f} {level:<7} {message}"
