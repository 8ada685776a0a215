"""From where a child process loads a flow that this process has: the module it was imported as, or its file."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.machinery import PathFinder
from typing import Any

from orchestrator.runnables.identity import module_of


def place_of(fn: Any) -> str | None:
    """A module's name, or the path of a file; ``None`` for what was typed into a shell or a notebook.

    The name is best: the child then has the module under the name that this process has it by, and its tasks have the
    same keys. A script has no name that can be imported, and neither has a module that was loaded from its path.

    >>> place_of(place_of)
    'orchestrator.runnables.code_places'
    """
    file = _file_of(inspect.unwrap(fn))
    if file is None:
        return None
    name = module_of(fn)
    return name if _is_imported_from(name, file) else file


def _file_of(fn: Any) -> str | None:
    file = getattr(fn, "__globals__", {}).get("__file__")
    return os.path.realpath(file) if file and os.path.isfile(file) else None


def _is_imported_from(name: str, file: str) -> bool:
    """Whether another process with this one's path finds that file under that name; nothing is imported for it."""
    package = name.rpartition(".")[0]
    within = getattr(sys.modules.get(package), "__path__", None) if package else None
    if package and within is None:
        return False
    try:
        spec = PathFinder.find_spec(name, within)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and os.path.realpath(spec.origin) == file
