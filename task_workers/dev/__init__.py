"""``orchestrator dev``: everything that an application needs, in one terminal.

``target.py`` finds what an application consists of; ``app_process.py`` runs one process and prefixes its
output; ``dev_server.py`` starts the processes, reloads them when a file changes, and stops them.
"""

from __future__ import annotations

from task_workers.dev.dev_server import DevOptions, DevServer
from task_workers.dev.target import Target, target_of

__all__ = ["DevOptions", "DevServer", "Target", "target_of"]
