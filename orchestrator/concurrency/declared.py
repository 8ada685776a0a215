"""Limits as people declare them: written, read, listed, with what goes on under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brokers.facets.documents import Document
from brokers.facets.limits import KIND, LimitUse
from brokers.messages import FINAL_STATUSES, Status
from orchestrator.client.fleet import Fleet
from orchestrator.client.schemas.limits import ConcurrencyLimitConfig
from orchestrator.concurrency.deployment_limits import config_of, limit_of_deployment
from orchestrator.concurrency.requests import check_name


@dataclass(frozen=True, slots=True)
class DeclaredLimit:
    """A limit by its name.

    Attributes:
        name: as it was declared; deployments have ``deployment:<id>``.
        limit: places; 0: none may start.
        active: whether it holds anybody up.
        slot_decay_per_second: places that come back by themselves after ``rate_limit``.
        strategy: of a deployment's, ``ENQUEUE`` or ``CANCEL_NEW``; else empty.
        generation: how often it was written.
        written_at_ms: when last, by the server's clock.
        use: what goes on under it.
    """

    name: str
    limit: int
    active: bool = True
    slot_decay_per_second: float = 0.0
    strategy: str = ""
    generation: int = 0
    written_at_ms: int = 0
    use: LimitUse = field(default_factory=lambda: LimitUse(0.0, 0, [], 0, []))

    def as_json(self) -> dict[str, Any]:
        """For the command line and the API."""
        holders = [
            {"who": holder.who, "kind": "lease" if holder.is_lease else "run", "places": holder.places,
             "since_ms": holder.since_ms, "until_ms": holder.until_ms or None}
            for holder in self.use.holders
        ]  # fmt: skip
        return {
            "name": self.name,
            "limit": self.limit,
            "active": self.active,
            "active_slots": self.use.taken,
            "slot_decay_per_second": self.slot_decay_per_second,
            "waiting": self.use.waiting,
            "holders": holders,
            "generation": self.generation,
            "updated_ms": self.written_at_ms,
        }


def declare(
    fleet: Fleet,
    name: str,
    *,
    limit: int | None = None,
    active: bool | None = None,
    slot_decay_per_second: float | None = None,
    strategy: str | None = None,
    only_new: bool = False,
    expected: int | None = None,
) -> int:
    """Write what is given of a limit, the rest stays; what fits now is queued. Returns the generation.

    Raises:
        ValueError: the name, the number of places or the decay cannot be one.
        BrokerConflict: it is there already (``only_new``), or has another generation than ``expected``.
        BrokerError: the store does not answer.
    """
    check_name(name)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit < 2**31):
        raise ValueError(f"limit={limit!r}: a number of places from 0 on")
    decay = slot_decay_per_second
    if decay is not None and (isinstance(decay, bool) or not 0 <= decay < float("inf")):
        raise ValueError(f"slot_decay_per_second={decay!r}: places per second, from 0 on")
    fields: dict[str, str | bytes] = {}
    if limit is not None:
        fields["limit"] = str(limit)
    if active is not None:
        fields["active"] = "1" if active else "0"
    if decay is not None:
        fields["decay"] = repr(float(decay))
    if strategy is not None:
        fields["strategy"] = strategy
    return fleet.broker.documents.write(KIND, name, fields, name=name, only_new=only_new, expected=expected)


def set_deployment_limit(fleet: Fleet, deployment_id: str, config: int | ConcurrencyLimitConfig | None) -> None:
    """Put a deployment's limit in force, also for its runs that wait already; ``None`` lifts it. Raises BrokerError."""
    limit, name = config_of(config), limit_of_deployment(deployment_id)
    if limit is not None:
        declare(fleet, name, limit=limit.limit, active=True, strategy=limit.collision_strategy.value)
    elif declared(fleet, [name])[0] is not None:  # not deleted: runs that were sent before bring a size along
        declare(fleet, name, active=False, strategy="")


def declared(fleet: Fleet, names: Sequence[str]) -> list[DeclaredLimit | None]:
    """Limits by their names, ``None`` where nobody has declared one. Raises BrokerError."""
    documents = fleet.broker.documents.read(KIND, list(names))
    there = [document for document in documents if document is not None]
    uses = dict(zip([one.id for one in there], fleet.broker.limits.use([one.id for one in there]), strict=True))
    return [None if document is None else _limit_of(document, uses[document.id]) for document in documents]


def all_declared(fleet: Fleet, first: int = 0, count: int = 200) -> tuple[int, list[DeclaredLimit]]:
    """How many limits there are, and some of them, what was written last first. Raises BrokerError."""
    total, names = fleet.broker.documents.newest(KIND, first, count)
    return total, [limit for limit in declared(fleet, names) if limit is not None]


def forget(fleet: Fleet, names: Sequence[str]) -> int:
    """Delete limits; returns how many there were. Tasks whose code names a size keep to that."""
    return fleet.broker.documents.delete(KIND, list(names))


def cancel_waiting(fleet: Fleet, name: str, reason: str) -> int:
    """Cancel every run that waits for a place under a limit; returns how many. Raises BrokerError.

    For a deployment that is deleted: ``cancel_waiting(fleet, limit_of_deployment(id), "its deployment was deleted")``.
    """
    cancelled, asked = 0, set[str]()
    while runs := [run for run in fleet.broker.limits.use([name], most=500)[0].waiting_runs if run not in asked]:
        asked.update(runs)  # one whose record was lost stays in line until there is a place: once is enough
        before = fleet.broker.runs.cancel(runs, reason)
        cancelled += sum(status not in (*FINAL_STATUSES, Status.UNKNOWN) for status in before)
    return cancelled


def _limit_of(document: Document, use: LimitUse) -> DeclaredLimit:
    fields = document.fields
    return DeclaredLimit(
        document.id,
        int(_number(fields.get("limit"))),
        fields.get("active") != b"0",
        _number(fields.get("decay")),
        fields.get("strategy", b"").decode("utf-8", "replace"),
        document.generation,
        document.written_at_ms,
        use,
    )


def _number(value: bytes | None) -> float:
    """A damaged one is 0."""
    try:
        number = float(value or b"0")
    except ValueError:
        return 0.0
    return number if 0 <= number < 2**53 else 0.0
