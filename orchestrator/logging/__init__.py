"""Logs of runs, where Prefect has them: ``from prefect.logging import get_run_logger``."""

from __future__ import annotations

from logging import Logger, getLogger

from orchestrator.observability.run_logs import disable_run_logger, get_run_logger

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]


def get_logger(name: str | None = None) -> Logger:
    """The logger ``orchestrator``, or one below it. Follows Prefect 3 (``prefect.logging.get_logger``).

    >>> get_logger("loading").name
    'orchestrator.loading'
    """
    if name is None or name == "orchestrator":
        return getLogger("orchestrator")
    return getLogger(name if name.startswith("orchestrator.") else f"orchestrator.{name}")
