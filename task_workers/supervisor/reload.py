"""New code as soon as it is saved: watch source files (``--reload``, for development)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from brokers.threads import unending
from orchestrator.errors import ConfigurationError


def check_installed() -> None:
    """Raises ConfigurationError when the package that watches files is missing."""
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        raise ConfigurationError("--reload needs the package watchfiles: pip install 'orchestrator[reload]'") from None


def watch_files(changed: Callable[[str], None], folders: Sequence[Path] | None = None) -> None:
    """Call ``changed(what)`` after Python files below these folders (the current one) were changed, in a thread."""
    check_installed()
    from watchfiles import PythonFilter, watch

    logging.getLogger("watchfiles").setLevel(logging.WARNING)

    def run() -> None:
        for changes in watch(*(folders or [Path.cwd()]), watch_filter=PythonFilter(), raise_interrupt=False):
            names = sorted({Path(path).name for _, path in changes})
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            changed(f"{', '.join(names[:3])}{more} changed")

    threading.Thread(target=unending(run), name="reload", daemon=True).start()
