"""Finds runs in the index, newest first; a page takes at most a tenth of a second, however many runs there are.

A search merges one or more *scans*: orders by age that an index of SQLite has ready (all runs; the runs of one task
and state; those with a tag; ...). Conditions that a scan does not decide are checked row by row, in growing portions
and for a bounded time; when the time is over, the cursor says how far the search came.
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

from orchestrator.server.index.encoding import NEWEST, cursor_from, id_of, key_of, sequence_at
from orchestrator.server.index.tables import Tables
from orchestrator.server.view_models import MAX_COUNTED, Count, RunQuery, any_of

SEARCH_SECONDS: Final = 0.06
COUNT_SECONDS: Final = 0.03
MAX_SCANS: Final = 256  # whose rows all match
FEW_SCANS: Final = 16  # whose rows are checked one by one
_FIRST_PORTION, _MAX_PORTION = 2_000, 16_000
_BEGINNING_OF_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{0,12}){0,3}")  # 12 digits: one millisecond
_LIKE: Final = r"LIKE ? ESCAPE '\'"
MESSAGES: Final = "messages CROSS JOIN runs ON runs.seq = messages.seq"


class Scan(NamedTuple):
    """Rows that SQLite gives newest first without sorting."""

    source: str  # after FROM
    seq: str  # the column by which they are in order
    where: str
    values: tuple[Any, ...] = ()
    rest: str = ""  # a condition that is checked row by row
    rest_values: tuple[Any, ...] = ()
    bounds: str = ""  # the table that has the order, where ``source`` joins it with others


ALL: Final = Scan("runs NOT INDEXED", "runs.seq", "1")
BY_ID: Final = "runs INDEXED BY sqlite_autoindex_runs_1"
BY_KIND: Final = "runs INDEXED BY runs_kind"
BY_FLOW: Final = "runs INDEXED BY runs_flow"
BY_TAG: Final = "tags CROSS JOIN runs ON runs.seq = tags.seq"
Cell = tuple[int, int]  # kind and state
NONE: Final = Scan("runs", "runs.seq", "0")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is executed: its scans, a condition on their rows, and bounds."""

    scans: tuple[Scan, ...]
    rest: str
    values: tuple[Any, ...]
    low: int
    high: int
    exact: int | None = None  # the number of all that match, where the counters know it


def plan(tables: Tables, query: RunQuery) -> Plan | None:
    """The plan of a query; ``None`` if nothing can match."""
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
    scans = _scans(tables, query, cells, flow, known)
    if scans and scans[0].source in (BY_KIND, BY_FLOW):
        states = kinds = flow = None
    if query.text and not scans:
        scans = _text_scans(tables, query.text)
    elif query.text:
        rest.append(_text(tables, query.text))
    by_tag = known[:1] if scans and scans[0].source == BY_TAG else []
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
    return Plan(tuple(scans or (ALL,)), condition, values, low, high, exact)


def _is_bounded(query: RunQuery) -> bool:
    """Whether the query needs more than the counters of tasks, queues, states and flow runs."""
    return (
        bool(query.since or query.until or query.ids or query.text or query.tags or query.workers)
        or query.parent_task_run_id is not None
    )


def _scans(
    tables: Tables, query: RunQuery, cells: list[tuple[Cell, int]], flow: int | None, tags: list[int]
) -> list[Scan]:
    """The shortest scans; none if a scan of all runs is as good."""
    if query.ids:
        keys = tuple(key_of(run_id) for run_id in query.ids)
        return [Scan(BY_ID, "runs.seq", f"runs.id IN ({','.join('?' * len(keys))})", keys)]
    if query.parent_task_run_id is not None:
        key = key_of(query.parent_task_run_id)
        return [Scan("runs INDEXED BY runs_parent", "runs.seq", "runs.parent = ?", (key,))]
    many, few = sum(count for _, count in cells), len(cells) <= FEW_SCANS
    if flow is not None:
        where = "runs.flow = ? AND runs.kind = ? AND runs.state = ?"
        scans = [Scan(BY_FLOW, "runs.seq", where, (flow, *cell)) for cell, _ in cells]
        return (scans or [NONE]) if len(cells) <= MAX_SCANS else []
    if tags and not (few and many < tables.tag_counts[tags[0]]):
        return [Scan(BY_TAG, "tags.seq", "tags.tag = ?", (tags[0],), bounds="tags")]
    if not (query.tasks or query.queues or query.states):
        return []
    is_short = few and many < tables.total / 50 if tags or query.workers or query.text else many < tables.total / 4
    if not (is_short or tags) or len(cells) > MAX_SCANS:
        return []
    return [Scan(BY_KIND, "runs.seq", "runs.kind = ? AND runs.state = ?", cell) for cell, _ in cells] or [NONE]


def _states(tables: Tables, query: RunQuery) -> list[int] | None:
    wanted = {state.lower() for state in query.states}
    return tables.states.where(lambda words: {word.lower() for word in words} & wanted) if wanted else None


def _kinds(tables: Tables, query: RunQuery) -> list[int] | None:
    if not (query.tasks or query.queues):
        return None
    names = tables.task_names
    return tables.kinds.where(
        lambda kind: (
            (any_of(query.tasks, kind[0]) or (kind[0] in names and any_of(query.tasks, names[kind[0]])))
            and any_of(query.queues, kind[1])
        )
    )


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


def _text_scans(tables: Tables, text: str) -> list[Scan]:
    """Scans for a text, which hardly overlap."""
    keys = _keys_like(text)
    if len(set(keys)) == 2:
        return [Scan(BY_ID, "runs.seq", "runs.id BETWEEN ? AND ?", keys)]
    kinds = _kinds_with(tables, text)
    cells = _cells(tables, kinds, None, None) if kinds else []
    where = "runs.kind = ? AND runs.state = ?"
    scans = [Scan(BY_KIND, "runs.seq", where, cell) for cell, _ in cells]
    if sum(count for _, count in cells) > tables.total / 4 or len(cells) > MAX_SCANS:
        scans = [ALL._replace(rest=f"runs.kind IN ({_listed(kinds)})")]
    others = f"runs.kind NOT IN ({_listed(kinds)})"
    message_matches = f"messages.text {_LIKE} AND {others}"
    scans.append(Scan(MESSAGES, "messages.seq", "1", (), message_matches, (_like(text),), "messages"))
    if keys:
        scans.append(Scan(BY_ID, "runs.seq", f"runs.id BETWEEN ? AND ? AND {others}", keys))
    return scans


def _text(tables: Tables, text: str) -> tuple[str, tuple[Any, ...]]:
    """The text as a condition, where another scan finds the runs."""
    parts = [f"EXISTS (SELECT 1 FROM messages m WHERE m.seq = runs.seq AND m.text {_LIKE})"]
    parts.append(f"runs.kind IN ({_listed(_kinds_with(tables, text))})")
    keys = _keys_like(text)
    if keys:
        parts.append("runs.id BETWEEN ? AND ?")
    return f"({' OR '.join(parts)})", (_like(text), *keys)


def _kinds_with(tables: Tables, text: str) -> list[int]:
    wanted = text.strip().lower()
    return tables.kinds.where(
        lambda kind: wanted in kind[0].lower() or wanted in tables.task_names.get(kind[0], "").lower()
    )


def _like(text: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", text.strip()) + "%"


def _keys_like(text: str) -> tuple[bytes, ...]:
    """The first and last key of ids with this prefix; none if no id has such a prefix."""
    wanted = text.strip().lower()
    if _BEGINNING_OF_ID.fullmatch(wanted):
        digits = wanted.replace("-", "")[:32]
        return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    return (key_of(text.strip()), key_of(text.strip())) if wanted else ()


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


# -- walking ---------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Rows of one scan: places and keys, newest first, and where it stopped; ``None`` if it was read to its end."""

    rows: list[tuple[int, bytes]]
    left_at: int | None


def search(tables: Tables, query: RunQuery, before: str | None, limit: int) -> tuple[list[str], str | None]:
    """Ids of the newest runs that match, below a cursor, and the next page's cursor; ``None`` at the end.

    Raises:
        ValueError: the cursor is none.
    """
    high = cursor_from(before)
    planned = plan(tables, query)
    if planned is None:
        return [], None
    connection = tables.reader
    deadline = time.monotonic() + SEARCH_SECONDS
    top = min(high, planned.high)
    found = [_walk(connection, planned, scan, top, limit + 1, deadline) for scan in planned.scans]
    floor = max((some.left_at for some in found if some.left_at is not None), default=None)
    rows: list[tuple[int, bytes]] = []
    for row in heapq.merge(*(some.rows for some in found), key=lambda row: -row[0]):
        if (floor is None or row[0] >= floor) and (not rows or rows[-1] != row):
            rows.append(row)
    cursor = rows[limit - 1][0] if len(rows) > limit else floor
    return [id_of(key) for _, key in rows[:limit]], None if cursor is None else str(cursor)


def _walk(connection: sqlite3.Connection, planned: Plan, scan: Scan, high: int, limit: int, deadline: float) -> Found:
    rows: list[tuple[int, bytes]] = []
    for low, top in _portions(connection, planned, scan, high):
        condition, values = _condition(planned, scan, low, top)
        sql = f"SELECT {scan.seq}, runs.id FROM {scan.source} WHERE {condition} ORDER BY {scan.seq} DESC LIMIT ?"
        rows += connection.execute(sql, (*values, limit - len(rows))).fetchall()
        if len(rows) >= limit:
            return Found(rows, rows[-1][0])
        if time.monotonic() > deadline and low > planned.low:
            return Found(rows, low)
    return Found(rows, None)


def _condition(planned: Plan, scan: Scan, low: int, top: int) -> tuple[str, tuple[Any, ...]]:
    parts = [scan.where, f"{scan.seq} < ? AND {scan.seq} >= ?", scan.rest, planned.rest]
    values = (*scan.values, top, low, *scan.rest_values, *planned.values)
    return " AND ".join(part for part in parts if part), values


def _portions(connection: sqlite3.Connection, planned: Plan, scan: Scan, high: int) -> Iterator[tuple[int, int]]:
    """Bounds (low, high) of portions of a scan, newest first, the last one down to the bottom."""
    size = _FIRST_PORTION
    while (scan.rest or planned.rest) and scan.source != BY_ID:
        sql = (
            f"SELECT {scan.seq} FROM {scan.bounds or scan.source} WHERE {scan.where} "
            f"AND {scan.seq} < ? AND {scan.seq} >= ? ORDER BY {scan.seq} DESC LIMIT 1 OFFSET ?"
        )
        row = connection.execute(sql, (*scan.values, high, planned.low, size - 1)).fetchone()
        if row is None:
            break
        yield row[0], high
        high, size = row[0], min(2 * size, _MAX_PORTION)
    yield planned.low, high


def count(tables: Tables, query: RunQuery) -> Count:
    """How many match: exact up to a bound, and as far as the time allows."""
    planned = plan(tables, query)
    if planned is None:
        return Count(0)
    if planned.exact is not None:
        return Count(planned.exact)
    connection, number, deadline = tables.reader, 0, time.monotonic() + COUNT_SECONDS
    for scan in planned.scans:
        for low, top in _portions(connection, planned, scan, planned.high):
            condition, values = _condition(planned, scan, low, top)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM {scan.source} WHERE {condition} LIMIT ?)"
            number += connection.execute(sql, (*values, MAX_COUNTED + 1 - number)).fetchone()[0]
            if number > MAX_COUNTED:
                return Count(MAX_COUNTED, more=True)
            if time.monotonic() > deadline and low > planned.low:
                return Count(number, more=True)
    return Count(number)
