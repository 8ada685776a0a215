"""The end of what a test has started."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack


def all_of(ends: Iterable[Callable[[], object]]) -> None:
    """Call each of them, in this order, also when one raises; what the last of those raised is raised then."""
    with ExitStack() as stack:
        for end in reversed(list(ends)):
            stack.callback(end)
