"""Flow runs by any condition, in any order: the index narrows them down, their records decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from orchestrator.server.queries.flow_runs import FlowRunQueries
from orchestrator.server.view_models import Count, FlowRunPage, FlowRunView

MAX_SORTED: Final = 2_000  # of the newest that match; in other orders than by age
MAX_LOOKED_AT: Final = 20_000
SECONDS: Final = 2.0
NEWEST: Final = "ID_DESC"
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
ORDERS: Final[dict[str, tuple[str, bool]]] = {
    "START_TIME_ASC": ("started", False),
    "START_TIME_DESC": ("started", True),
    "EXPECTED_START_TIME_ASC": ("expected", False),
    "EXPECTED_START_TIME_DESC": ("expected", True),
    "NEXT_SCHEDULED_START_TIME_ASC": ("expected", False),
    "END_TIME_DESC": ("ended", True),
    "NAME_ASC": ("name", False),
    "NAME_DESC": ("name", True),
}


@dataclass(frozen=True, slots=True)
class FlowRunSearch:
    """What is wanted.

    Attributes:
        narrow: arguments of ``FlowRunQueries.find`` that leave nothing out that is wanted.
        fits: decides about each; ``None``: ``narrow`` says it all.
        sort: ``ID_DESC`` or one of :data:`ORDERS`.
    """

    narrow: dict[str, Any]
    fits: Callable[[FlowRunView], bool] | None = None
    sort: str = NEWEST


def found(flow_runs: FlowRunQueries, search: FlowRunSearch, before: str | None, offset: int, limit: int) -> FlowRunPage:
    """A page. Without an offset it has a cursor in the order by age; the total is known where nothing decides."""
    if search.sort != NEWEST:
        return _sorted_page(flow_runs, search, offset, limit)
    if search.fits is None and not offset:
        return flow_runs.find(**search.narrow, before=before, limit=limit)
    kept: list[FlowRunView] = []
    skipped, cursor, total = 0, before, Count(0)
    for page in _pages(flow_runs, search, before, 200 if search.fits else limit):
        cursor, total = page.cursor, page.total
        for place, run in enumerate(page.runs):
            if search.fits is not None and not search.fits(run):
                continue
            if skipped < offset:
                skipped += 1
                continue
            kept.append(run)
            if len(kept) == limit:
                following = cursor if place + 1 == len(page.runs) else flow_runs.cursor_after(run.id)
                return FlowRunPage(kept, following, total if search.fits is None else Count(skipped + limit, True))
    number = skipped + len(kept)
    return FlowRunPage(kept, cursor, total if search.fits is None else Count(number, more=cursor is not None))


def count(flow_runs: FlowRunQueries, search: FlowRunSearch) -> Count:
    """How many there are, as far as they can be looked at."""
    if search.fits is None and not search.narrow.get("states"):
        return flow_runs.find(**search.narrow, limit=1).total
    number, cursor = 0, None
    for page in _pages(flow_runs, search, None, 200):
        cursor = page.cursor
        number += sum(1 for run in page.runs if search.fits is None or search.fits(run))
    return Count(number, more=cursor is not None)


def _sorted_page(flow_runs: FlowRunQueries, search: FlowRunSearch, offset: int, limit: int) -> FlowRunPage:
    name, falls = ORDERS[search.sort]
    every: list[FlowRunView] = []
    cursor: str | None = None
    for page in _pages(flow_runs, search, None, 200):
        every += [run for run in page.runs if search.fits is None or search.fits(run)]
        cursor = page.cursor
        if len(every) >= MAX_SORTED:
            break
    every.sort(key=_by(name, falls), reverse=falls)
    return FlowRunPage(every[offset : offset + limit], None, Count(len(every), more=cursor is not None))


def _by(name: str, falls: bool) -> Callable[[FlowRunView], Any]:
    value = attrgetter(name)
    if name == "name":
        return value
    missing = _FIRST if falls else _LAST  # what has no such moment comes last
    return lambda run: value(run) or missing


def _pages(flow_runs: FlowRunQueries, search: FlowRunSearch, before: str | None, limit: int) -> Iterator[FlowRunPage]:
    """Pages of what is narrowed down, as many as there is time for."""
    deadline, looked = time.monotonic() + SECONDS, 0
    cursor = before
    while True:
        page = flow_runs.find(**search.narrow, before=cursor, limit=limit)
        looked, cursor = looked + limit, page.cursor
        yield page
        if cursor is None or looked >= MAX_LOOKED_AT or time.monotonic() > deadline:
            return


def names_of(names: Sequence[str], fits: Callable[[str], bool]) -> tuple[str, ...]:
    """The names that are wanted; one that no flow has if none is, since an empty tuple means all."""
    return tuple(name for name in names if fits(name)) or ("\0",)
