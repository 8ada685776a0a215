"""SIGTERM ends a flow like Ctrl-C does: its hooks are called, and the store is notified."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STATUS = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """SIGTERM has arrived. Nobody catches it: the process exits with status 143, as a shell would say."""

    def __init__(self) -> None:
        super().__init__(_STATUS)


@contextmanager
def sigterm_raises() -> Iterator[Callable[[], bool]]:
    """Raise :class:`Terminated` in the block when SIGTERM arrives; gives a function that says whether it has.

    Only in the main thread, and only where nobody has decided yet what SIGTERM does; elsewhere nothing changes.
    """
    arrived = False

    def terminate(signum: int, frame: FrameType | None) -> None:
        nonlocal arrived
        arrived = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
        raise Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield lambda: False
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield lambda: arrived
    finally:
        if signal.getsignal(signal.SIGTERM) is terminate:  # the flow may have set one of its own
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
