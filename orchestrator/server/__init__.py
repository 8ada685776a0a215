"""The server that shows a fleet: a JSON API, pages for people, and the index of runs behind both.

``orchestrator server start`` runs it; ``make_app()`` is for mounting it in an application of one's own. It needs the
extra ``orchestrator[web]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.server.app import make_app

__all__ = ["make_app"]


def __getattr__(name: str) -> Any:
    if name == "make_app":
        from orchestrator.server.app import make_app

        return make_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
