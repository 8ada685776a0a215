"""Automations in the store, by name or id, and whether what they name is there."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from brokers.base import Broker
from orchestrator.automations.record import KIND, AutomationRecord, read_automations
from orchestrator.errors import ObjectNotFound
from orchestrator.events.actions import (
    AutomationAction,
    CallWebhook,
    DeploymentAction,
    SendNotification,
    WorkPoolAction,
    WorkQueueAction,
)
from orchestrator.events.schemas.automations import AutomationCore

BLOCK: Final = "block"
_MAKE: Final = {
    "block": "save it first: orchestrator block ls shows what there is",
    "deployment": "orchestrator deployment ls shows what there is",
    "pool": "orchestrator work-pool ls shows what there is",
    KIND: "orchestrator automation ls shows what there is",
}
_WORDS: Final = {"block": "Block", "deployment": "Deployment", "pool": "Work pool", KIND: "Automation"}


class AutomationNotFound(ObjectNotFound, ValueError):
    """There is no such automation; a ValueError as well, as in Prefect."""


def find_automation(broker: Broker, name_or_id: Any) -> AutomationRecord:
    """An automation by its name or id.

    Raises:
        AutomationNotFound: there is none. BrokerError: the server does not answer.
    """
    text = str(name_or_id)
    (by_name,) = broker.documents.find(KIND, [text])
    wanted = [one for one in (by_name, _id_in(text)) if one is not None]
    found = next((one for one in read_automations(broker, wanted) if one is not None), None)
    if found is None:
        raise AutomationNotFound(f"Automation {text!r} not found!")
    return found


def _id_in(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def id_of(broker: Broker, kind: str, reference: UUID | str) -> str | None:
    """The id of a definition that an action names; ``None`` where there is none. Raises BrokerError."""
    text = str(reference)
    if isinstance(reference, UUID) or _id_in(text) is not None:
        return text if broker.documents.read(kind, [text])[0] is not None else None
    return broker.documents.find(kind, [text])[0]


def check_references(broker: Broker, core: AutomationCore) -> None:
    """Whether all that the actions name is there.

    Raises:
        ObjectNotFound: something is not, with its name. BrokerError: the server does not answer.
    """
    for kind, reference in dict.fromkeys(_references(core)):
        if id_of(broker, kind, reference) is None:
            raise ObjectNotFound(f"{_WORDS[kind]} {str(reference)!r} not found: {_MAKE[kind]}")


def _references(core: AutomationCore) -> list[tuple[str, UUID | str]]:
    found: list[tuple[str, UUID | str]] = []
    for action in core.all_actions:
        if isinstance(action, SendNotification | CallWebhook):
            found.append((BLOCK, action.block_document_id))
        elif isinstance(action, DeploymentAction) and action.deployment_id is not None:
            found.append(("deployment", action.deployment_id))
        elif isinstance(action, WorkPoolAction) and action.work_pool_id is not None:
            found.append(("pool", action.work_pool_id))
        elif isinstance(action, WorkQueueAction) and action.work_queue_id is not None:
            found.append(("pool", str(action.work_queue_id).partition("/")[0]))
        elif isinstance(action, AutomationAction) and action.automation_id is not None:
            found.append((KIND, action.automation_id))
    return found
