"""What has come of firings: the calls of their actions, with how often each was tried and why it failed last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.automations.firing_calls import ShownFiring, read_firing
from orchestrator.client.fleet import Fleet
from orchestrator.inspection import RunView, views_of


@dataclass(frozen=True, slots=True)
class Delivery:
    """The call of an action.

    Attributes:
        id: its run id; ``orchestrator runs show`` shows all of it, ``runs retry`` makes it again.
        action: its type, such as ``send-notification``.
        state: name of its state; Expired where the store has forgotten it.
        tries: how often it was tried.
        message: what was done, or why it failed last.
        due: when it is tried again.
    """

    id: str
    action: str
    state: str
    state_type: str = ""
    tries: int = 0
    message: str = ""
    due: datetime | None = None
    ended: datetime | None = None

    @property
    def may_be_replayed(self) -> bool:
        """Whether it was given up."""
        return self.state_type in ("FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class FiringView:
    """A firing with its deliveries. ``held``: nothing was done, since it was set off by itself too often."""

    id: str
    at: datetime
    event: str
    resource: str
    labels: dict[str, str]
    deliveries: tuple[Delivery, ...]
    held: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        facts = asdict(self)
        return {**facts, "at": self.at.isoformat(), "deliveries": [_plain(one) for one in facts["deliveries"]]}


def firings_of(fleet: Fleet, automation_id: str, first: int = 0, count: int = 50) -> tuple[int, list[FiringView]]:
    """How many firings of an automation are known, and some of them, the newest first. Raises BrokerError."""
    total, rows = fleet.broker.reactions.firings(automation_id, first, count)
    shown = [firing for firing in map(read_firing, rows) if firing is not None]
    known = {view.id: view for view in views_of(fleet, [run_id for one in shown for run_id, _ in one.calls])}
    return total, [_firing(one, known) for one in shown]


def deliveries_of(fleet: Fleet, calls: Sequence[tuple[str, str]]) -> list[Delivery]:
    """The calls of actions, in order: (run id, type of the action). Raises BrokerError."""
    known = {view.id: view for view in views_of(fleet, [run_id for run_id, _ in calls])}
    return [_delivery(run_id, kind, known.get(run_id)) for run_id, kind in calls]


def _firing(one: ShownFiring, known: dict[str, RunView]) -> FiringView:
    return FiringView(
        one.id,
        datetime.fromtimestamp(one.at_ms / 1000, UTC),
        one.event,
        one.resource_name or one.resource_id,
        dict(one.labels),
        tuple(_delivery(run_id, kind, known.get(run_id)) for run_id, kind in one.calls),
        one.held,
    )


def _delivery(run_id: str, kind: str, view: RunView | None) -> Delivery:
    if view is None:
        return Delivery(run_id, kind, "Expired")
    return Delivery(
        run_id,
        kind,
        view.state_name,
        view.state_type,
        view.run_count,
        view.message or "",
        view.due if view.ended is None else None,
        view.ended,
    )


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}
