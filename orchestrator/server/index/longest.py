"""Runs by how long they took, the longest first: examines every matching row, since no index has that order."""

from __future__ import annotations

import time
from typing import Final

from orchestrator.server.index.encoding import id_of
from orchestrator.server.index.search import Plan, plan
from orchestrator.server.index.tables import Tables
from orchestrator.server.view_models import RunQuery

# Of a run that goes on, the time until now; ``started`` is in milliseconds, ``took`` in microseconds.
_TOOK: Final = (
    "coalesce(runs.took, CASE WHEN runs.ended IS NULL AND runs.started IS NOT NULL THEN ? - runs.started * 1000 END)"
)
_LARGEST: Final = 1 << 62


def longest(tables: Tables, query: RunQuery, before: str | None, limit: int) -> tuple[list[str], str | None]:
    """Ids of the runs that match and have begun, the longest first, after a cursor; and the next cursor.

    What runs grows while pages are turned, so the cursor keeps the moment at which the first page was looked at.

    Raises:
        ValueError: that is no cursor.
    """
    now, took, seq = _cursor(before)
    planned = plan(tables, query)
    if planned is None:
        return [], None
    condition, values = _whole_condition(planned)
    sql = (
        f"SELECT seq, id, took FROM (SELECT runs.seq AS seq, runs.id AS id, {_TOOK} AS took FROM runs "
        f"WHERE {condition}) WHERE took >= 0 AND (took, seq) < (?, ?) ORDER BY took DESC, seq DESC LIMIT ?"
    )
    rows = tables.reader.execute(sql, (now, *values, took, seq, limit + 1)).fetchall()
    more = f"{now}.{rows[limit - 1][2]}.{rows[limit - 1][0]}" if len(rows) > limit else None
    return [id_of(key) for _, key, _ in rows[:limit]], more


def _cursor(text: str | None) -> tuple[int, int, int]:
    """The moment of the first page (unix microseconds), and the duration and place of the last run before this page."""
    if text is None:
        return int(time.time() * 1e6), _LARGEST, _LARGEST
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise ValueError(f"{text[:40]!r} is not a cursor: give one that a page had, or none")
    now, took, seq = (min(int(part), (1 << 63) - 1) for part in parts)
    return now, took, seq


def _whole_condition(planned: Plan) -> tuple[str, tuple[object, ...]]:
    """The whole plan as one condition, its scans as alternatives."""
    scans, values = [], []
    for scan in planned.scans:
        column = "runs.seq IN (SELECT " + scan.seq + " FROM " + scan.source
        scans.append(f"{column} WHERE {scan.where}{' AND ' + scan.rest if scan.rest else ''})")
        values += [*scan.values, *scan.rest_values]
    parts = (
        [f"({' OR '.join(scans)})"] if planned.scans[0].source != "runs NOT INDEXED" or planned.scans[0].rest else []
    )
    parts.append("runs.seq >= ? AND runs.seq < ?")
    values += [planned.low, planned.high]
    if planned.rest:
        parts.append(planned.rest)
        values += planned.values
    return " AND ".join(parts), tuple(values)
