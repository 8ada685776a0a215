"""Variables: listed, read, written and deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator import variables
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE
from orchestrator.variables import Variable

MAX_LISTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class VariablePage:
    """Variables, what was written last first."""

    variables: list[Variable]
    total: int


class VariableQueries:
    """The variables of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def newest(self, first: int = 0, limit: int = PAGE) -> VariablePage:
        """A page of all, what was written last first."""
        if self._context.reach is not None:
            seen = self.all()
            return VariablePage(seen[first : first + page_size(limit)], len(seen))
        total, found = variables.records(self._context.fleet.broker, first, page_size(limit))
        return VariablePage(found, total)

    def all(self) -> list[Variable]:
        """All of them, up to 10,000, what was written last first."""
        return [one for one in variables.records(self._context.fleet.broker, 0, MAX_LISTED)[1] if self._has(one.tags)]

    def get(self, name: str) -> Variable | None:
        """One by its name."""
        return self._if_seen(variables.read(self._context.fleet, name))

    def by_id(self, the_id: str) -> Variable | None:
        """One by its id."""
        (document,) = self._context.fleet.broker.documents.read(variables.KIND, [the_id])
        return self._if_seen(variables.variable_of(document))

    def _has(self, tags: Iterable[str]) -> bool:
        return self._context.reach is None or self._context.reach.has_tags(tags)

    def _if_seen(self, found: Variable | None) -> Variable | None:
        return found if found is not None and self._has(found.tags) else None

    def create(self, name: str, value: Any, tags: Iterable[str] = ()) -> Variable:
        """Write a new one. Raises ValueError: as ``variables.write``."""
        self._context.must_write()
        tags = list(tags)
        self._context.must_reach("place for it: give it a tag of them", self._has(tags))
        self._must_not_be_theirs(name)
        return variables.write(self._context.fleet, name, value, tags)

    def change(self, before: Variable, value: Any, tags: Iterable[str], name: str | None = None) -> Variable:
        """Change one as it was read; under another name it is another one, and the first is deleted.

        Raises:
            ValueError: as ``variables.write``. BrokerConflict: somebody else has changed it meanwhile.
        """
        self._context.must_write()
        tags = tags if isinstance(tags, str) else list(tags)
        self._context.must_reach("place for it: leave it a tag of them", self._has(tags) and self._has(before.tags))
        if name is None or name == before.name:
            return variables.change(self._context.fleet, before, value, tags)
        self._must_not_be_theirs(name)
        made = variables.write(self._context.fleet, name, value, tags)
        variables.delete(self._context.fleet, before.name)
        return made

    def _must_not_be_theirs(self, name: str) -> None:
        """Raises ObjectNotFound: a variable out of reach has that name: nothing else is known of it here."""
        found = variables.read(self._context.fleet, name) if self._context.reach is not None else None
        is_theirs = found is not None and not self._has(found.tags)
        self._context.must_reach(f"place for a variable named {name!r}", not is_theirs)

    def delete(self, name: str) -> bool:
        """Forget it; whether there was one."""
        self._context.must_write()
        if self.get(name) is None:
            return False
        return variables.delete(self._context.fleet, name)
