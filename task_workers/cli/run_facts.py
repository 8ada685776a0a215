"""What is known of one run, as a table for people and for JSON."""

from __future__ import annotations

import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from task_workers.cli.terminal import say, text_of

if TYPE_CHECKING:
    from brokers.messages import Record
    from orchestrator.client.fleet import Fleet
    from orchestrator.states import State


def facts_of(fleet: Fleet, run_id: str) -> dict[str, Any]:
    """A task run or flow run as a table. Raises MissingResult when nobody knows it."""
    from brokers.messages import Status
    from brokers.schema import is_flow_call
    from orchestrator.errors import MissingResult
    from orchestrator.serializers.outcomes import message_of_flow

    record = fleet.broker.records.read([run_id])[0]
    is_known = record.status != Status.UNKNOWN
    if is_known and not is_flow_call(record.task or ""):
        return task_run_facts(record) | _more_facts(fleet, run_id)
    flow_run = fleet.flow_reports.read(run_id)
    if is_known:
        return _facts_of_flow_call(flow_run, task_run_facts(record) | _more_facts(fleet, run_id))
    if not flow_run:
        raise MissingResult(f"the store knows nothing of run {run_id}: the id is wrong, or its record has expired")
    fields: dict[str, str | bytes] = {**flow_run, "message": message_of_flow(run_id, flow_run.get("message", b""))}
    texts = {
        name: value if isinstance(value, str) else value.decode("utf-8", "replace") for name, value in fields.items()
    }
    return {"id": run_id, **texts, **_moments_of(texts), **_texts_of(run_id, flow_run)}


def _facts_of_flow_call(flow_run: dict[str, bytes], call: dict[str, Any]) -> dict[str, Any]:
    """A flow run that was sent to a worker: what its record says, and what is known of it as a call."""
    fields: dict[str, Any] = {
        name: flow_run[name].decode("utf-8", "replace") for name in ("flow", "name", "runs") if name in flow_run
    }
    left_out = ("task", "task_name", "name", "flow_run_id")
    facts = {name: value for name, value in call.items() if name not in left_out}
    return {"id": call["id"], **fields, "parent": call.get("flow_run_id"), **facts}


def _texts_of(run_id: str, flow_run: dict[str, bytes]) -> dict[str, Any]:
    """What a flow run in its caller's process was called with, and what came of it, as its record shows them."""
    from orchestrator.execution.flow_texts import parameters_from, text_from

    pairs = parameters_from(run_id, flow_run.get("parameters"))
    texts: dict[str, Any] = {
        name: text_from(run_id, name, flow_run[name]) for name in ("result", "error") if name in flow_run
    }
    return {"parameters": dict(pairs) if pairs is not None else None, **texts}


def _moments_of(texts: dict[str, str]) -> dict[str, str]:
    """The moments in a flow run's record, which are unix seconds there, as ISO 8601 texts."""
    moments = {}
    for name in ("began", "at"):
        with suppress(ValueError, OverflowError, OSError, KeyError):
            moments[name] = datetime.fromtimestamp(float(texts[name]), UTC).isoformat(timespec="milliseconds")
    return moments


def _more_facts(fleet: Fleet, run_id: str) -> dict[str, Any]:
    from orchestrator.inspection import Redaction, detail_of, parameter_names

    detail = detail_of(fleet, run_id, Redaction(), parameter_names(fleet))
    if detail is None:  # it has expired this moment
        return {}
    fields = detail.as_json()
    names = (
        "name",
        "task_name",
        "queue",
        "priority",
        "tags",
        "created",
        "started",
        "ended",
        "due",
        "run_count",
        "worker",
    )
    more = {name: fields[name] for name in names}
    if (
        fields["state_type"] in ("SCHEDULED", "PENDING") and fields["message"]
    ):  # why it waits: the record alone does not show it
        more["message"] = fields["message"]
    return {
        **more,
        **_tick_of(fleet, fields),
        "parent": fields["parent_task_run_id"],
        "parameters": fields["parameters"] or fields["parameters_note"],
    }


def _tick_of(fleet: Fleet, fields: dict[str, Any]) -> dict[str, Any]:
    """The schedule that made a run, by its name, and for which tick."""
    from orchestrator.scheduling.edit import read
    from orchestrator.scheduling.lookup import named

    if not fields["schedule_id"]:
        return {}
    there = [record for record in read(fleet, [fields["schedule_id"]]) if record is not None]
    names = [one.name for one in named(fleet, there)] or [f"{fields['schedule_id']}, which is deleted"]
    return {"schedule": names[0], "tick": fields["tick"], "tick_note": fields["tick_note"]}


def state_of(record: Record) -> State[Any]:
    """The state in a record."""
    from brokers.messages import FINAL_STATUSES
    from orchestrator.serializers.outcomes import open_state, read_outcome

    if record.status in FINAL_STATUSES:
        return read_outcome(record.run_id, record.status, record.outcome or b"\0")
    return open_state(record.run_id, record.status, record.retries, record.crashes, record.due_at)


def task_run_facts(record: Record) -> dict[str, Any]:
    """The rows about a task run from its record."""
    from orchestrator.runs.stored_result import StoredResult

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
        facts["result"] = state.data.facts if isinstance(state.data, StoredResult) else state.data
    elif (error := state.error()) is not None:
        facts["error"] = "".join(traceback.format_exception(error)).rstrip()
    return facts


def print_facts(facts: dict[str, Any]) -> None:
    """Write the rows that have something to say."""
    logs = facts.pop("logs", [])
    for name, value in facts.items():
        if value is None or (type(value) in (str, list, dict) and not value):
            continue
        if isinstance(value, dict):
            text = "\n".join(f"{text_of(key)} = {text_of(some)}" for key, some in value.items())
        else:
            text = value if isinstance(value, str) else text_of(value, repr)
        say(f"{name.replace('_', ' '):<14} " + text.replace("\n", "\n" + " " * 15))
    for timestamp, level, message in logs:
        say(log_text(timestamp, level, message))


def log_text(timestamp: datetime, level: str, message: str) -> str:
    """One log line, in local time."""
    return f"{timestamp.astimezone():%H:%M:%S.%f} {level:<7} {message}"
