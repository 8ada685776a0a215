"""Which task's results went into which, as SVG: a box per task, the earlier ones at the left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape

from orchestrator.server.pages.formatting import tone
from orchestrator.server.pages.timeline import counted, worst_of
from orchestrator.server.view_models import FlowRunView, TaskGroup

_WIDE: Final = 190.0
_HIGH: Final = 46.0
_ACROSS: Final = 70.0
_DOWN: Final = 18.0
_BELOW: Final = 20.0  # room for arrows that pass other columns


def ranks_of(tasks: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The column of each task: one to the right of all that it needs. A cycle (a task that calls itself) ends.

    >>> ranks_of(["load", "clean", "report"], [("load", "clean"), ("clean", "report"), ("load", "report")])
    {'load': 0, 'clean': 1, 'report': 2}
    """
    ranks = dict.fromkeys(tasks, 0)
    for _ in tasks:
        moved = False
        for before, after in edges:
            if before != after and ranks[after] <= ranks[before] < len(tasks) - 1:
                ranks[after] = ranks[before] + 1
                moved = True
        if not moved:
            break
    return ranks


def dependency_graph(
    groups: Sequence[TaskGroup],
    root: str,
    flow_run_id: str,
    subflows: Sequence[FlowRunView] = (),
    names: Mapping[str, str] | None = None,
) -> Markup:
    """The picture; empty if there are no tasks.

    Args:
        groups: the tasks of a flow run.
        root: prefix of addresses.
        flow_run_id: whose runs a box leads to.
        subflows: flow runs inside it; those of one flow are one box.
        names: what tasks are called, where that is not their key.
    """
    inside = _flows_as_groups(subflows)
    links = {**{group.task: _runs_of(group, root, flow_run_id) for group in groups}, **_links(subflows, root)}
    groups = [*groups, *inside]
    known = {group.task for group in groups}
    pairs = [(before, group.task) for group in groups for before in group.after if before in known - {group.task}]
    ranks = ranks_of([group.task for group in groups], pairs)
    columns: dict[int, list[TaskGroup]] = {}
    for group in groups:
        columns.setdefault(ranks[group.task], []).append(group)
    tallest = max((len(column) for column in columns.values()), default=0)
    if not tallest:
        return Markup("")
    room = _BELOW if any(ranks[after] - ranks[before] > 1 for before, after in pairs) else 0.0
    high = tallest * (_HIGH + _DOWN) + 8
    wide = (max(columns) + 1) * (_WIDE + _ACROSS) - _ACROSS + 8
    places = {
        group.task: (
            4 + rank * (_WIDE + _ACROSS),
            4 + (high - len(column) * (_HIGH + _DOWN)) / 2 + at * (_HIGH + _DOWN),
        )
        for rank, column in columns.items()
        for at, group in enumerate(column)
    }
    title = "; ".join(f"{before} into {after}" for before, after in pairs) or "none depends on another"
    parts = [
        f'<svg viewBox="0 0 {wide:.0f} {high + room:.0f}" width="{wide:.0f}" height="{high + room:.0f}" role="group" '
        f'aria-label="Dependencies of {len(groups)} tasks: {escape(title[:600])}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0 8 4 0 8Z"/></marker></defs>',
        *(
            _edge(
                places[before],
                places[after],
                f"{before} into {after}",
                high if ranks[after] - ranks[before] > 1 else None,
            )
            for before, after in pairs
        ),
        *(_box(group, places[group.task], links[group.task], (names or {}).get(group.task, "")) for group in groups),
        "</svg>",
    ]
    return Markup("".join(parts))


def _edge(start: tuple[float, float], end: tuple[float, float], title: str, below: float | None) -> str:
    """An arrow; one that passes other columns goes below all boxes, at that height."""
    x1, y1 = start[0] + _WIDE, start[1] + _HIGH / 2
    x2, y2 = end[0] - 1, end[1] + _HIGH / 2
    if below is None:
        bend = max(30.0, (x2 - x1) / 2)
        path = f"C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    else:
        half = _ACROSS / 2
        path = (
            f"C{x1 + half:.0f} {y1:.0f} {x1 + half:.0f} {below:.0f} {x1 + _ACROSS:.0f} {below:.0f}"
            f"H{x2 - _ACROSS:.0f}C{x2 - half:.0f} {below:.0f} {x2 - half:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        )
    return (
        f'<path class="edge" marker-end="url(#tip)" d="M{x1:.0f} {y1:.0f}{path}"><title>{escape(title)}</title></path>'
    )


def _flows_as_groups(subflows: Sequence[FlowRunView]) -> list[TaskGroup]:
    states: dict[str, Counter[str]] = {}
    for run in subflows:
        states.setdefault(f"flow {run.flow}", Counter())[run.state_type] += 1
    return [TaskGroup(name, dict(counts), None, None, None, [], ()) for name, counts in states.items()]


def _links(subflows: Sequence[FlowRunView], root: str) -> dict[str, str]:
    """To the only run of a child flow, or to the list of them."""
    by_flow = Counter(run.flow for run in subflows)
    return {
        f"flow {run.flow}": f"{root}/flows/{quote(run.id, safe='')}"
        if by_flow[run.flow] == 1
        else f"{root}/flows?flow={quote(run.flow, safe='')}"
        for run in subflows
    }


def _runs_of(group: TaskGroup, root: str, flow_run_id: str) -> str:
    return f"{root}/runs?flow_run_id={quote(flow_run_id, safe='')}&task={quote(group.task, safe='')}"


def _box(group: TaskGroup, place: tuple[float, float], link: str, name: str) -> str:
    x, y = place
    name = name or group.task
    short = name if len(name) <= 25 else f"…{name[-24:]}"
    runs = "1 run" if group.count == 1 else f"{group.count:,} runs"
    worst = worst_of(group.states)
    stands = worst.lower() if group.count == 1 else f"{group.states.get(worst, 0):,} {worst.lower()}"
    return (
        f'<a class="node tone-{tone(worst)}" href="{escape(link)}">'
        f"<title>{escape(group.task)}: {escape(counted(group.states))}</title>"
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDE:.0f}" height="{_HIGH:.0f}" rx="7"/>'
        f'<text class="name" x="{x + 12:.0f}" y="{y + 19:.0f}">{escape(short)}</text>'
        f'<text x="{x + 12:.0f}" y="{y + 36:.0f}">{escape(runs)} · {escape(stands)}</text></a>'
    )
