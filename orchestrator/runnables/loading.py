"""Whether a script is being loaded for the flows and tasks in it, and not run.

A script that ends with ``my_flow.serve(...)`` is loaded again by the processes that run its flows, under another name
than ``__main__``. Loading must not serve once more, whether the call stands below the ``if __name__`` or not.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_loading: ContextVar[bool] = ContextVar("orchestrator_is_loading", default=False)


@contextmanager
def loading() -> Iterator[None]:
    """The block loads code of users.

    >>> with loading():
    ...     is_loading()
    True
    >>> is_loading()
    False
    """
    token = _is_loading.set(True)
    try:
        yield
    finally:
        _is_loading.reset(token)


def is_loading() -> bool:
    """Whether the current line runs because its module is being loaded, by us or by a child of ``multiprocessing``."""
    return _is_loading.get() or getattr(multiprocessing.current_process(), "_inheriting", False)
