"""Events of runs, for listeners: logs, metrics, traces.

Events: ``run.started`` (attempt), ``run.ended`` (attempt, verdict, seconds). Listeners are called in the thread where
it happens and must be quick; an error in one is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

log = logging.getLogger("orchestrator.events")
Listener = Callable[..., None]
_listeners: Final[dict[str, list[Listener]]] = {}


def listen(event: str, listener: Listener) -> Callable[[], None]:
    """Call ``listener(**facts)`` whenever ``event`` happens; returns a function that ends it.

    >>> stop = listen("run.ended", lambda attempt, verdict, seconds: None)
    >>> stop()
    """
    _listeners.setdefault(event, []).append(listener)

    def end() -> None:
        if listener in _listeners.get(event, ()):
            _listeners[event].remove(listener)

    return end


def listeners_of(event: str) -> Sequence[Listener]:
    """Those that there are at any time: empty while nobody listens, so that a hot path need not :func:`emit`."""
    return _listeners.setdefault(event, [])


def emit(event: str, **facts: Any) -> None:
    """Notify the listeners of an event; costs a dictionary look-up when there is none."""
    for listener in _listeners.get(event, ()):
        try:
            listener(**facts)
        except Exception:
            log.exception("a listener of %s failed", event)
