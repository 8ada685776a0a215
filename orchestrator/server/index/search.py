"""Finding runs in the index, newest first: a page comes within a tenth of a second, however many runs there are.

A search walks down one or more *ways*: orders by age that an index of SQLite has ready (all runs; the runs of one task
and state; those with a tag; ...). What a way does not decide is looked at row by row, in growing portions and for a
bounded time; where the time is over, the cursor says how far it came.
"""

from __future__ import annotations

import heapq
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from orchestrator.server.answers import COUNTED_AT_MOST, Count, RunQuery, any_of
from orchestrator.server.index.tables import Tables
from orchestrator.server.index.words import NEWEST, cursor_from, id_of, key_of, sequence_at

SEARCH_SECONDS: Final = 0.06
COUNT_SECONDS: Final = 0.03
MOST_WAYS: Final = 256  # in order, of runs that all match
FEW_WAYS: Final = 16  # where runs are looked at on the way
_FIRST_PORTION, _LARGEST_PORTION = 2_000, 16_000
_BEGINNING_OF_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{0,12}){0,3}")  # 12 digits: one millisecond
_LIKE: Final = r"LIKE ? ESCAPE '\'"
MESSAGES: Final = "messages CROSS JOIN runs ON runs.seq = messages.seq"


class Way(NamedTuple):
    """Rows that SQLite gives newest first without sorting."""

    source: str  # after FROM
    seq: str  # the column by which they are in order
    where: str
    values: tuple[Any, ...] = ()
    rest: str = ""  # a condition that is looked at row by row
    rest_values: tuple[Any, ...] = ()
    bounds: str = ""  # the table that has the order, where ``source`` joins it with others


ALL: Final = Way("runs NOT INDEXED", "runs.seq", "1")
BY_ID: Final = "runs INDEXED BY sqlite_autoindex_runs_1"
BY_KIND: Final = "runs INDEXED BY runs_kind"
BY_FLOW: Final = "runs INDEXED BY runs_flow"
BY_TAG: Final = "tags CROSS JOIN runs ON runs.seq = tags.seq"
Cell = tuple[int, int]  # kind and state
NONE: Final = Way("runs", "runs.seq", "0")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered: the ways, a condition on what is met there, and the bounds."""

    ways: tuple[Way, ...]
    rest: str
    values: tuple[Any, ...]
    low: int
    high: int
    exact: int | None = None  # the number of all that match, where the counters know it


def plan(tables: Tables, query: RunQuery) -> Plan | None:
    """How to find these; ``None`` if there can be none."""
    low = sequence_at(query.since.timestamp() * 1000) if query.since else 0
    high = sequence_at(query.until.timestamp() * 1000) if query.until else NEWEST
    states = _states(tables, query)
    kinds = _kinds(tables, query)
    workers = tables.workers.where(lambda name: any_of(query.workers, name)) if query.workers else None
    tags = [tables.tags.known(tag) for tag in query.tags]
    flow = tables.known_flow(query.flow_run_id) if query.flow_run_id is not None else None
    nothing = states == [] or kinds == [] or workers == [] or None in tags
    if nothing or (query.flow_run_id is not None and flow is None):
        return None
    cells = _cells(tables, kinds, states, flow)
    known = sorted((tag for tag in tags if tag is not None), key=lambda tag: tables.tag_counts[tag])
    rest = _named("runs.worker", workers)
    ways = _ways(tables, query, cells, flow, known)
    if ways and ways[0].source in (BY_KIND, BY_FLOW):
        states = kinds = flow = None
    if query.text and not ways:
        ways = _ways_to_text(tables, query.text)
    elif query.text:
        rest.append(_text(tables, query.text))
    by_tag = known[:1] if ways and ways[0].source == BY_TAG else []
    rest += [
        (f"EXISTS (SELECT 1 FROM tags o WHERE o.tag = {tag} AND o.seq = runs.seq)", ())
        for tag in known
        if tag not in by_tag
    ]
    rest += _named("runs.kind", kinds) + _named("runs.state", states)
    rest += _named("runs.flow", None if flow is None else [flow])
    condition = " AND ".join(part for part, _ in rest)
    values = tuple(value for _, some in rest for value in some)
    exact = None if rest or _is_bounded(query) else sum(count for _, count in cells)
    return Plan(tuple(ways or (ALL,)), condition, values, low, high, exact)


def _is_bounded(query: RunQuery) -> bool:
    """Whether more is asked than counters of tasks, queues, states and flow runs can tell."""
    return (
        bool(query.since or query.until or query.ids or query.text or query.tags or query.workers)
        or query.parent_task_run_id is not None
    )


def _ways(
    tables: Tables, query: RunQuery, cells: list[tuple[Cell, int]], flow: int | None, tags: list[int]
) -> list[Way]:
    """The shortest ways, none if straight down is as good."""
    if query.ids:
        keys = tuple(key_of(run_id) for run_id in query.ids)
        return [Way(BY_ID, "runs.seq", f"runs.id IN ({','.join('?' * len(keys))})", keys)]
    if query.parent_task_run_id is not None:
        key = key_of(query.parent_task_run_id)
        return [Way("runs INDEXED BY runs_parent", "runs.seq", "runs.parent = ?", (key,))]
    many, few = sum(count for _, count in cells), len(cells) <= FEW_WAYS
    if flow is not None:
        where = "runs.flow = ? AND runs.kind = ? AND runs.state = ?"
        ways = [Way(BY_FLOW, "runs.seq", where, (flow, *cell)) for cell, _ in cells]
        return (ways or [NONE]) if len(cells) <= MOST_WAYS else []
    if tags and not (few and many < tables.tag_counts[tags[0]]):
        return [Way(BY_TAG, "tags.seq", "tags.tag = ?", (tags[0],), bounds="tags")]
    if not (query.tasks or query.queues or query.states):
        return []
    is_short = few and many < tables.total / 50 if tags or query.workers or query.text else many < tables.total / 4
    if not (is_short or tags) or len(cells) > MOST_WAYS:
        return []
    return [Way(BY_KIND, "runs.seq", "runs.kind = ? AND runs.state = ?", cell) for cell, _ in cells] or [NONE]


def _states(tables: Tables, query: RunQuery) -> list[int] | None:
    wanted = {state.lower() for state in query.states}
    return tables.states.where(lambda words: {word.lower() for word in words} & wanted) if wanted else None


def _kinds(tables: Tables, query: RunQuery) -> list[int] | None:
    if not (query.tasks or query.queues):
        return None
    return tables.kinds.where(lambda kind: any_of(query.tasks, kind[0]) and any_of(query.queues, kind[1]))


def _cells(
    tables: Tables, kinds: list[int] | None, states: list[int] | None, flow: int | None
) -> list[tuple[Cell, int]]:
    """Every (kind, state) of those, and how many runs it has."""
    of_kinds, of_states = set(kinds or ()), set(states or ())
    counts = tables.counts if flow is None else tables.flow_counts.get(flow, Counter())
    return [
        (cell, count)
        for cell, count in list(counts.items())
        if count > 0 and (kinds is None or cell[0] in of_kinds) and (states is None or cell[1] in of_states)
    ]


def _named(column: str, numbers: list[int] | None) -> list[tuple[str, tuple[Any, ...]]]:
    return [] if numbers is None else [(f"{column} IN ({_listed(numbers)})", ())]


def _ways_to_text(tables: Tables, text: str) -> list[Way]:
    """Ways to a text, of which no two lead to the same run but by chance."""
    keys = _keys_like(text)
    if len(set(keys)) == 2:
        return [Way(BY_ID, "runs.seq", "runs.id BETWEEN ? AND ?", keys)]
    kinds = _kinds_with(tables, text)
    cells = _cells(tables, kinds, None, None) if kinds else []
    where = "runs.kind = ? AND runs.state = ?"
    ways = [Way(BY_KIND, "runs.seq", where, cell) for cell, _ in cells]
    if sum(count for _, count in cells) > tables.total / 4 or len(cells) > MOST_WAYS:
        ways = [ALL._replace(rest=f"runs.kind IN ({_listed(kinds)})")]
    others = f"runs.kind NOT IN ({_listed(kinds)})"
    told = f"messages.text {_LIKE} AND {others}"
    ways.append(Way(MESSAGES, "messages.seq", "1", (), told, (_like(text),), "messages"))
    if keys:
        ways.append(Way(BY_ID, "runs.seq", f"runs.id BETWEEN ? AND ? AND {others}", keys))
    return ways


def _text(tables: Tables, text: str) -> tuple[str, tuple[Any, ...]]:
    """The same as a condition, where another way leads to the runs."""
    parts = [f"EXISTS (SELECT 1 FROM messages m WHERE m.seq = runs.seq AND m.text {_LIKE})"]
    parts.append(f"runs.kind IN ({_listed(_kinds_with(tables, text))})")
    keys = _keys_like(text)
    if keys:
        parts.append("runs.id BETWEEN ? AND ?")
    return f"({' OR '.join(parts)})", (_like(text), *keys)


def _kinds_with(tables: Tables, text: str) -> list[int]:
    wanted = text.strip().lower()
    return tables.kinds.where(lambda kind: wanted in kind[0].lower())


def _like(text: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", text.strip()) + "%"


def _keys_like(text: str) -> tuple[bytes, ...]:
    """The first and the last key of ids that begin so; none if it is not how an id begins."""
    wanted = text.strip().lower()
    if _BEGINNING_OF_ID.fullmatch(wanted):
        digits = wanted.replace("-", "")[:32]
        return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    return (key_of(text.strip()), key_of(text.strip())) if wanted else ()


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


# -- walking ---------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """What one way had: places and keys, newest first; and where it was left, ``None`` if it was walked to its end."""

    rows: list[tuple[int, bytes]]
    left_at: int | None


def search(tables: Tables, query: RunQuery, before: str | None, limit: int) -> tuple[list[str], str | None]:
    """Ids of the newest runs that match, below a cursor; and the cursor behind them, ``None`` at the end.

    Raises:
        ValueError: that is no cursor.
    """
    high = cursor_from(before)
    planned = plan(tables, query)
    if planned is None:
        return [], None
    connection = tables.reader
    ends_at = time.monotonic() + SEARCH_SECONDS
    top = min(high, planned.high)
    found = [_walk(connection, planned, way, top, limit + 1, ends_at) for way in planned.ways]
    floor = max((some.left_at for some in found if some.left_at is not None), default=None)
    rows: list[tuple[int, bytes]] = []
    for row in heapq.merge(*(some.rows for some in found), key=lambda row: -row[0]):
        if (floor is None or row[0] >= floor) and (not rows or rows[-1] != row):
            rows.append(row)
    cursor = rows[limit - 1][0] if len(rows) > limit else floor
    return [id_of(key) for _, key in rows[:limit]], None if cursor is None else str(cursor)


def _walk(connection: sqlite3.Connection, planned: Plan, way: Way, high: int, limit: int, ends_at: float) -> Found:
    rows: list[tuple[int, bytes]] = []
    for low, top in _portions(connection, planned, way, high):
        condition, values = _condition(planned, way, low, top)
        sql = f"SELECT {way.seq}, runs.id FROM {way.source} WHERE {condition} ORDER BY {way.seq} DESC LIMIT ?"
        rows += connection.execute(sql, (*values, limit - len(rows))).fetchall()
        if len(rows) >= limit:
            return Found(rows, rows[-1][0])
        if time.monotonic() > ends_at and low > planned.low:
            return Found(rows, low)
    return Found(rows, None)


def _condition(planned: Plan, way: Way, low: int, top: int) -> tuple[str, tuple[Any, ...]]:
    parts = [way.where, f"{way.seq} < ? AND {way.seq} >= ?", way.rest, planned.rest]
    values = (*way.values, top, low, *way.rest_values, *planned.values)
    return " AND ".join(part for part in parts if part), values


def _portions(connection: sqlite3.Connection, planned: Plan, way: Way, high: int) -> Iterator[tuple[int, int]]:
    """Bounds (low, and the first above) of portions of a way, newest first, the last one down to the bottom."""
    size = _FIRST_PORTION
    while (way.rest or planned.rest) and way.source != BY_ID:
        sql = (
            f"SELECT {way.seq} FROM {way.bounds or way.source} WHERE {way.where} AND {way.seq} < ? AND {way.seq} >= ? "
            f"ORDER BY {way.seq} DESC LIMIT 1 OFFSET ?"
        )
        row = connection.execute(sql, (*way.values, high, planned.low, size - 1)).fetchone()
        if row is None:
            break
        yield row[0], high
        high, size = row[0], min(2 * size, _LARGEST_PORTION)
    yield planned.low, high


def count(tables: Tables, query: RunQuery) -> Count:
    """How many match: exactly up to a bound, and as far as they can be counted in a moment."""
    planned = plan(tables, query)
    if planned is None:
        return Count(0)
    if planned.exact is not None:
        return Count(planned.exact)
    connection, number, ends_at = tables.reader, 0, time.monotonic() + COUNT_SECONDS
    for way in planned.ways:
        for low, top in _portions(connection, planned, way, planned.high):
            condition, values = _condition(planned, way, low, top)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM {way.source} WHERE {condition} LIMIT ?)"
            number += connection.execute(sql, (*values, COUNTED_AT_MOST + 1 - number)).fetchone()[0]
            if number > COUNTED_AT_MOST:
                return Count(COUNTED_AT_MOST, more=True)
            if time.monotonic() > ends_at and low > planned.low:
                return Count(number, more=True)
    return Count(number)
