"""``prefect.utilities.annotations``, see :mod:`orchestrator.runnables.annotations`."""

from orchestrator.runnables.annotations import allow_failure, freeze, opaque, quote, unmapped

__all__ = ["allow_failure", "freeze", "opaque", "quote", "unmapped"]
