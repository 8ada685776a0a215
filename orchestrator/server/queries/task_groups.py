"""The task runs of a flow run, one group per task: a map of thousands is one row with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from orchestrator.server.index.encoding import id_of, moment_of
from orchestrator.server.index.tables import ENDED_TYPES, Tables
from orchestrator.server.queries.flow_run_rows import counted_as, to_datetime
from orchestrator.server.view_models import TaskGroup

MAX_GROUP_RUNS: Final = 50
_UPSTREAM_SAMPLE: Final = 3  # runs of a group whose upstreams are read
Cell = tuple[int, int]  # kind and state


def cells_by_task(tables: Tables, flow: int) -> dict[str, Counter[Cell]]:
    """Task -> how many runs of this flow run are in each of its cells."""
    found: dict[str, Counter[Cell]] = {}
    for cell, count in list(tables.flow_counts.get(flow, {}).items()):
        if count > 0:
            found.setdefault(tables.kinds[cell[0]][0], Counter())[cell] = count
    return found


def first_runs(tables: Tables, flow: int | None, cells: Iterable[Cell]) -> list[tuple[int, str]]:
    """The first runs of a task in a flow run: sequence number and id, oldest first."""
    sql = "SELECT seq, id FROM runs INDEXED BY runs_flow WHERE flow = ? AND kind = ? AND state = ? ORDER BY seq LIMIT ?"
    rows = [row for cell in cells for row in tables.reader.execute(sql, (flow, *cell, MAX_GROUP_RUNS))]
    return [(seq, id_of(key)) for seq, key in sorted(rows)[:MAX_GROUP_RUNS]]


def task_group(
    tables: Tables,
    task: str,
    flow: int | None,
    cells: Counter[Cell],
    first: list[tuple[int, str]],
    upstreams: dict[str, list[str]],
) -> TaskGroup:
    """The runs of one task in a flow run, as one row with counts."""
    states: Counter[str] = Counter()
    for (_, state), count in cells.items():
        states[counted_as(tables, state)] += count
    times = [tables.flow_times.get((flow or 0, kind), [None, None]) for kind in {kind for kind, _ in cells}]
    all_ended = all(
        tables.states[state][0] in ENDED_TYPES or tables.states[state][1] == "NotReady" for _, state in cells
    )
    sample = [run_id for _, run_id in first[:_UPSTREAM_SAMPLE]]
    above = {upstream for run_id in sample for upstream in upstreams.get(run_id, ())}
    return TaskGroup(
        task,
        dict(states),
        to_datetime(moment_of(first[0][0])) if first else None,
        to_datetime(min((began for began, _ in times if began is not None), default=None)),
        to_datetime(max((ended for _, ended in times if ended is not None), default=None)) if all_ended else None,
        [run_id for _, run_id in first],
        tuple(sorted(_tasks_of(tables, above) - {task})),
    )


def _tasks_of(tables: Tables, run_ids: set[str]) -> set[str]:
    places = tables.sequences(run_ids, tables.reader)
    marks = ",".join(map(str, places.values()))
    rows = tables.reader.execute(f"SELECT DISTINCT kind FROM runs WHERE seq IN ({marks})")
    return {tables.kinds[kind][0] for (kind,) in rows}
