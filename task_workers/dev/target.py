"""What ``orchestrator dev APP`` means by APP: modules with tasks, and a web application where there is one."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.errors import ConfigurationError
from orchestrator.runnables.identity import module_of_path

WEB_FILES: Final = ("app.py", "main.py", "asgi.py", "web.py")
ATTRIBUTE: Final = "app"
PROBE_SECONDS: Final = 30.0
# Imported in a process of its own: it is the user's code, and is to be imported anew after every change.
PROBE: Final = """
import importlib, inspect, sys
sys.path.insert(0, sys.argv[1])
app = getattr(importlib.import_module(sys.argv[2]), sys.argv[3], None)
call = app if inspect.isfunction(app) else getattr(app, "__call__", None)
sys.exit(0 if inspect.iscoroutinefunction(call) and not inspect.isclass(app) else 9)
"""
NOT_ASGI: Final = 9


class WebApp(NamedTuple):
    """An ASGI application."""

    name: str  # module:attribute
    root: Path  # the directory to import it from


@dataclass(frozen=True, slots=True)
class Target:
    """What an application consists of."""

    apps: tuple[str, ...]  # for the worker's -A
    web: WebApp | None
    folders: tuple[Path, ...]  # where its files are

    def __str__(self) -> str:
        return ", ".join(self.apps)


def target_of(name: str) -> Target:
    """What a module, a file or a directory means.

    Raises:
        ConfigurationError: there is no such thing, or it has no tasks.
    """
    path = Path(name)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix == ".py" or os.sep in name:
        if not path.exists():
            raise ConfigurationError(f"{name}: there is no such file or directory")
        return Target((name,), _web_in(path), (path.resolve().parent,))
    file = _file_of_module(name).resolve()
    package = file.parent
    while (package.parent / "__init__.py").exists():
        package = package.parent
    return Target((name,), _web_in(file), (package,))


def _of_folder(folder: Path) -> Target:
    files = sorted(folder.glob("*.py"))
    named = [file for file in files if file.name == "tasks.py"]
    apps = named or [file for file in files if _has_tasks(file)]
    if not apps:
        raise ConfigurationError(f"{folder} has no tasks.py, and no other file of it has @task or @flow in it")
    candidates = [folder / name for name in WEB_FILES if (folder / name).exists()]
    web = next((found for file in candidates if (found := _web_in(file)) is not None), None)
    return Target(tuple(map(str, apps)), web, (folder.resolve(),))


def _file_of_module(name: str) -> Path:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        spec = importlib.util.find_spec(name)
    except ImportError as error:
        raise ConfigurationError(f"{name} cannot be found: {error}") from error
    if spec is None or spec.origin is None or not Path(spec.origin).exists():
        raise ConfigurationError(f"{name}: there is no such module, file or directory (in {here})")
    return Path(spec.origin)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # whoever imports it will say so


def _has_tasks(file: Path) -> bool:
    """Whether a function of the file is decorated with ``task`` or ``flow``."""
    return any(
        _last_name(decorator) in ("task", "flow")
        for node in ast.walk(_parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
    )


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _web_in(file: Path) -> WebApp | None:
    """The ASGI application that a file has under the name ``app``."""
    if not any(_binds(node) for node in _parsed(file).body):
        return None
    root, module = module_of_path(file)
    try:
        probed = subprocess.run(
            [sys.executable, "-c", PROBE, str(root), module, ATTRIBUTE],
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    # An error of its code is uvicorn's to show, and may be mended while it runs.
    return None if probed.returncode == NOT_ASGI else WebApp(f"{module}:{ATTRIBUTE}", root)


def _binds(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == ATTRIBUTE for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id == ATTRIBUTE
    return isinstance(node, ast.AsyncFunctionDef) and node.name == ATTRIBUTE
