"""The hooks of a flow run whose process was killed, called in another one: a task that every worker knows.

The call names the run only. The worker reads what the run was called with, finds the flow (of a deployment: in the
version that it ran), and calls its hooks with flow, flow run and state.
"""

from __future__ import annotations

from contextlib import ExitStack

from brokers.messages import FINAL_STATUSES, Delivery
from brokers.schema import HOOKS_CALL, Status, is_flow_call
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.deployments.call import DeploymentCall, become_the_flow
from orchestrator.errors import MissingResult
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.carry_out import carry_out
from orchestrator.execution.flow_deliveries import call_hooks
from orchestrator.execution.recovery import read_entries, undo_steps
from orchestrator.execution.undo_log import UndoLog
from orchestrator.runnables.options import TaskOptions
from orchestrator.runs.current import current_attempt
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.slots.acks import Refusal
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.tasks import Task


def hooks_of_killed_run(run_id: str, only_undo: bool = False) -> None:
    """Undo what the run has left in the middle of a transaction, then call the hooks for its end.

    Args:
        run_id: whose; a task's run has nothing but that to be undone.
        only_undo: its hooks were called, or it has none.

    Raises:
        MissingResult: its record has expired.
        OrchestratorError: its arguments cannot be read here, or its flow cannot be had here.
    """
    fleet = current_fleet()
    (record,) = fleet.broker.records.read([run_id])
    if record.status not in FINAL_STATUSES:  # somebody has replayed it
        return
    entries = read_entries(run_id)
    if only_undo and not entries:
        return
    attempt = attempt_of(fleet, run_id) if is_flow_call(record.task or "") else None
    with ExitStack() as stack:
        if attempt is not None and isinstance(attempt.task, DeploymentCall):
            become_the_flow(attempt, stack)
        if entries:
            undone = UndoLog(run_id, "", stored=len(entries))
            carry_out(undo_steps(run_id, undone, entries, with_what_is_found=False))
        if attempt is not None and not only_undo:
            call_hooks(attempt, read_outcome(run_id, record.status, record.outcome or b"\0"))


def attempt_of(fleet: Fleet, run_id: str) -> Attempt:
    """The attempt that was killed, as its worker had it. Raises OrchestratorError: it cannot be read here."""
    records = fleet.broker.records
    (row,), ((body, meta),) = records.rows([run_id]), records.bodies([run_id])
    (upstreams,) = records.upstreams([run_id])
    if body is None:
        raise MissingResult(f"the record of flow run {run_id} has expired: its hooks are not called")
    here = current_attempt.get()
    ticket = here.ticket if here is not None else ""
    # A crash was counted, a cancellation was not.
    crashes = row.crashes - (row.status == Status.CRASHED)
    delivery = Delivery(
        ticket, run_id, row.task, body, row.retries, crashes, row.flow_run_id, meta, row.take_overs + 1, upstreams
    )
    attempt = AttemptBuilder(fleet).attempt(delivery)
    if isinstance(attempt, Refusal):
        raise attempt.reason
    return attempt


def hooks_call() -> Task[..., None]:
    """The one task that all of these calls are. Another worker may have the code that this one lacks: hence retries."""
    return Task(
        hooks_of_killed_run, TaskOptions(name="hooks", retries=3, retry_delay_seconds=(1, 5, 15)), task_key=HOOKS_CALL
    )
