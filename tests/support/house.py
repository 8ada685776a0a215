"""Measures of the source: what lies where, who imports whom, how long functions and files are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FLOORS = ("brokers", "orchestrator", "task_workers")


def modules() -> dict[str, Path]:
    """All modules by name."""
    found = {}
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of ours that one imports: at the top, inside functions, and for annotations only."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found.update(whole if whole in known else base for whole in names)
    return {other for other in found if other in known and other != name}


def all_imports() -> dict[str, set[str]]:
    """Who imports whom."""
    known = modules()
    return {name: imports_of(name, path, known) for name, path in known.items()}


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a ring, the largest ring first (strongly connected components)."""
    found = []
    reached = {name: _reached(name, imports) for name in imports}
    left = set(imports)
    while left:
        name = left.pop()
        circle = {other for other in reached[name] if name in reached[other]} | {name}
        left -= circle
        if len(circle) > 1:
            found.append(sorted(circle))
    return sorted(found, key=len, reverse=True)


def _reached(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(imports[name])
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            waiting.extend(imports[other])
    return seen


class Length(NamedTuple):
    """How many lines something has."""

    lines: int
    what: str


def functions() -> list[Length]:
    """All functions, the longest first."""
    return sorted(_functions(), reverse=True)


def _functions() -> Iterator[Length]:
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Length((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}.{node.name}")


def files() -> list[Length]:
    """All files, the longest first."""
    paths = [*modules().values(), *(ROOT / "brokers").rglob("*.lua")]
    return sorted((Length(len(path.read_text().splitlines()), _shown(path)) for path in paths), reverse=True)


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_from_above(imports: Mapping[str, set[str]], insides: Sequence[str]) -> list[str]:
    """Imports of broker insides by the floors above them, as ``importer -> imported``."""
    return sorted(
        f"{name} -> {other}"
        for name, others in imports.items()
        if not name.startswith("brokers")
        for other in others
        if other.startswith(tuple(insides))
    )
