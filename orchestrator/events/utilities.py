"""``prefect.events.utilities``, see the package."""

from orchestrator.events.emitting import emit_event

__all__ = ["emit_event"]
