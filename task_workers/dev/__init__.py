"""``orchestrator dev``: everything that an application needs, in one terminal.

``target.py`` finds out what the named application consists of; ``parts.py`` are its processes, whose output is shown
line by line under their names; ``stage.py`` starts them, renews them when a file changes, and ends them.
"""

from __future__ import annotations

from task_workers.dev.stage import Stage, Wishes
from task_workers.dev.target import Target, target_of

__all__ = ["Stage", "Target", "Wishes", "target_of"]
