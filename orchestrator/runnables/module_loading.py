"""Modules and what is in them, by entrypoints: ``path/file.py:function``, ``package.module.function``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.errors import MissingFlowError, ScriptError
from orchestrator.runnables.identity import MAIN, module_of_path
from orchestrator.runnables.loading import loading
from orchestrator.runnables.runnable import Runnable


def object_of(entrypoint: str) -> Any:
    """What an entrypoint means. Raises MissingFlowError, ScriptError."""
    place, colon, name = entrypoint.rpartition(":")
    if not colon:
        place, _, name = entrypoint.rpartition(".")
    if not place or not name:
        raise MissingFlowError(f"{entrypoint!r}: write path/to/file.py:function or package.module:function")
    return named_in(module_of_file(Path(place)) if place.endswith(".py") else module_named(place), name)


def named_in(module: ModuleType, name: str) -> Any:
    """What a module calls so; parts between dots are looked for in turn. Raises MissingFlowError."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        place = getattr(module, "__file__", None) or module.__name__
        names = ", ".join(sorted(each.name for each in flows_in(module))) or "none"
        raise MissingFlowError(f"{place!r} has no {name!r}; its flows: {names}")
    return found


def flows_in(module: ModuleType) -> list[Any]:
    """All flows that a module has, each once."""
    found = {
        id(value): value for value in vars(module).values() if isinstance(value, Runnable) and value.noun == "flow"
    }
    return list(found.values())


def module_named(name: str) -> ModuleType:
    """A module by its name. Raises MissingFlowError: there is none; ScriptError: it raised an exception."""
    try:
        with loading():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise MissingFlowError(f"there is no module {name!r}") from None
        raise ScriptError(f"the module {name!r} could not be loaded: {error}", error) from error
    except Exception as error:
        raise ScriptError(f"the module {name!r} could not be loaded: {type(error).__name__}: {error}", error) from error


def module_of_file(path: Path) -> ModuleType:
    """The module of a file, whose folder is on the path from then on. Raises as :func:`module_named`."""
    if not path.is_file():
        raise MissingFlowError(f"there is no file {str(path)!r}")
    root, name = module_of_path(path)
    known = sys.modules.get(name)
    loaded = _loaded_from(str(path.resolve()), known)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise MissingFlowError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        with loading():
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if known is not None:
            sys.modules[name] = known
        text = f"the script {str(path)!r} could not be loaded: {type(error).__name__}: {error}"
        raise ScriptError(text, error) from error
    return module


def _loaded_from(file: str, known: ModuleType | None) -> ModuleType | None:
    """The module that a file was loaded as, whatever it is called there; best the one that is ``known`` by its name."""
    others = (module for name, module in list(sys.modules.items()) if name not in MAIN)
    return next((each for each in (known, *others) if getattr(each, "__file__", None) == file), None)
