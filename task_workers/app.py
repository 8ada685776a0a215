"""Import the module that a worker serves: ``shop.tasks``, ``shop.tasks:app``, ``tasks.py``, ``path/to/package``."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import orchestrator.flows  # noqa: F401  # every worker knows what runs deployments
from orchestrator.deployments.loading import note_loaded
from orchestrator.deployments.surroundings import run_flows_only
from orchestrator.errors import ConfigurationError
from orchestrator.runnables import registry
from orchestrator.runnables.identity import module_of_path
from orchestrator.runnables.loading import loading

SHOWN_LINES: Final = 12


def import_app(name: str) -> ModuleType:
    """Import what ``-A`` names, with the current directory on the path as for a script.

    Raises:
        ConfigurationError: it cannot be imported; the message ends with the last lines of the traceback.
    """
    _put_on_path(Path.cwd())
    if name.endswith(".py") or os.sep in name or name in (os.curdir, os.pardir):
        root, module = module_of_path(Path(name))
        _put_on_path(root)
        file = _file_of(Path(name))
        found = _import(name, module, "", file)
        if (place := getattr(found, "__file__", None)) is None or Path(place).resolve() != file:
            raise ConfigurationError(
                f"-A {name}: another module is called {module!r}, too: {place or 'one that is built in'}; "
                "rename one of the two"
            )
        return found
    module, _, attribute = name.partition(":")
    return _import(name, module, attribute)


def import_tasks(apps: Sequence[str], python_path: Sequence[str] = (), for_flow_runs: bool = False) -> str | None:
    """Import what a worker serves; returns why that failed, for people.

    Args:
        apps: what ``-A`` names.
        python_path: where modules are looked for, as in the process that asks for it; empty: as Python does by itself.
        for_flow_runs: flows are loaded when they run: the apps need not have tasks.
    """
    if for_flow_runs:
        run_flows_only()
    if python_path:
        sys.path[:] = python_path
    try:
        for app in apps:
            module = import_app(app)
            if for_flow_runs and (file := getattr(module, "__file__", None)):
                note_loaded(file)
    except Exception as error:
        return str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    if not for_flow_runs and not registry.known():
        return f"the app {', '.join(apps)} has no tasks: is @task from orchestrator used in it?"
    return None


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _file_of(path: Path) -> Path:
    return (path / "__init__.py" if path.is_dir() else path).resolve()


def _import(app: str, name: str, attribute: str, file: Path | None = None) -> ModuleType:
    try:
        with loading():
            module = importlib.import_module(name) if file is None or _is_import_name(name) else _load(name, file)
        if attribute:
            getattr(module, attribute)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"the app {app!r} cannot be imported: {_explained(error)}") from error
    return module


def _is_import_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _load(name: str, file: Path) -> ModuleType:
    """Import a file whose name cannot stand in an import statement, as ``my-tasks.py``."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explained(error: BaseException) -> str:
    """The end of the traceback, without the frames of this file and of the import machinery."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    lines = "".join(traceback.format_list(frames)).splitlines()[-SHOWN_LINES:]
    error_text = "".join(traceback.format_exception_only(error)).strip()
    return error_text + "".join(f"\n  {line}" for line in lines)
