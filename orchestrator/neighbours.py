"""The three packages that come together: ``orchestrator``, ``brokers``, ``task_workers``.

A project that has a folder ``brokers/`` of its own would get that one whenever we import ours, since a script's folder
comes first on the path. So ours are loaded by their place, beside this package, before anybody else's of these names.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from types import ModuleType
from typing import Final

NAMES: Final = ("brokers", "task_workers")
PLACE: Final = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def bind() -> None:
    """Make the other two names mean our packages in this process.

    Raises:
        ImportError: another package of that name has been imported already; the message names its folder.
    """
    for name in NAMES:
        loaded = sys.modules.get(name)
        if loaded is None:
            _load(name)
        elif not _is_ours(name, getattr(loaded, "__file__", None)):
            raise ImportError(_clash(name, getattr(loaded, "__file__", None), "was imported before it"), name=name)


def _is_ours(name: str, file: str | None) -> bool:
    return file is not None and os.path.dirname(os.path.realpath(file)) == os.path.join(PLACE, name)


def _load(name: str) -> ModuleType | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not _is_ours(name, spec.origin):
        file = os.path.join(PLACE, name, "__init__.py")
        if not os.path.exists(file):  # a build that has only some of the packages
            return None
        if spec is not None and spec.origin is not None:
            text = _clash(name, spec.origin, f"is hidden: `import {name}` gives ours in this process")
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[os.path.dirname(file)])
    if spec is None or spec.loader is None:
        raise ImportError(f"the package {name!r} of orchestrator cannot be loaded", name=name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hidden_in(folder: str) -> list[str]:
    """Sentences on what a folder has under our names. It comes to nothing unless the folder is on the path.

    >>> hidden_in(PLACE)
    []
    """
    found = []
    for name in ("orchestrator", *NAMES):
        for file in (os.path.join(folder, name, "__init__.py"), os.path.join(folder, f"{name}.py")):
            if os.path.exists(file) and os.path.realpath(folder) != PLACE:
                found.append(_clash(name, file, f"is hidden: `import {name}` gives ours"))
    return found


def python_arguments(module: str) -> list[str]:
    """What to give Python to run one of our modules, or one that imports ours, from the current folder.

    >>> child = "task_workers.supervisor.child_main"
    >>> python_arguments(child) if not hidden_in(os.getcwd()) else ["-m", child]
    ['-m', 'task_workers.supervisor.child_main']
    """
    if not hidden_in(os.getcwd()):
        return ["-m", module]
    code = (
        f"import runpy, sys; sys.path.insert(0, {PLACE!r}); import orchestrator; sys.path.remove({PLACE!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return ["-c", code]


def _clash(name: str, file: str | None, what: str) -> str:
    theirs = os.path.dirname(file) if file is not None and os.path.basename(file) == "__init__.py" else file
    return (
        f"the package {name!r} that orchestrator needs, in {os.path.join(PLACE, name)}, has the same name as {theirs}, "
        f"which {what}. Rename {theirs}"
    )
