"""What a plain script shows: lines of its runs and our warnings on standard error, until it sets up ``logging`` itself.

The handler comes to the logger ``orchestrator`` when it is first needed. It is silent for every record that another
handler gets (one of the root logger's, or on the way there), so that nothing is shown twice, and it is kept out of
workers, which write lines of their own.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from orchestrator.observability.plain_text import printable

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class ConsoleHandler(logging.Handler):
    """``20:15:01.123 | INFO    | Task run 'get-stars-a1b' - ...`` on the standard error of this moment."""

    def __init__(self) -> None:
        super().__init__()
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record that nobody else gets; never raises."""
        try:
            if sys.stderr is not None and self._is_wanted(record):
                sys.stderr.write(self.line(record) + "\n")
                sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        from orchestrator.settings import current

        if _kept_out or _has_another_handler(record.name):
            return False
        settings = current()
        return settings.log_to_console and record.levelno >= _LEVELS[settings.log_level]

    def line(self, record: logging.LogRecord) -> str:
        """The record as text; what would steer the terminal is escaped."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock}.{int(record.msecs):03d} | {record.levelname:<7} | {_whose(record)} - {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + self._formatter.formatException(record.exc_info)
        return printable(line)


def _whose(record: logging.LogRecord) -> str:
    for kind in ("task", "flow"):
        name = getattr(record, f"{kind}_run_name", None)
        if name is not None:
            return f"{kind.capitalize()} run {name!r}"
    return record.name


def _has_another_handler(name: str) -> bool:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not type(handler).__module__.startswith("orchestrator.") for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


_handler: Final = ConsoleHandler()
_kept_out = False


def show() -> None:
    """Have the console handler in its place; cheap where it is there already."""
    logger = logging.getLogger("orchestrator")
    if _handler not in logger.handlers and not _kept_out:
        logger.addHandler(_handler)


def keep_out() -> None:
    """This process shows its runs in another way: the console handler stays silent from now on."""
    global _kept_out
    _kept_out = True
    logging.getLogger("orchestrator").removeHandler(_handler)


def is_kept_out() -> bool:
    """Whether :func:`keep_out` was called in this process."""
    return _kept_out
