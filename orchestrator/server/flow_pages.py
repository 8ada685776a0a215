"""Flow runs: lists of them, and one with its task runs. A map of thousands is one row with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from orchestrator.fleet import Fleet
from orchestrator.outcomes import message_of_flow
from orchestrator.server import beside
from orchestrator.server.answers import (
    COUNTED_AT_MOST,
    Count,
    FlowRunFacts,
    FlowRunPage,
    FlowRunView,
    TaskGroup,
    any_of,
)
from orchestrator.server.index import RunIndex
from orchestrator.server.index.tables import ENDED_TYPES, Tables
from orchestrator.server.index.words import id_of, key_of, moment_of

if TYPE_CHECKING:
    from orchestrator.server.queries import Queries

RUNS_OF_A_GROUP: Final = 50
RUNS_OF_A_TIMELINE: Final = 200
_LOOKED_AT: Final = 3  # runs of a group whose upstreams are read
_TYPES: Final = (*sorted(ENDED_TYPES), "RUNNING", "PENDING", "SCHEDULED", "CANCELLING", "PAUSED")
Cell = tuple[int, int]  # kind and state
_COLUMNS: Final = "number, id, created, flow, type, ended, parent"


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """Which flow runs are meant; what is empty means all."""

    states: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    parent: str | None = None


def page(fleet: Fleet, index: RunIndex, query: FlowQuery, before: str | None, limit: int) -> FlowRunPage:
    """The newest that match. Raises ValueError for a cursor that is none."""
    tables = index.tables
    where, values = _condition(tables, query)
    created, number = _cursor(before)
    sql = f"SELECT {_COLUMNS} FROM flows WHERE {where} AND (created, number) < (?, ?) "
    sql += "ORDER BY created DESC, number DESC LIMIT ?"
    rows = tables.reader.execute(sql, (*values, created, number, limit + 1)).fetchall()
    views = _views(fleet, tables, rows[:limit])
    wanted = {state.lower() for state in query.states}
    kept = [run for run in views if not wanted or {run.state_type.lower(), run.state_name.lower()} & wanted]
    sql = f"SELECT count(*) FROM (SELECT 1 FROM flows WHERE {where} LIMIT ?)"
    total = tables.reader.execute(sql, (*values, COUNTED_AT_MOST + 1)).fetchone()[0]
    following = f"{rows[limit - 1][2]}.{rows[limit - 1][0]}" if len(rows) > limit else None
    return FlowRunPage(kept, following, Count(min(total, COUNTED_AT_MOST), total > COUNTED_AT_MOST))


def _cursor(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1 << 60, 0
    created, _, number = text.partition(".")
    if not (text.isascii() and created.isdigit() and number.isdigit() and len(text) < 36):
        raise ValueError(f"{text[:40]!r} is not a cursor: give one that a page had, or none")
    return min(int(created), 1 << 60), min(int(number), 1 << 60)


def _condition(tables: Tables, query: FlowQuery) -> tuple[str, list[Any]]:
    parts = ["1"]
    values: list[Any] = []
    if query.states:
        wanted = {state.upper() for state in query.states}
        types = [type_ for type_ in _TYPES if type_ in wanted]
        if len(types) == len(wanted):  # names of states are only known to the records
            parts.append(f"coalesce(type, 'RUNNING') IN ({','.join('?' * len(types))})")
            values += types
    if query.flows:
        numbers = tables.flow_names.where(lambda name: any_of(query.flows, name))
        parts.append(f"flow IN ({','.join(map(str, numbers))})")
    if query.ids:
        parts.append(f"id IN ({','.join('?' * len(query.ids))})")
        values += [key_of(flow_run_id) for flow_run_id in query.ids]
    if query.parent is not None:
        parts.append("parent = ?")
        values.append(key_of(query.parent))
    return " AND ".join(parts), values


def view(fleet: Fleet, index: RunIndex, flow_run_id: str) -> FlowRunView | None:
    """One flow run; also one that the index has not met yet."""
    sql = f"SELECT {_COLUMNS} FROM flows WHERE id = ?"
    row = index.tables.reader.execute(sql, (key_of(flow_run_id),)).fetchone()
    row = row or (None, key_of(flow_run_id), None, None, None, None, None)
    return next(iter(_views(fleet, index.tables, [row])), None)


def _views(fleet: Fleet, tables: Tables, rows: Sequence[Any]) -> list[FlowRunView]:
    """The records of flow runs; those that have expired are left out, unless their task runs are still there."""
    keys = fleet.broker.keys
    ids = [id_of(row[1]) for row in rows]
    replies = fleet.broker.wires.commands([("HGETALL", keys.flow(run_id)) for run_id in ids]) if ids else []
    found = []
    for run_id, row, reply in zip(ids, rows, replies, strict=True):
        fields = {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}
        counts = tables.flow_counts.get(row[0]) if row[0] is not None else None
        if fields or (counts and any(counts.values())):
            found.append(_view(tables, run_id, row, fields, counts or Counter()))
    return found


def _view(
    tables: Tables, run_id: str, row: Sequence[Any], fields: dict[str, bytes], counts: Counter[tuple[int, int]]
) -> FlowRunView:
    told = {name: value.decode("utf-8", "replace") for name, value in fields.items() if name != "message"}
    by_type: Counter[str] = Counter()
    for (_, state), count in list(counts.items()):
        by_type[tables.states[state][0]] += count
    type_ = told.get("type") or row[4] or "RUNNING"
    ended = row[5] if row[5] is not None else _milliseconds(told.get("at")) if type_ in ENDED_TYPES else None
    return FlowRunView(
        run_id,
        told.get("flow", ""),
        told.get("name", run_id),
        type_,
        told.get("state") or type_.capitalize(),
        message_of_flow(run_id, fields.get("message", b"")),
        _moment(row[2]),
        _moment(ended),
        int(told.get("runs") or 0),
        told.get("parent") or None,
        dict(+by_type),
    )


def _moment(milliseconds: float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(seconds: str | None) -> float | None:
    try:
        return float(seconds) * 1000 if seconds else None
    except ValueError:
        return None


# -- one -------------------------------------------------------------------------------------------------------------


def facts(queries: Queries, flow_run_id: str) -> FlowRunFacts | None:
    """A flow run with its task runs by task."""
    fleet, tables = queries.fleet, queries.index.tables
    run = view(fleet, queries.index, flow_run_id)
    if run is None:
        return None
    number = tables.known_flow(flow_run_id)
    kinds = _by_task(tables, number) if number is not None else {}
    firsts = {task: _first_runs(tables, number, cells) for task, cells in kinds.items()}
    shown = sorted((place, run_id) for some in firsts.values() for place, run_id in some)[:RUNS_OF_A_TIMELINE]
    runs = queries.views([run_id for _, run_id in shown])
    upstreams = beside.upstreams_of(fleet, [view.id for view in runs])
    groups = [_group(tables, task, number, cells, firsts[task], upstreams) for task, cells in kinds.items()]
    groups.sort(key=lambda group: group.created or datetime.max.replace(tzinfo=UTC))
    subflows = page(fleet, queries.index, FlowQuery(parent=flow_run_id), None, RUNS_OF_A_GROUP).runs
    return FlowRunFacts(run, groups, runs, upstreams, subflows, queries.logs(flow_run_id))


def _by_task(tables: Tables, flow: int) -> dict[str, Counter[Cell]]:
    found: dict[str, Counter[Cell]] = {}
    for cell, count in list(tables.flow_counts.get(flow, {}).items()):
        if count > 0:
            found.setdefault(tables.kinds[cell[0]][0], Counter())[cell] = count
    return found


def _first_runs(tables: Tables, flow: int | None, cells: Iterable[Cell]) -> list[tuple[int, str]]:
    sql = "SELECT seq, id FROM runs INDEXED BY runs_flow WHERE flow = ? AND kind = ? AND state = ? ORDER BY seq LIMIT ?"
    rows = [row for cell in cells for row in tables.reader.execute(sql, (flow, *cell, RUNS_OF_A_GROUP))]
    return [(seq, id_of(key)) for seq, key in sorted(rows)[:RUNS_OF_A_GROUP]]


def _group(
    tables: Tables,
    task: str,
    flow: int | None,
    cells: Counter[Cell],
    first: list[tuple[int, str]],
    upstreams: dict[str, list[str]],
) -> TaskGroup:
    states: Counter[str] = Counter()
    for (_, state), count in cells.items():
        states[tables.states[state][0]] += count
    times = [tables.flow_times.get((flow or 0, kind), [None, None]) for kind in {kind for kind, _ in cells}]
    are_over = all(
        tables.states[state][0] in ENDED_TYPES or tables.states[state][1] == "NotReady" for _, state in cells
    )
    looked_at = [run_id for _, run_id in first[:_LOOKED_AT]]
    above = {upstream for run_id in looked_at for upstream in upstreams.get(run_id, ())}
    return TaskGroup(
        task,
        dict(states),
        _moment(moment_of(first[0][0])) if first else None,
        _moment(min((began for began, _ in times if began is not None), default=None)),
        _moment(max((ended for _, ended in times if ended is not None), default=None)) if are_over else None,
        [run_id for _, run_id in first],
        tuple(sorted(_tasks_of(tables, above) - {task})),
    )


def _tasks_of(tables: Tables, run_ids: set[str]) -> set[str]:
    places = tables.sequences(run_ids, tables.reader)
    marks = ",".join(map(str, places.values()))
    rows = tables.reader.execute(f"SELECT DISTINCT kind FROM runs WHERE seq IN ({marks})")
    return {tables.kinds[kind][0] for (kind,) in rows}
