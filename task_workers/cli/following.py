"""A run as it goes on: its states, its progress, its log lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from orchestrator.fleet import Fleet
    from orchestrator.log_shipper import LogLine

LOOK_SECONDS: Final = 0.25
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


class Stands(NamedTuple):
    """The run has a new state."""

    type: str
    name: str
    message: str | None
    task: str

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.type in ENDED


class Line(NamedTuple):
    """The run has said something."""

    timestamp: datetime
    level: str
    message: str


class Advance(NamedTuple):
    """The run has come so far."""

    done: float
    total: float | None
    note: str | None


News: TypeAlias = Stands | Line | Advance


def known(fleet: Fleet, run_id: str) -> bool:
    """Whether there is a record of this task run or flow run."""
    return _standing(fleet, run_id) is not None


def follow_run(fleet: Fleet, run_id: str, until_end: bool = True) -> Iterator[News]:
    """What happens to a run: what has happened until now first, its end last.

    A run that is not known (any more) just ends here.

    Raises:
        BrokerError: the server does not answer.
    """
    before: Stands | None = None
    seen: Sequence[LogLine] = ()
    told: Any = None
    while True:
        standing = _standing(fleet, run_id)
        lines = fleet.logs.read(run_id)  # after the state: the lines of a run that has ended are complete
        if standing is not None and not standing.ended and standing != before:
            yield standing
        for line in _news_in(seen, lines):
            yield Line(*line)
        seen = lines
        progress = _progress(fleet, run_id)
        if progress is not None and progress != told:
            yield progress
            told = progress
        if standing is None or standing.ended:
            if standing is not None:
                yield standing
            return
        before = standing
        if not until_end:
            return
        time.sleep(LOOK_SECONDS)


def _standing(fleet: Fleet, run_id: str) -> Stands | None:
    from orchestrator.inspection import views_of
    from orchestrator.outcomes import message_of_flow

    for view in views_of(fleet, [run_id]):
        return Stands(view.state_type, view.state_name, view.message, view.task)
    flow = fleet.broker.read_flow_run(run_id)
    if not flow:
        return None
    kind, name, flow_name = (flow.get(field, b"").decode() for field in ("type", "state", "flow"))
    return Stands(kind, name or kind.capitalize(), message_of_flow(run_id, flow.get("message", b"")), flow_name)


def _progress(fleet: Fleet, run_id: str) -> Advance | None:
    progress = fleet.logs.progress_of([run_id]).get(run_id)
    return Advance(progress.done, progress.total, progress.note) if progress is not None else None


def _news_in(seen: Sequence[LogLine], lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines that were not there before; a run keeps its last ones only, so that the first may be gone.

    >>> _news_in(["a", "b"], ["b", "c"]), _news_in(["a"], ["a", "b"]), _news_in(["a"], ["x"])
    (['c'], ['b'], ['x'])
    """
    for dropped in range(len(seen)):
        kept = len(seen) - dropped
        if list(lines[:kept]) == list(seen[dropped:]):
            return lines[kept:]
    return lines
