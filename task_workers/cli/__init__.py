"""The command ``orchestrator``: one file per noun, loaded when it is used."""

from __future__ import annotations

import signal
import threading

# Ctrl-C while the rest is imported ends the program without a traceback; from then on click answers it.
_early = (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _early:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    from task_workers.cli.group import main
finally:
    if _early:
        signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["main"]
