"""``orchestrator runs``: look at a run, or cancel it."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.at_work import as_json, echo_json, the_fleet

if TYPE_CHECKING:
    from brokers.contract import Record
    from orchestrator.fleet import Fleet
    from orchestrator.states import State


@click.group("runs")
def command() -> None:
    """Look at a run, or cancel it."""


@command.command()
@click.argument("run_id")
@click.option("--logs", is_flag=True, help="Its log lines, too.")
@as_json
def show(run_id: str, logs: bool, as_json: bool) -> None:
    """What is known of a task run or flow run."""
    with the_fleet() as fleet:
        facts = facts_of(fleet, run_id)
        if logs:
            facts["logs"] = [[line.timestamp, line.level, line.message] for line in fleet.logs.read(run_id)]
    echo_json(facts) if as_json else tell(facts)


@command.command()
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN_ID...")
def cancel(run_ids: tuple[str, ...]) -> None:
    """Ask runs to stop: queued ones end at once, running ones are interrupted; the exit code is 1 if all had ended."""
    with the_fleet() as fleet:
        asked = fleet.cancel(list(run_ids))
    for run_id, yes in zip(run_ids, asked, strict=True):
        click.echo(f"{run_id}  {'asked to stop' if yes else 'had ended already, or is unknown'}")
    if not any(asked):
        sys.exit(1)


def facts_of(fleet: Fleet, run_id: str) -> dict[str, Any]:
    """A run as a table. Raises MissingResult when nobody knows it."""
    from brokers.contract import Status
    from orchestrator.errors import MissingResult
    from orchestrator.outcomes import message_of_flow

    record = fleet.broker.read([run_id])[0]
    if record.status != Status.UNKNOWN:
        return task_run_facts(record)
    flow_run = fleet.broker.read_flow_run(run_id)
    if not flow_run:
        raise MissingResult(f"the store knows nothing of run {run_id}: the id is wrong, or its record has expired")
    told: dict[str, str | bytes] = {**flow_run, "message": message_of_flow(run_id, flow_run.get("message", b""))}
    return {"id": run_id, **{name: value if isinstance(value, str) else value.decode() for name, value in told.items()}}


def state_of(record: Record) -> State[Any]:
    """The state that a record tells."""
    from brokers.contract import SETTLED
    from orchestrator.outcomes import open_state, read_outcome

    if record.status in SETTLED:
        return read_outcome(record.run_id, record.status, record.outcome or b"\0")
    return open_state(record.run_id, record.status, record.retries, record.crashes)


def task_run_facts(record: Record) -> dict[str, Any]:
    """The rows about a task run, for people and for JSON."""
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
        if value is None or value == "":
            continue
        text = value if isinstance(value, str) else repr(value)
        click.echo(f"{name.replace('_', ' '):<14} " + text.replace("\n", "\n" + " " * 15))
    for timestamp, level, message in logs:
        click.echo(f"{timestamp:%H:%M:%S.%f} {level:<7} {message}")
