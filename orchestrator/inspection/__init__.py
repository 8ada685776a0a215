"""What the store tells of runs, made fit for people: the command line, the web kit and the dashboard read it from here.

``values.py`` shows arguments and results without running any code of theirs; ``views.py`` makes one table of what is
known of a run; ``walking.py`` finds runs, newest first; ``acting.py`` cancels, retries and deletes; ``queues.py`` and
``workers.py`` are about the fleet itself, and steer it.
"""

from __future__ import annotations

from orchestrator.inspection.acting import cancel_runs, delete_runs, retry_runs
from orchestrator.inspection.queues import QueueView, pause_queue, purge_queue, queues_of, resume_queue
from orchestrator.inspection.values import REDACTED, Redaction
from orchestrator.inspection.views import RunDetail, RunView, detail_of, views_of
from orchestrator.inspection.walking import RunFilter, Walk, walk_runs
from orchestrator.inspection.workers import (
    Answer,
    WorkerView,
    parameter_names,
    pause_workers,
    ping_workers,
    resume_workers,
    stop_workers,
    workers_of,
)

__all__ = [
    "REDACTED",
    "Answer",
    "QueueView",
    "Redaction",
    "RunDetail",
    "RunFilter",
    "RunView",
    "Walk",
    "WorkerView",
    "cancel_runs",
    "delete_runs",
    "detail_of",
    "parameter_names",
    "pause_queue",
    "pause_workers",
    "ping_workers",
    "purge_queue",
    "queues_of",
    "resume_queue",
    "resume_workers",
    "retry_runs",
    "stop_workers",
    "views_of",
    "walk_runs",
    "workers_of",
]
