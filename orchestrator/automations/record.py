"""An automation as the store keeps it: a document of plain values, which is read whatever became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from brokers.base import Broker
from brokers.facets.documents import Document
from brokers.stored import whole
from orchestrator.automations.evaluation import Rule, rule_of
from orchestrator.events.schemas.automations import AutomationCore
from orchestrator.serializers.documents import pack_document, unpack_document

KIND: Final = "automation"
MOST: Final = 2_000  # that are looked at; more can be kept
_BESIDE: Final = frozenset(("enabled",))


@dataclass(frozen=True, slots=True)
class AutomationRecord:
    """An automation.

    Attributes:
        id: a UUID.
        name: unique.
        core: what it is; ``None`` where it cannot be read here.
        enabled: whether it is looked at.
        since_ms: events from then on count, by the server's clock.
        trouble: why it cannot be read here.
    """

    id: str
    name: str
    core: AutomationCore | None
    enabled: bool
    since_ms: int = 0
    generation: int = 0
    written_at_ms: int = 0
    created_ms: int = 0
    trouble: str = ""

    @property
    def rule(self) -> Rule | None:
        """What the reactor looks at; ``None`` where it does not."""
        return rule_of(self.id, self.core.trigger, self.since_ms) if self.enabled and self.core is not None else None

    def as_json(self) -> dict[str, Any]:
        """For the command line and the API: as Prefect has it, and ``trouble`` where there is some."""
        plain = self.core.model_dump(mode="json") if self.core is not None else {"trigger": None, "actions": []}
        facts = {"id": self.id, **plain, "name": self.name, "enabled": self.enabled}
        return {**facts, "trouble": self.trouble} if self.trouble else facts


def document_of(core: AutomationCore, automation_id: str, since_ms: int, created_ms: int) -> dict[str, str | bytes]:
    """The fields of its document."""
    plain = {**core.model_dump(mode="json", exclude=set(_BESIDE)), "created_ms": created_ms}
    return {
        "d": pack_document(KIND, automation_id, plain),
        "on": "1" if core.enabled else "0",
        "since": str(since_ms),
        "owner": core.owner_resource or "",
    }


def record_of(document: Document | None) -> AutomationRecord | None:
    """The automation of a document; ``None`` where there is none. Never raises."""
    if document is None:
        return None
    plain, trouble = unpack_document(KIND, document.id, document.fields.get("d", b""))
    enabled = document.fields.get("on") == b"1"
    core = None
    if not trouble:
        try:
            core = AutomationCore(**{**plain, "enabled": enabled, "name": document.name or "?"})
        except (ValidationError, TypeError) as error:
            trouble = f"what the store keeps of it is damaged, or was written by a newer version ({_first(error)})"
    return AutomationRecord(
        document.id,
        document.name or document.id,
        core,
        enabled,
        whole(document.fields.get("since")) or document.written_at_ms,
        document.generation,
        document.written_at_ms,
        whole(plain.get("created_ms")),
        trouble,
    )


def _first(error: Exception) -> str:
    """Where it does not fit; never what was found there."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    return ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its fields"


def read_automations(broker: Broker, ids: list[str]) -> list[AutomationRecord | None]:
    """Automations by their ids. Raises BrokerError."""
    return [record_of(document) for document in broker.documents.read(KIND, ids)]


def all_automations(broker: Broker, most: int = MOST) -> list[AutomationRecord]:
    """All of them, by name. Raises BrokerError."""
    _, ids = broker.documents.newest(KIND, 0, most)
    found = [one for one in read_automations(broker, ids) if one is not None]
    return sorted(found, key=lambda one: (one.name, one.id))
