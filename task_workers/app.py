"""Import the module that a worker serves: ``shop.tasks``, ``shop.tasks:app``, ``tasks.py``, ``path/to/package``."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from orchestrator.errors import ConfigurationError

TOLD_LINES: Final = 12


def import_app(name: str) -> ModuleType:
    """Import what ``-A`` names, with the current directory on the path as for a script.

    Raises:
        ConfigurationError: it cannot be imported; the message ends with the last lines of the traceback.
    """
    _put_on_path(Path.cwd())
    if name.endswith(".py") or os.sep in name:
        root, module = module_of_path(Path(name))
        _put_on_path(root)
        return _import(name, module, "")
    module, _, attribute = name.partition(":")
    return _import(name, module, attribute)


def module_of_path(path: Path) -> tuple[Path, str]:
    """The directory to import from, and the module's name there: packages above a file count.

    Raises:
        ConfigurationError: there is no such file, or it is no module.
    """
    path = path.resolve()
    if not path.exists():
        raise ConfigurationError(f"-A {path}: there is no such file")
    if path.is_dir() and not (path / "__init__.py").exists():
        raise ConfigurationError(f"-A {path} is a directory without __init__.py: name a module in it")
    parts = [path.stem if path.is_file() else path.name]
    root = path.parent
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    for part in parts:
        if not part.isidentifier():
            raise ConfigurationError(f"-A {path}: {part!r} cannot be the name of a module")
    return root, ".".join(parts)


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import(told: str, name: str, attribute: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
        if attribute:
            getattr(module, attribute)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"the app {told!r} cannot be imported: {_explained(error)}") from error
    return module


def _explained(error: BaseException) -> str:
    """The end of the traceback, without the frames of this file and of the import machinery."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    lines = "".join(traceback.format_list(frames)).splitlines()[-TOLD_LINES:]
    said = "".join(traceback.format_exception_only(error)).strip()
    return said + "".join(f"\n  {line}" for line in lines)
