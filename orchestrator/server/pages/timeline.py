"""The runs of a flow over time, as SVG: one row per run, or one per task where a task has many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape

from orchestrator.inspection import RunView
from orchestrator.server.pages.formatting import called, named, span, tone
from orchestrator.server.view_models import FlowRunView, TaskGroup

MAX_SINGLE: Final = 8  # runs of one task that get rows of their own; more of them share one row
MAX_ROWS: Final = 120
_LABEL: Final = 240.0
_WIDTH: Final = 1000.0
_ROW: Final = 24.0
_WORST_FIRST: Final = (
    "FAILED", "CRASHED", "NOT READY", "RUNNING", "CANCELLING", "PENDING", "SCHEDULED", "PAUSED", "CANCELLED",
    "COMPLETED",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lane:
    """One row. Moments that are not known are ``None``."""

    label: str
    summary: str  # shown on hover
    state_type: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    link: str
    has_failures: bool = False  # marked in a row that stands for many

    @property
    def began(self) -> datetime | None:
        """The earliest moment known."""
        return self.created or self.started

    def until(self, now: datetime) -> datetime:
        """Where the row ends: now, while the work goes on."""
        return self.ended or now


def worst_of(states: Mapping[str, int]) -> str:
    """The state type that matters most.

    >>> worst_of({"COMPLETED": 999, "FAILED": 1})
    'FAILED'
    """
    return next((kind for kind in _WORST_FIRST if states.get(kind)), "PENDING")


def counted(states: Mapping[str, int]) -> str:
    """Counts of states in words.

    >>> counted({"COMPLETED": 1999, "FAILED": 1})
    '1,999 completed, 1 failed'
    """
    most_first = sorted(states.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{number:,} {kind.lower()}" for kind, number in most_first if number)


def lanes_of(
    groups: Sequence[TaskGroup],
    runs: Sequence[RunView],
    opened: str | None,
    root: str,
    here: str,
    subflows: Sequence[FlowRunView] = (),
) -> list[Lane]:
    """The rows, in the order of the groups; child flows where they began.

    Args:
        groups: the tasks of a flow run.
        runs: its first runs; those of small groups, and of the opened one, get rows of their own.
        opened: a task.
        root: prefix of addresses.
        here: address of the flow run's page.
        subflows: flow runs inside this one.
    """
    by_task: dict[str, list[RunView]] = {}
    for run in runs:
        by_task.setdefault(run.task, []).append(run)
    lanes: list[Lane] = []
    for group in groups:
        mine = by_task.get(group.task, [])
        if mine and (group.count <= MAX_SINGLE or group.task == opened):
            lanes += [_lane_of_run(run, root) for run in mine]
        else:
            lanes.append(_lane_of_group(group, here, named(mine[0]) if mine else ""))
    if not subflows:
        return lanes
    latest = datetime.max.replace(tzinfo=UTC)
    return sorted([*lanes, *(_lane_of_flow(run, root) for run in subflows)], key=lambda lane: lane.began or latest)


def _lane_of_flow(run: FlowRunView, root: str) -> Lane:
    link = f"{root}/flows/{quote(run.id, safe='')}"
    return Lane(f"flow {run.name}", run.state_name, run.state_type, run.created, run.created, run.ended, link)


def _lane_of_run(run: RunView, root: str) -> Lane:
    link = f"{root}/runs/{quote(run.id, safe='')}"
    mood = "NOT READY" if run.state_name == "NotReady" else run.state_type
    return Lane(called(run), run.state_name, mood, run.created, run.started, run.ended, link)


def _lane_of_group(group: TaskGroup, here: str, name: str = "") -> Lane:
    link = f"{here}?open={quote(group.task, safe='')}#runs"
    summary = counted(group.states)
    label = f"{name or group.task} × {group.count:,}"
    failed = bool(group.states.get("FAILED") or group.states.get("CRASHED"))
    mood = "COMPLETED" if group.ended else "RUNNING" if group.started else "PENDING"
    return Lane(label, summary, mood, group.created, group.started, group.ended, link, failed)


def timeline(lanes: Sequence[Lane], now: datetime) -> Markup:
    """The picture of the first :data:`MAX_ROWS` rows; empty if nothing has begun.

    Args:
        lanes: the rows.
        now: where work that has not ended is drawn to.
    """
    shown = lanes[:MAX_ROWS]
    begins = [moment for lane in shown if (moment := lane.began)]
    if not begins:
        return Markup("")
    first = min(begins)
    whole = max((max(lane.until(now) for lane in shown) - first).total_seconds(), 0.001)
    height = 22 + _ROW * len(shown)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" height="{height:.0f}" role="group" '
        f'aria-label="Timeline of {len(shown)} rows over {escape(span(whole))}; the table below says the same">',
        *_axis(whole, height),
        *(_row(lane, at, first, whole, now) for at, lane in enumerate(shown)),
        "</svg>",
    ]
    return Markup("".join(parts))


def _axis(whole: float, height: float) -> list[str]:
    parts = []
    for step in range(5):
        x = _LABEL + (_WIDTH - _LABEL - 10) * step / 4
        anchor = "end" if step == 4 else "middle" if step else "start"
        summary = escape(span(whole * step / 4) if step else "0 s")
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{height:.0f}"/>')
        parts.append(f'<text x="{x:.1f}" y="11" text-anchor="{anchor}">{summary}</text>')
    return parts


def _row(lane: Lane, at: int, first: datetime, whole: float, now: datetime) -> str:
    top = 20 + _ROW * at
    label = lane.label if len(lane.label) <= 36 else f"…{lane.label[-35:]}"
    parts = [
        f'<a class="lane" href="{escape(lane.link)}"><title>{escape(lane.label)}: {escape(_title(lane, now))}</title>',
        f'<rect class="band" x="0" y="{top:.0f}" width="{_WIDTH:.0f}" height="{_ROW:.0f}"/>',
        f'<text class="label" x="4" y="{top + 16:.0f}">{escape(label)}</text>',
    ]
    begun = lane.started or lane.began
    if begun is not None:
        left, right = _place(begun, first, whole), _place(lane.until(now), first, whole)
        left = min(left, _WIDTH - 13)
        width = max(right - left, 3.0)
        if lane.created and lane.started and lane.started > lane.created:
            waited = _place(lane.created, first, whole)
            parts.append(_rect("fill tone-pending", waited, top + 11, left - waited, 2))
        high = 14.0 if lane.started else 2.0  # what has only waited is a thin line
        parts.append(_rect(f"fill tone-{tone(lane.state_type)}", left, top + 12 - high / 2, width, high))
        if lane.has_failures:
            parts.append(_rect("strip", left, top + 16, width, 4))
    return "".join([*parts, "</a>"])


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    corner = 3 if height > 4 else 0
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.0f}" rx="{corner}"/>'


def _title(lane: Lane, now: datetime) -> str:
    parts = [lane.summary]
    if lane.started:
        if lane.created:
            parts.append(f"waited {span(max(0.0, (lane.started - lane.created).total_seconds()))}")
        parts.append(f"ran {span(max(0.0, (lane.until(now) - lane.started).total_seconds()))}")
    return ", ".join(parts)


def _place(moment: datetime, first: datetime, whole: float) -> float:
    return _LABEL + (_WIDTH - _LABEL - 10) * min(max((moment - first).total_seconds() / whole, 0.0), 1.0)
