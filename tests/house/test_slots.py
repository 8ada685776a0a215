"""Slots stay a small room: one function runs a delivery, no class is a hub, nobody sets another object's fields."""

from __future__ import annotations

import ast
from pathlib import Path

import orchestrator.slots

ROOM = Path(orchestrator.slots.__file__).parent
MOST_LINES_OF_A_DELIVERY = 12
MOST_PUBLIC_METHODS = 20
OPEN = {
    "self",
    "call",  # a running call is a record: what is noted of it is set by whoever knows
    "lending.this_thread",  # a thread's own
}


def trees() -> dict[str, ast.Module]:
    return {path.name: ast.parse(path.read_text()) for path in sorted(ROOM.glob("*.py"))}


def functions(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_the_function_that_runs_one_delivery_reads_in_a_glance() -> None:
    lane = next(node for node in trees()["lane.py"].body if isinstance(node, ast.ClassDef) and node.name == "Lane")
    run = next(each for each in functions(lane) if each.name == "run")
    first = run.body[1]  # after the docstring
    assert (run.end_lineno or 0) - first.lineno + 1 <= MOST_LINES_OF_A_DELIVERY


def test_no_class_is_a_hub() -> None:
    public = {
        f"{name}: {node.name}": sum(not each.name.startswith("_") for each in functions(node))
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert {name: count for name, count in public.items() if count > MOST_PUBLIC_METHODS} == {}


def test_nothing_sets_a_field_of_another_object() -> None:
    found = [
        f"{name}:{target.lineno} {ast.unparse(target)}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) not in OPEN
    ]
    assert found == []
