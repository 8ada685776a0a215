"""Limits by name: how many places, who holds them, who waits; written and deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from brokers.facets.limits import KIND
from orchestrator.concurrency import declared
from orchestrator.concurrency.declared import DeclaredLimit
from orchestrator.deployments.lookup import read_deployments
from orchestrator.server.definition_views import LimitPage, LimitView
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE

MAX_NAMES: Final = 10_000
OF_DEPLOYMENT: Final = "deployment:"


class LimitQueries:
    """The declared limits of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def newest(self, first: int = 0, limit: int = PAGE) -> LimitPage:
        """A page of all, what was written last first."""
        total, limits = declared.all_declared(self._context.fleet, first, page_size(limit))
        return LimitPage(self._views(limits), total)

    def get(self, name: str) -> LimitView | None:
        """One by its name; ``None`` if nobody has declared it."""
        limits = [limit for limit in declared.declared(self._context.fleet, [name]) if limit is not None]
        return next(iter(self._views(limits)), None)

    def name_where(self, is_wanted: Callable[[str], bool]) -> str | None:
        """The name of a declared limit, of which ``is_wanted`` says that it is meant."""
        _, names = self._context.fleet.broker.documents.newest(KIND, 0, MAX_NAMES)
        return next(filter(is_wanted, names), None)

    def declare(self, name: str, **fields: Any) -> None:
        """Write what is given of it; fields and errors are those of ``concurrency.declared.declare``."""
        self._context.must_write()
        declared.declare(self._context.fleet, name, **fields)

    def delete(self, name: str) -> bool:
        """Forget it; whether there was one."""
        self._context.must_write()
        return declared.forget(self._context.fleet, [name]) > 0

    def _views(self, limits: Sequence[DeclaredLimit]) -> list[LimitView]:
        ids = [limit.name.removeprefix(OF_DEPLOYMENT) for limit in limits if limit.name.startswith(OF_DEPLOYMENT)]
        found = read_deployments(self._context.fleet.broker, ids) if ids else []
        names = {record.id: record.full_name for record in found if record is not None}
        return [self._view(limit, names) for limit in limits]

    @staticmethod
    def _view(limit: DeclaredLimit, names: dict[str, str]) -> LimitView:
        owner = limit.name.removeprefix(OF_DEPLOYMENT) if limit.name.startswith(OF_DEPLOYMENT) else None
        return LimitView(limit, names.get(owner or "", limit.name), owner)
