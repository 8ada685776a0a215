"""Top floor: processes. ``serve(*tasks)`` runs tasks in this process; ``orchestrator worker`` runs a fleet of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

try:
    from orchestrator import neighbours as neighbours
except ImportError as error:
    theirs = getattr(sys.modules.get("orchestrator"), "__file__", None) or error.path
    raise ImportError(
        f"the package 'orchestrator' that task_workers needs has the same name as {theirs}, which is imported instead. "
        f"Rename {theirs}",
        name="orchestrator",
        path=theirs,
    ) from error

if TYPE_CHECKING:
    from task_workers.serving import serve as serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        from task_workers.serving import serve

        return serve
    raise AttributeError(f"module 'task_workers' has no attribute {name!r}")
