"""Count lines, functions, classes and branches of many files: the demo's tasks and its flow.

Workers import this module: ``orchestrator worker -A task_workers.demo.stdlib_metrics``.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import PrefectFuture, allow_failure, flow, task, wait
from orchestrator.runnables.annotations import quote


@dataclass(frozen=True)
class Numbers:
    """What was counted."""

    files: int = 0
    broken: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    branches: int = 0

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Package:
    """A package and its numbers."""

    name: str
    numbers: Numbers


@dataclass(frozen=True)
class Ranking:
    """The largest packages, and the sum of all."""

    largest: list[Package]
    total: Numbers


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


@task(retries=1)  # a file that does not parse will not parse the second time either; this shows both attempts
def measure(path: str) -> Numbers:
    """Numbers of one file."""
    source = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old files write invalid escapes
        nodes = list(ast.walk(ast.parse(source)))
    return Numbers(
        files=1,
        lines=len(source.splitlines()),
        functions=sum(isinstance(node, FUNCTIONS) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        branches=sum(isinstance(node, BRANCHES) for node in nodes),
    )


@task
def join(name: str, files: list[Numbers | Exception]) -> Package:
    """Numbers of a package; a file that failed comes as its exception."""
    numbers = (Numbers(broken=1) if isinstance(file, Exception) else file for file in files)
    return Package(name, sum(numbers, Numbers()))


@task
def rank(packages: list[Package], count: int) -> Ranking:
    """The largest packages."""
    largest = sorted(packages, key=lambda package: package.numbers.lines, reverse=True)[:count]
    return Ranking(largest, sum((package.numbers for package in packages), Numbers()))


@task
def notify(folder: str, text: str) -> str:
    """Leave a note; returns the path of its file."""
    note = Path(folder) / "note.txt"
    note.write_text(text, "utf-8")
    return str(note)


@dataclass(frozen=True)
class Handles:
    """What the flow submitted."""

    files: dict[str, PrefectFuture[Numbers]]
    packages: list[PrefectFuture[Package]]
    ranking: PrefectFuture[Ranking]
    notice: PrefectFuture[str]


@flow
def measure_library(
    packages: dict[str, list[str]], folder: str, when_submitted: Callable[[list[PrefectFuture[Numbers]]], None]
) -> Handles:
    """Measure every file, join the numbers of each package, rank the packages.

    The whole graph is submitted at once; the store starts what is ready, and nobody waits in a worker for it.
    They are returned quoted: the flow completes although files are broken, and handles stay handles.
    """
    paths = [path for some in packages.values() for path in some]
    futures = measure.map(paths)
    files: dict[str, Any] = dict(zip(paths, futures, strict=True))  # handles stand for results: types cannot express it
    joined: list[Any] = []
    for name, some in packages.items():
        numbers: list[Any] = [allow_failure(files[path]) for path in some]
        joined.append(join.submit(name, numbers))
    ranking = rank.submit(joined, 10)
    when_submitted(list(futures))
    wait([*futures, *joined, ranking], progress=True)
    notice = notify.delay(folder, f"{len(paths)} files in {len(packages)} packages")
    return quote(Handles(files, joined, ranking, notice))  # type: ignore[return-value]
