"""What the store tells of runs, made fit for people: the command line, the web kit and the dashboard read it from here.

``values.py`` shows arguments and results without running any code of theirs; ``views.py`` makes one table of what is
known of a run; ``walking.py`` finds runs, newest first; ``acting.py`` cancels, retries and deletes.
"""

from __future__ import annotations

from orchestrator.inspection.acting import cancel_runs, delete_runs, retry_runs
from orchestrator.inspection.values import REDACTED, Redaction
from orchestrator.inspection.views import RunDetail, RunView, detail_of, views_of
from orchestrator.inspection.walking import RunFilter, Walk, walk_runs

__all__ = [
    "REDACTED",
    "Redaction",
    "RunDetail",
    "RunFilter",
    "RunView",
    "Walk",
    "cancel_runs",
    "delete_runs",
    "detail_of",
    "retry_runs",
    "views_of",
    "walk_runs",
]
