"""Automations: listed, read, made, changed, switched, deleted; with their firings and what came of these."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.automations import editing
from orchestrator.automations.by_hand import fire_by_hand
from orchestrator.automations.deliveries import FiringView, firings_of
from orchestrator.automations.lookup import AutomationNotFound, find_automation
from orchestrator.automations.record import AutomationRecord, all_automations
from orchestrator.events.schemas.automations import AutomationCore
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE


@dataclass(frozen=True, slots=True)
class FiringPage:
    """Firings, the newest first."""

    firings: list[FiringView]
    total: int


class AutomationQueries:
    """The automations of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def all(self) -> list[AutomationRecord]:
        """All of them, by name."""
        return all_automations(self._context.fleet.broker)

    def get(self, name_or_id: str) -> AutomationRecord | None:
        """One of them."""
        try:
            return find_automation(self._context.fleet.broker, name_or_id)
        except AutomationNotFound:
            return None

    def firings(self, automation_id: str, first: int = 0, limit: int = PAGE) -> FiringPage:
        """A page of its firings."""
        total, found = firings_of(self._context.fleet, automation_id, first, page_size(limit))
        return FiringPage(found, total)

    def create(self, core: AutomationCore) -> AutomationRecord:
        """Make one. Raises BrokerConflict, ObjectNotFound, ValueError, see :mod:`orchestrator.automations.editing`."""
        self._context.must_write()
        return editing.create_automation(self._context.fleet, core)

    def update(self, automation_id: str, core: AutomationCore) -> AutomationRecord:
        """Have one be this. Raises as :meth:`create`, and AutomationNotFound."""
        self._context.must_write()
        return editing.update_automation(self._context.fleet, automation_id, core)

    def switch(self, automation_id: str, on: bool) -> bool:
        """Enable or disable one; whether that changed. Raises AutomationNotFound."""
        self._context.must_write()
        return editing.switch_automation(self._context.fleet, automation_id, on)

    def delete(self, ids: list[str]) -> int:
        """Forget some; how many there were."""
        self._context.must_write()
        return editing.delete_automations(self._context.fleet, ids)

    def fire(self, record: AutomationRecord) -> int:
        """Fire one by hand; how many actions are done. Raises SerializationError: it cannot be read here."""
        self._context.must_write()
        return len(fire_by_hand(self._context.fleet, record))
