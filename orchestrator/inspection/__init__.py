"""Runs, queues and workers in readable form, for the command line, the web integrations and the dashboard.

``values.py`` renders arguments and results without running user code; ``views.py`` collects what is known of a run;
``run_walk.py`` and ``id_lookup.py`` find runs, newest first; ``actions.py`` cancels, retries and deletes them;
``queues.py`` and ``workers.py`` show and control queues and workers.
"""

from __future__ import annotations

from orchestrator.inspection.actions import cancel_runs, delete_runs, retry_runs, run_now
from orchestrator.inspection.flow_runs import FlowRunFilter, FlowRunRow, flow_run_rows, flow_runs_of
from orchestrator.inspection.id_lookup import find_run_ids
from orchestrator.inspection.known_flows import KnownFlow, known_flows
from orchestrator.inspection.queues import QueueView, pause_queue, purge_queue, queues_of, republish_queue, resume_queue
from orchestrator.inspection.run_walk import RunFilter, Walk, walk_runs
from orchestrator.inspection.values import REDACTED, Redaction
from orchestrator.inspection.views import RunDetail, RunView, detail_of, views_of
from orchestrator.inspection.workers import (
    Reply,
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
    "FlowRunFilter",
    "FlowRunRow",
    "KnownFlow",
    "QueueView",
    "Redaction",
    "Reply",
    "RunDetail",
    "RunFilter",
    "RunView",
    "Walk",
    "WorkerView",
    "cancel_runs",
    "delete_runs",
    "detail_of",
    "find_run_ids",
    "flow_run_rows",
    "flow_runs_of",
    "known_flows",
    "parameter_names",
    "pause_queue",
    "pause_workers",
    "ping_workers",
    "purge_queue",
    "queues_of",
    "republish_queue",
    "resume_queue",
    "resume_workers",
    "retry_runs",
    "run_now",
    "stop_workers",
    "views_of",
    "walk_runs",
    "workers_of",
]
