"""Flow runs in lists: found in the index, shown from their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgpack

from brokers.stored import number, whole
from orchestrator.client.fleet import Fleet
from orchestrator.inspection.flow_run_standings import shown_states
from orchestrator.inspection.flow_run_states import ShownState
from orchestrator.serializers.outcomes import message_of_flow
from orchestrator.server.index import RunIndex
from orchestrator.server.index.encoding import id_of, key_of
from orchestrator.server.index.tables import ENDED_TYPES, Tables
from orchestrator.server.queries.reach import Reach, seconds_of
from orchestrator.server.view_models import (
    MAX_COUNTED,
    NOT_READY,
    Count,
    FlowRunPage,
    FlowRunView,
    any_of,
)

_OPEN_TYPES: Final = ("RUNNING", "PENDING", "SCHEDULED", "CANCELLING", "PAUSED")
_OPEN_NAMES: Final = frozenset((*_OPEN_TYPES, "LATE", "AWAITINGCONCURRENCYSLOT", "NOTREADY", "RETRYING"))
_MAX_PORTIONS: Final = 20  # of a page, that are looked at for one with runs in the states that are wanted
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_COLUMNS: Final = "number, id, created, flow, type, ended, parent"


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """Which flow runs to find; an empty field matches all."""

    states: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    parent: str | None = None
    deployments: tuple[str, ...] = ()  # ids
    reach: Reach | None = None  # of whoever asks

    def has_state(self, run: FlowRunView) -> bool:
        """Whether the state of a flow run is wanted."""
        wanted = {state.lower() for state in self.states}
        return not wanted or run.state_type.lower() in wanted or run.state_name.lower() in wanted

    def matches(self, run: FlowRunView) -> bool:
        """Whether a flow run matches, by its record."""
        return (
            self.has_state(run)
            and any_of(self.flows, run.flow)
            and (self.parent is None or run.parent_flow_run_id == self.parent)
            and (not self.deployments or run.deployment_id in self.deployments)
            and self.reaches(run)
        )

    def reaches(self, run: FlowRunView) -> bool:
        """Whether whoever asks sees it."""
        return self.reach is None or self.reach.has_flow_run(run.flow, run.deployment_id, seconds_of(run.created))


def page(fleet: Fleet, index: RunIndex, query: FlowQuery, before: str | None, limit: int) -> FlowRunPage:
    """The newest flow runs that match. Raises ValueError for a cursor that is none."""
    tables = index.tables
    if query.ids:
        named = _named(fleet, tables, query)
        return FlowRunPage(named[:limit], None, Count(len(named)))
    where, values = _condition(tables, query)
    kept, following = _filled(fleet, tables, where, values, query, _cursor(before), limit)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM flows WHERE {where} LIMIT ?)"
    total = tables.reader.execute(sql, (*values, MAX_COUNTED + 1)).fetchone()[0]
    return FlowRunPage(kept, following, Count(min(total, MAX_COUNTED), total > MAX_COUNTED))


def _named(fleet: Fleet, tables: Tables, query: FlowQuery) -> list[FlowRunView]:
    """The matching ones among the ids of a query, newest first; from records alone, for the index may lag."""
    rows = [_row(tables, run_id) for run_id in dict.fromkeys(query.ids)]
    found = [run for run in _views(fleet, tables, rows) if query.matches(run)]
    return sorted(found, key=lambda run: run.created or _NEVER, reverse=True)


def _row(tables: Tables, flow_run_id: str) -> Sequence[Any]:
    """What the index knows of a flow run; of one that it does not know its id."""
    sql = f"SELECT {_COLUMNS} FROM flows WHERE id = ?"
    row = tables.reader.execute(sql, (key_of(flow_run_id),)).fetchone()
    return row or (None, key_of(flow_run_id), None, None, None, None, None)


def _filled(
    fleet: Fleet, tables: Tables, where: str, values: list[Any], query: FlowQuery, before: tuple[int, int], limit: int
) -> tuple[list[FlowRunView], str | None]:
    """So many flow runs, and the cursor behind them; the state of an open one is known to record and call only."""
    sql = f"SELECT {_COLUMNS} FROM flows WHERE {where} AND (created, number) < (?, ?) "
    sql += "ORDER BY created DESC, number DESC LIMIT ?"
    kept: list[FlowRunView] = []
    for _ in range(_MAX_PORTIONS):
        rows = tables.reader.execute(sql, (*values, *before, limit + 1)).fetchall()
        places = {id_of(row[1]): (row[2], row[0]) for row in rows}
        views = _views(fleet, tables, rows[:limit])
        fitting = [run for run in views if query.has_state(run) and query.reaches(run)]
        is_cut = len(fitting) > limit - len(kept)
        kept += fitting[: limit - len(kept)]
        if not is_cut and len(rows) <= limit:
            return kept, None
        before = places[kept[-1].id] if len(kept) == limit else (rows[limit - 1][2], rows[limit - 1][0])
        if len(kept) == limit:
            break
    return kept, f"{before[0]}.{before[1]}"


def _cursor(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1 << 60, 0
    created, _, number = text.partition(".")
    if not (text.isascii() and created.isdigit() and number.isdigit() and len(text) < 36):
        raise ValueError(f"{text[:40]!r} is not a cursor: give one that a page had, or none")
    return min(int(created), 1 << 60), min(int(number), 1 << 60)


def cursor_after(index: RunIndex, flow_run_id: str) -> str | None:
    """The cursor of the page that begins behind a flow run; ``None`` if it is not known."""
    sql = "SELECT created, number FROM flows WHERE id = ?"
    row = index.tables.reader.execute(sql, (key_of(flow_run_id),)).fetchone()
    return None if row is None else f"{row[0]}.{row[1]}"


def _condition(tables: Tables, query: FlowQuery) -> tuple[str, list[Any]]:
    parts = ["1"]
    values: list[Any] = []
    if query.states:
        types = _types_of(query.states)
        parts.append(f"coalesce(type, 'RUNNING') IN ({','.join('?' * len(types))})")
        values += types
    if query.flows:
        numbers = tables.flow_names.where(lambda name: any_of(query.flows, name))
        parts.append(f"flow IN ({','.join(map(str, numbers))})")
    if query.deployments:
        parts.append(f"deployment IN ({','.join('?' * len(query.deployments))})")
        values += [key_of(deployment_id) for deployment_id in query.deployments]
    if (reach := query.reach) is not None:
        numbers = tables.flow_names.where(reach.has_runs_of)
        ids = list(reach.deployments)
        of_flows = f"deployment IS NULL AND flow IN ({','.join(map(str, numbers))})"
        parts.append(f"(deployment IN ({','.join('?' * len(ids))}) OR ({of_flows}))")
        values += [key_of(deployment_id) for deployment_id in ids]
    if query.parent is not None:
        parts.append("parent = ?")
        values.append(key_of(query.parent))
    return " AND ".join(parts), values


def _types_of(states: Sequence[str]) -> list[str]:
    """The types that the index may have of flow runs in such states: it knows how one ended, or that it is open.

    >>> _types_of(["Failed"]), "SCHEDULED" in _types_of(["Late"]), "FAILED" in _types_of(["Late"])
    (['FAILED'], True, False)
    """
    wanted = {state.upper() for state in states}
    ended = [type_ for type_ in sorted(ENDED_TYPES) if type_ in wanted]
    if len(ended) == len(wanted):
        return ended
    others = wanted - set(ended)
    names_of_ends = others - _OPEN_NAMES
    return [*(sorted(ENDED_TYPES) if names_of_ends else ended), *_OPEN_TYPES]


def view(fleet: Fleet, index: RunIndex, flow_run_id: str) -> FlowRunView | None:
    """One flow run; also one that the index does not know yet."""
    tables = index.tables
    return next(iter(_views(fleet, tables, [_row(tables, flow_run_id)])), None)


def _views(fleet: Fleet, tables: Tables, rows: Sequence[Any]) -> list[FlowRunView]:
    """The records of flow runs; those that have expired are left out, unless their task runs are still there."""
    ids = [id_of(row[1]) for row in rows]
    records = fleet.broker.flow_runs.read_many(ids)
    states = shown_states(fleet, dict(zip(ids, records, strict=True)))
    found = []
    for run_id, row, fields in zip(ids, rows, records, strict=True):
        counts = tables.flow_counts.get(row[0]) if row[0] is not None else None
        if fields or (counts and any(counts.values())):
            state = states.get(run_id) or ShownState(row[4] or "RUNNING", (row[4] or "RUNNING").capitalize())
            found.append(_view(tables, run_id, row, fields, counts or Counter(), state))
    return found


def _view(
    tables: Tables,
    run_id: str,
    row: Sequence[Any],
    fields: dict[str, bytes],
    counts: Counter[tuple[int, int]],
    state: ShownState,
) -> FlowRunView:
    texts = {name: value.decode("utf-8", "replace") for name, value in fields.items() if name != "message"}
    by_type: Counter[str] = Counter()
    for (_, cell), count in list(counts.items()):
        by_type[counted_as(tables, cell)] += count
    ended = row[5] if row[5] is not None else _milliseconds(texts.get("at")) if state.type in ENDED_TYPES else None
    began = _milliseconds(texts.get("began"))
    return FlowRunView(
        run_id,
        texts.get("flow", ""),
        texts.get("name", run_id),
        state.type,
        state.name,
        message_of_flow(run_id, fields.get("message", b"")),
        to_datetime(_milliseconds(texts.get("created")) or began or row[2]),
        to_datetime(ended),
        whole(texts.get("runs")),
        texts.get("parent") or None,
        dict(+by_type),
        started=to_datetime(began),
        expected=to_datetime(_milliseconds(texts.get("expected"))),
        deployment=texts.get("dname") or None,
        deployment_id=texts.get("deployment") or None,
        version=whole(texts.get("version")) or None,
        schedule_id=texts.get("schedule") or None,
        tags=_tags(fields.get("tags")),
        work_pool=texts.get("pool") or None,
    )


def _tags(packed: bytes | None) -> tuple[str, ...]:
    try:
        tags = msgpack.unpackb(packed) if packed else ()
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return ()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def counted_as(tables: Tables, state: int) -> str:
    """The state type under which pages count a run in this state."""
    type_, name = tables.states[state]
    return NOT_READY if name == "NotReady" else type_


def to_datetime(milliseconds: float | None) -> datetime | None:
    """Milliseconds since 1970 as a moment in UTC."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(seconds: str | None) -> float | None:
    found = number(seconds)
    return found * 1000 if found and 0 < found < 1e11 else None
