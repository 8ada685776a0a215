"""What some code keeps in memory, whatever other threads of a busy test process do at the time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def made_with_size(make: Callable[[], T], *modules: ModuleType) -> tuple[T, int]:
    """What ``make`` returns, and the bytes that it keeps which were allocated in its own file and in ``modules``."""
    files = [make.__code__.co_filename, *(str(module.__file__) for module in modules)]
    tracemalloc.start()
    try:
        made = make()
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    traces = snapshot.filter_traces([tracemalloc.Filter(True, file) for file in files]).traces
    size = sum(trace.size for trace in traces)
    assert size, "nothing was allocated in these files: the wrong ones were looked at"
    return made, size
