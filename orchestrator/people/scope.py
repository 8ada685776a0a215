"""Scopes: which part of everything a team sees, as patterns of names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

MAX_PATTERNS: Final = 200
MAX_PATTERN: Final = 300


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of everything: what any of its patterns fits. Patterns hold ``*``, ``?`` and ``[...]``.

    Attributes:
        deployments: patterns of ``flow/deployment``; one without ``/`` means all deployments of those flows.
        pools: patterns of work pools, with the deployments in them.
        tags: patterns of tags: of deployments, of task runs, of variables.

    >>> scope = Scope(("etl*/*",), ("night-?",), ("team-data",))
    >>> scope.has_deployment("etl/hourly", None, ()), scope.has_deployment("shop/etl", None, ())
    (True, False)
    >>> scope.has_deployment("shop/orders", "night-1", ()), scope.has_deployment("shop/orders", None, ["team-data"])
    (True, True)
    >>> scope.has_flow("etl"), scope.has_flow("shop"), scope.has_pool("day")
    (True, False, False)
    """

    deployments: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def has_deployment(self, full_name: str, pool: str | None, tags: Iterable[str]) -> bool:
        """Whether a deployment is part of it, by its name, its work pool or a tag."""
        flow, _, name = full_name.partition("/")
        by_name = any(_fits(pattern, flow, name) for pattern in self.deployments)
        return by_name or (pool is not None and self.has_pool(pool)) or self.has_tags(tags)

    def has_flow(self, flow: str) -> bool:
        """Whether runs of a flow that are of no deployment are part of it: where all deployments of it are."""
        return any(_fits(pattern, flow, "") for pattern in self.deployments)

    def has_pool(self, pool: str) -> bool:
        """Whether a work pool is part of it."""
        return any(fnmatchcase(pool, pattern) for pattern in self.pools)

    def has_tags(self, tags: Iterable[str]) -> bool:
        """Whether something with these tags is part of it."""
        return bool(self.tags) and any(fnmatchcase(tag, pattern) for tag in tags for pattern in self.tags)

    def __str__(self) -> str:
        parts = [*self.deployments, *(f"pool {name}" for name in self.pools), *(f"tag {name}" for name in self.tags)]
        return ", ".join(parts) or "nothing"


def _fits(pattern: str, flow: str, name: str) -> bool:
    of_flow, slash, of_name = pattern.partition("/")
    return fnmatchcase(flow, of_flow) and (not slash or fnmatchcase(name, of_name))


def patterns_of(texts: Iterable[object]) -> tuple[str, ...]:
    """Patterns as people write them, without repeated ones. Raises ValueError.

    >>> patterns_of([" etl*/* ", "etl*/*", "shop"])
    ('etl*/*', 'shop')
    """
    found = [text.strip() if isinstance(text, str) else "" for text in texts]
    for pattern in found:
        if not pattern or len(pattern) > MAX_PATTERN or not pattern.isprintable():
            raise ValueError(f"{pattern[:80]!r} is no pattern: 1 to {MAX_PATTERN} characters, such as 'etl*/*'")
    if len(found) > MAX_PATTERNS:
        raise ValueError(f"a scope has at most {MAX_PATTERNS} patterns of a kind, not {len(found)}")
    return tuple(dict.fromkeys(found))
