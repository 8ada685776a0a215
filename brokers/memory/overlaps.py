"""Whether a tick has a run while the one before it is not over, in memory; ``tick.lua`` says the same on a server."""

from __future__ import annotations

from brokers.messages import FINAL_STATUSES, Status
from brokers.schema import Reason, ScriptedEnd

from .facets import MemoryRuns
from .store import MemoryRun, MemoryStore

SUPERSEDED = ScriptedEnd("a later run of its schedule took its place", Reason.SUPERSEDED).pack()


def place_among(store: MemoryStore, runs: MemoryRuns, open_run: str, behind: str, overlap: str) -> tuple[bool, str]:
    """Whether there is to be a run now, and behind which other one it waits (empty: behind none).

    Args:
        store: of the runs.
        runs: which are cancelled here.
        open_run: the last run of the schedule, which may be over.
        behind: the one that it waits for, or waited for.
        overlap: as :class:`brokers.facets.schedules.Tick` has it.
    """
    if overlap == "allow":
        return True, ""
    if (run := _open(store, open_run)) is None:
        return True, _if_open(store, behind)
    if overlap == "skip":
        return False, ""
    if overlap == "cancel-running":
        runs.cancel([open_run], "the next run of its schedule has come")
        return True, _if_open(store, open_run) or _if_open(store, behind)
    if run.has_begun:
        return True, open_run
    if overlap == "buffer-one":
        return False, ""
    store.end(open_run, Status.CANCELLED, SUPERSEDED)
    return True, _if_open(store, behind)


def _open(store: MemoryStore, run_id: str) -> MemoryRun | None:
    run = store.runs.get(run_id)
    return run if run is not None and run.status not in FINAL_STATUSES else None


def _if_open(store: MemoryStore, run_id: str) -> str:
    return run_id if _open(store, run_id) is not None else ""
