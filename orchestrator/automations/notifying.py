"""``notify``: a hook of flows and tasks that sends a message with a block, as a call with retries of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import orchestrator.automations.action_call  # noqa: F401  # makes the calls known
from orchestrator.automations import here
from orchestrator.automations.firing_calls import NOTIFY_TAG, action_call
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.automations.templates import check_template
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.deployments.names import flow_id_of
from orchestrator.events.actions import SendNotification
from orchestrator.runs.run_ids import created_at, tick_run_id

SUBJECT: Final = "{{ what }} {{ name }} is {{ state.name }}"
BODY: Final = (
    "{{ what }} {{ name }}{% if flow %} of flow {{ flow.name }}{% endif %} is {{ state.name }}."
    "{% if state.message %}\n{{ state.message }}{% endif %}"
    "{% if flow_run and ui_url %}\n{{ flow_run.ui_url }}{% endif %}"
)


class Notify:
    """What :func:`notify` gives: called with flow or task, its run, and the state in which that is."""

    def __init__(self, block: str, subject: str, body: str) -> None:
        self.block, self.subject, self.body = block, subject, body
        self.__name__ = self.__qualname__ = f"notify({block!r})"

    def __repr__(self) -> str:
        return f"notify({self.block!r})"

    def __call__(self, runnable: Any, run: Any, state: Any) -> None:
        """Send the call. Raises BrokerError, PayloadTooLarge: it cannot be sent."""
        fleet = current_fleet()
        event = event_of(fleet, runnable, run, state)
        ended = f"{event.resource_id} {getattr(run, 'run_count', 0)} {state.name}"
        call_id = tick_run_id(f"notify {self.block} {self.subject} {self.body} {ended}", event.at_ms)
        action = SendNotification(block_document_id=self.block, subject=self.subject, body=self.body)
        facts: Mapping[str, Any] = {"automation": None, "event": event.as_facts(), "causes": []}
        fleet.calls.send([action_call(fleet, call_id, action, facts, [NOTIFY_TAG])])
        here.do_actions_if_nobody_does(fleet)


def notify(block: str, *, subject: str = SUBJECT, body: str = BODY) -> Notify:
    """A hook that sends a message with a notification block.

    The message is a call of its own: it is sent by whichever worker, server or script is there, tried again when the
    receiver does not take it, and shown with its tries. A run whose process was killed sends it as well.

    Args:
        block: the block, as ``slug/name``, such as ``slack-webhook/alerts``; looked up when the message is sent.
        subject, body: templates, with ``name``, ``state``, ``flow_run``, ``flow``, ``deployment``, ``event``, ...

    Raises:
        ValueError: no name of a block, or a template that cannot be one.

    >>> from orchestrator import flow
    >>> @flow(on_failure=[notify("slack-webhook/alerts")])
    ... def nightly() -> None: ...
    >>> notify("alerts")
    Traceback (most recent call last):
    ValueError: notify('alerts'): name the block as slug/name, such as 'slack-webhook/alerts'
    """
    slug, slash, name = block.partition("/") if isinstance(block, str) else ("", "", "")
    if not (slug and slash and name):
        raise ValueError(f"notify({block!r}): name the block as slug/name, such as 'slack-webhook/alerts'")
    for template in (subject, body):
        check_template(template)
    return Notify(block, subject, body)


def event_of(fleet: Fleet, runnable: Any, run: Any, state: Any) -> SeenEvent:
    """The event that a run is in a state, as its hook sees it."""
    flow_run_id = getattr(run, "flow_run_id", None)
    is_task = hasattr(run, "task_key")
    kind = "task-run" if is_task else "flow-run"
    run_id = str(run.id)
    labels = {
        "prefect.resource.id": f"prefect.{kind}.{run_id}",
        "prefect.resource.name": str(getattr(run, "name", "") or ""),
        "prefect.state-type": state.type.value,
        "prefect.state-name": state.name,
        "prefect.state-message": state.message or "",
    }
    related = []
    if is_task and flow_run_id:
        related.append({"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"})
    if not is_task:
        flow_id = flow_id_of(fleet.settings.namespace, runnable.name)
        named = {"prefect.resource.name": runnable.name, "prefect.resource.role": "flow"}
        related.append({"prefect.resource.id": f"prefect.flow.{flow_id}", **named})
    name = f"prefect.{kind}.{state.name}"
    at_ms = round((created_at(run_id) or state.timestamp).timestamp() * 1000)
    return SeenEvent(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id} {state.name}")), name, labels, related, at_ms)
