"""Fields of run records that lists do not read: progress, upstream runs, arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from orchestrator.client.fleet import Fleet
from orchestrator.inspection import Redaction, RunView
from orchestrator.inspection.values import arguments_text
from orchestrator.submission.signed_calls import call_context

MAX_UPSTREAMS: Final = 100  # of one run


def progress_of(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, dict[str, object]]:
    """The reported progress of runs: ``done``, ``total``, ``note``, ``fraction`` and ``moment``."""
    if not run_ids:
        return {}
    return {
        run_id: {**progress._asdict(), "fraction": progress.fraction}
        for run_id, progress in fleet.logs.progress_of(list(run_ids)).items()
    }


def upstreams_of(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Run -> the runs whose results it takes, of those that take any."""
    if not run_ids:
        return {}
    packed_lists = fleet.broker.records.upstreams(run_ids)
    return {run_id: _ids(packed) for run_id, packed in zip(run_ids, packed_lists, strict=True) if packed}


def arguments_of(
    fleet: Fleet, runs: Sequence[RunView], redaction: Redaction, names: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Run -> its arguments as its page shows them, without what is secret; of those whose arguments are kept."""
    found = {}
    bodies = fleet.broker.records.bodies([run.id for run in runs])
    for run, (body, meta) in zip(runs, bodies, strict=True):
        try:
            context = call_context(run.task, run.id, meta)
            pairs = arguments_text(body, context, redaction, names.get(run.task, ())) if body else []
        except Exception:  # sealed with another key, or damaged: no arguments can be shown
            continue
        found[run.id] = "\n".join(f"{name}={text}" for name, text in pairs)
    return found


def _ids(packed: bytes) -> list[str]:
    try:
        read: Any = msgpack.unpackb(packed)
        return list(dict.fromkeys(str(run_id) for run_id in read))[:MAX_UPSTREAMS]
    except Exception:  # a damaged record has no upstreams
        return []
