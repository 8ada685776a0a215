"""What an action does, when its call is taken: one function for each type.

An action that was done and is done again, since its process died before it could say so, finds that there is nothing
left to do, or makes the same run; only what is sent outside may be sent twice then.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from orchestrator.automations.causes import mark_as_caused, tags_of
from orchestrator.automations.editing import switch_automation
from orchestrator.automations.lookup import BLOCK, find_automation
from orchestrator.automations.seen_event import SeenEvent, seen_of_facts
from orchestrator.automations.template_context import context_for, first_of
from orchestrator.automations.templates import render, render_in, value_of
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.editing import pause_deployment, resume_deployment
from orchestrator.deployments.envelope import RunWishes
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.running import RunRequest, envelope_of
from orchestrator.errors import NotPausedError, ObjectNotFound, OrchestratorError
from orchestrator.events import actions as kinds
from orchestrator.inspection import cancel_runs, delete_runs, retry_runs
from orchestrator.notifications.http import Response
from orchestrator.pausing.requests import request_suspension
from orchestrator.pausing.resuming import resume
from orchestrator.work_pools.editing import pause_pool
from orchestrator.work_pools.lookup import find_pool
from orchestrator.work_pools.queue_editing import pause_queue

_ANY: Final[TypeAdapter[Any]] = TypeAdapter(kinds.ActionTypes)


class ActionImpossible(OrchestratorError):
    """An action cannot be done, now or later: it is not tried again."""


class Doing(NamedTuple):
    """One action that is being done.

    Attributes:
        call_id: run id of its call.
        facts: what the call was given.
    """

    fleet: Fleet
    call_id: str
    facts: Mapping[str, Any]
    event: SeenEvent | None

    @property
    def causes(self) -> list[str]:
        """The automations on the way to it, its own included."""
        found = self.facts.get("causes")
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    @property
    def who(self) -> str:
        """For the audit."""
        automation = self.facts.get("automation")
        return f"automation {automation.get('name')}" if isinstance(automation, Mapping) else "automation"

    def context(self) -> dict[str, Any]:
        """For templates."""
        return context_for(self.fleet, self.facts, self.event)

    def of_event(self, kind: str) -> str:
        """The id of what the event is about. Raises ActionImpossible: it is about no such thing."""
        found = first_of(self.event.ids_of(kind)) if self.event is not None else None
        if found is None:
            name = self.event.event if self.event is not None else "what did not come in time"
            raise ActionImpossible(f"there is no {kind.replace('-', ' ')} in the event {name!r}")
        return found


def do_action(fleet: Fleet, call_id: str, facts: Mapping[str, Any]) -> str:
    """Do it; returns what was done, in words.

    Raises:
        ActionImpossible: it cannot be done. OrchestratorError, OSError: it may be tried again.
    """
    try:
        action = _ANY.validate_python(facts.get("action"))
    except ValidationError:
        raise ActionImpossible("what the call says is no action, or one of a newer version") from None
    doing = Doing(fleet, call_id, facts, seen_of_facts(facts.get("event")))
    try:
        return _DO[type(action)](doing, action)
    except (ObjectNotFound, NotPausedError, ValueError) as error:
        raise ActionImpossible(str(error)) from error


# -- messages ----------------------------------------------------------------------------------------------------------


def _send_notification(doing: Doing, action: kinds.SendNotification) -> str:
    context = doing.context()
    subject, body = render(action.subject, context), render(action.body, context)
    name, block = load_block(doing.fleet, action.block_document_id)
    if not callable(getattr(block, "notify", None)):
        raise ActionImpossible(f"block {name!r} sends no notifications: it has no method notify()")
    _finished(block.notify(body, subject))
    return f"sent with {name}"


def _call_webhook(doing: Doing, action: kinds.CallWebhook) -> str:
    context = doing.context()
    name, block = load_block(doing.fleet, action.block_document_id)
    if not callable(getattr(block, "call", None)):
        raise ActionImpossible(f"block {name!r} is no webhook: it has no method call()")
    reply = _finished(block.call(_payload(action.payload, context)))
    if isinstance(reply, Response):
        reply.raise_for_status()
    status = getattr(reply, "status_code", getattr(reply, "status", 200))
    if isinstance(status, int) and status >= 400:
        raise OrchestratorError(f"webhook {name!r} answered {status}")
    return f"called {name}, which answered {status}"


def _finished(answer: Any) -> Any:
    """What a method of a block gives, also where it is a coroutine function, as blocks of users may have them."""

    async def awaited() -> Any:
        return await answer

    return asyncio.run(awaited()) if inspect.isawaitable(answer) else answer


def _payload(payload: str | dict[str, Any], context: Mapping[str, Any]) -> Any:
    if isinstance(payload, dict):
        return render_in(payload, context)
    text = render(payload, context) if payload else ""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def load_block(fleet: Fleet, reference: UUID | str) -> tuple[str, Any]:
    """A block by its id or as ``slug/name``; with its name.

    Raises:
        ObjectNotFound: there is none. OrchestratorError: it cannot be read here.
    """
    from orchestrator.blocks.core import Block

    name = str(reference)
    if isinstance(reference, UUID) or "/" not in name:
        (document,) = fleet.broker.documents.read(BLOCK, [name])
        if document is None:
            raise ObjectNotFound(f"Block {name!r} not found! It has been deleted.")
        name = document.name
    return name, Block.load(name)


# -- deployments and runs ----------------------------------------------------------------------------------------------


def _run_deployment(doing: Doing, action: kinds.RunDeployment) -> str:
    record = _deployment(doing, action)
    parameters = value_of(action.parameters or {}, doing.context())
    wishes = RunWishes(
        tags=tags_of(doing.causes),
        job_variables=action.job_variables,
        idempotency_key=f"action {doing.call_id}",
        message=f"run by {doing.who}",
        delay_ms=round(action.schedule_after.total_seconds() * 1000),
        expected_at=_later(doing.fleet, action.schedule_after),
    )
    request = RunRequest(record.full_name, parameters, wishes=wishes)
    (run_id,) = doing.fleet.calls.send([envelope_of(doing.fleet, record, request)])
    return f"run {run_id} of {record.full_name}"


def _later(fleet: Fleet, after: timedelta) -> float | None:
    return fleet.broker.ticks.now_ms() / 1000 + after.total_seconds() if after else None


def _deployment(doing: Doing, action: kinds.DeploymentAction) -> DeploymentRecord:
    if action.deployment_id is not None:
        return find_deployment(doing.fleet.broker, action.deployment_id)
    event = doing.event
    if event is not None and not event.ids_of("deployment") and (run_id := first_of(event.ids_of("flow-run"))):
        (fields,) = doing.fleet.broker.flow_runs.read_many([run_id], ["deployment"])
        if fields.get("deployment"):
            return find_deployment(doing.fleet.broker, fields["deployment"].decode("utf-8", "replace"))
    return find_deployment(doing.fleet.broker, doing.of_event("deployment"))


def _pause_deployment(doing: Doing, action: kinds.PauseDeployment) -> str:
    return _set_deployment(doing, action, True)


def _resume_deployment(doing: Doing, action: kinds.ResumeDeployment) -> str:
    return _set_deployment(doing, action, False)


def _set_deployment(doing: Doing, action: kinds.DeploymentAction, paused: bool) -> str:
    record = _deployment(doing, action)
    word = "paused" if paused else "active"
    if record.paused is paused:
        return f"{record.full_name} was {word} already"
    mark_as_caused(doing.fleet.broker, f"prefect.deployment.{record.id}", doing.causes)
    (pause_deployment if paused else resume_deployment)(doing.fleet, record.id, who=doing.who)
    return f"{record.full_name} is {word}"


def _cancel_flow_run(doing: Doing, action: kinds.Action) -> str:
    run_id = doing.of_event("flow-run")
    return f"flow run {run_id} {'is cancelled' if cancel_runs(doing.fleet, [run_id]) else 'had ended already'}"


def _change_state(doing: Doing, action: kinds.ChangeFlowRunState) -> str:
    if action.state != "SCHEDULED":
        return _cancel_flow_run(doing, action)
    run_id = doing.of_event("flow-run")
    if not retry_runs(doing.fleet, [run_id]):
        raise ActionImpossible(f"flow run {run_id} cannot be queued again: it has not ended, or was called in a script")
    return f"flow run {run_id} is queued again"


def _delete_flow_run(doing: Doing, action: kinds.DeleteFlowRun) -> str:
    run_id = doing.of_event("flow-run")
    return f"flow run {run_id} {'is deleted' if delete_runs(doing.fleet, [run_id]) else 'was gone, or has not ended'}"


# -- pools and automations ---------------------------------------------------------------------------------------------


def _suspend_flow_run(doing: Doing, action: kinds.SuspendFlowRun) -> str:
    run_id = doing.of_event("flow-run")
    request_suspension(doing.fleet, run_id)
    return f"flow run {run_id} is asked to suspend"


def _resume_flow_run(doing: Doing, action: kinds.ResumeFlowRun) -> str:
    run_id = doing.of_event("flow-run")
    resume(doing.fleet, run_id)
    return f"flow run {run_id} is resumed"


def _pool_name(doing: Doing, reference: UUID | str | None) -> str:
    broker = doing.fleet.broker
    wanted = reference if reference is not None else UUID(doing.of_event("work-pool"))
    if not isinstance(wanted, UUID):
        return find_pool(broker, wanted).name
    (document,) = broker.documents.read("pool", [str(wanted)])
    if document is None:
        raise ObjectNotFound(f"Work pool {str(wanted)!r} not found!")
    return document.name


def _set_pool(doing: Doing, action: kinds.WorkPoolAction, paused: bool) -> str:
    name = _pool_name(doing, action.work_pool_id)
    pool = find_pool(doing.fleet.broker, name)
    word = "paused" if paused else "active"
    if pool.paused is paused:
        return f"work pool {name} was {word} already"
    mark_as_caused(doing.fleet.broker, f"prefect.work-pool.{pool.id}", doing.causes)
    pause_pool(doing.fleet, name, paused)
    return f"work pool {name} is {word}"


def _set_queue(doing: Doing, action: kinds.WorkQueueAction, paused: bool) -> str:
    if action.work_queue_id is None or isinstance(action.work_queue_id, UUID):
        raise ActionImpossible("which queue? Name it as pool/queue: queues have no ids here")
    pool_name, _, queue = action.work_queue_id.partition("/")
    pool = find_pool(doing.fleet.broker, pool_name)
    mark_as_caused(doing.fleet.broker, f"prefect.work-pool.{pool.id}", doing.causes)
    changed = pause_queue(doing.fleet, pool_name, queue or "default", paused)
    return f"queue {action.work_queue_id} {'is' if changed else 'was'} {'paused' if paused else 'active'}"


def _set_automation(doing: Doing, action: kinds.AutomationAction, on: bool) -> str:
    wanted = action.automation_id if action.automation_id is not None else doing.of_event("automation")
    record = find_automation(doing.fleet.broker, wanted)
    if record.enabled is not on:
        mark_as_caused(doing.fleet.broker, f"prefect.automation.{record.id}", doing.causes)
    changed = switch_automation(doing.fleet, record.id, on, who=doing.who)
    return f"automation {record.name} {'is' if changed else 'was'} {'enabled' if on else 'disabled'}"


_DO: Final[dict[type, Callable[[Doing, Any], str]]] = {
    kinds.DoNothing: lambda doing, action: "nothing",
    kinds.SendNotification: _send_notification,
    kinds.CallWebhook: _call_webhook,
    kinds.RunDeployment: _run_deployment,
    kinds.PauseDeployment: _pause_deployment,
    kinds.ResumeDeployment: _resume_deployment,
    kinds.CancelFlowRun: _cancel_flow_run,
    kinds.ChangeFlowRunState: _change_state,
    kinds.DeleteFlowRun: _delete_flow_run,
    kinds.SuspendFlowRun: _suspend_flow_run,
    kinds.ResumeFlowRun: _resume_flow_run,
    kinds.PauseWorkPool: lambda doing, action: _set_pool(doing, action, True),
    kinds.ResumeWorkPool: lambda doing, action: _set_pool(doing, action, False),
    kinds.PauseWorkQueue: lambda doing, action: _set_queue(doing, action, True),
    kinds.ResumeWorkQueue: lambda doing, action: _set_queue(doing, action, False),
    kinds.PauseAutomation: lambda doing, action: _set_automation(doing, action, False),
    kinds.ResumeAutomation: lambda doing, action: _set_automation(doing, action, True),
}
