"""Top floor: processes. ``serve(*tasks)`` runs tasks in this process; ``orchestrator worker`` runs a fleet of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from task_workers.serving import serve as serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        from task_workers.serving import serve

        return serve
    raise AttributeError(f"module 'task_workers' has no attribute {name!r}")
