"""Our loggers stay on: ``logging.config.dictConfig`` disables every logger that it does not name.

Many libraries and settings modules call it (Django does), often late, and what a worker or a run has to say after that
would be lost without a word. Whoever wants less sets levels, or ``propagate``.
"""

from __future__ import annotations

import logging
from typing import Any


class StaysOn(logging.Logger):
    """A logger that cannot be disabled."""

    @property
    def disabled(self) -> bool:
        """Never."""
        return False

    @disabled.setter
    def disabled(self, value: Any) -> None:
        return None


def keep_on() -> None:
    """Every logger of ours that exists stays on from now on."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.split(".")[0] == "orchestrator" and type(logger) is logging.Logger:
            logger.__class__ = StaysOn
            logger.__dict__.pop("disabled", None)
