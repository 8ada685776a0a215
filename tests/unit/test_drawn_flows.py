"""``my_flow.visualize()``: what a flow calls is drawn, and none of its tasks run."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, task
from orchestrator.runnables.flow_drawing import HINT
from orchestrator.utilities.visualization import (
    FlowVisualizationError,
    GraphvizExecutableNotFoundError,
    VisualizationUnsupportedError,
)

ran: list[str] = []


@task
def load(source: str = "") -> list[int]:
    ran.append("load")
    return [1]


@task(viz_return_value=[7, 8, 9])
def numbers() -> list[int]:
    ran.append("numbers")
    return []


@task(validate_parameters=True)
def join(left: int, right: Any = None) -> int:
    ran.append("join")
    return 0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, and no Graphviz on PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ran.clear()
    yield tmp_path
    assert ran == [], "a task ran"


def graph_of(drawn: Any, *args: Any) -> set[str]:
    with pytest.raises(GraphvizExecutableNotFoundError, match=r"kept in .*\.gv"):
        drawn.visualize(*args)
    (text,) = Path.cwd().glob("*.gv")
    lines = text.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("digraph {", "}")
    return {line.strip().rstrip(";").replace('"', "") for line in lines[1:-1]}


def test_calls_are_boxes_and_results_that_they_take_are_arrows() -> None:
    @flow
    def whole(count: int) -> None:
        first = load("a")
        handle = load.submit("b")
        join(first, {"deep": [handle]})
        for _ in range(count):
            join.submit(handle.result(), wait_for=[first]).wait()

    assert graph_of(whole, 1) == {
        *("load-0", "load-1", "join-0", "join-1"),
        *("load-0 -> join-0", "load-1 -> join-0", "load-1 -> join-1", "load-0 -> join-1"),
    }


def test_a_stand_in_is_what_a_task_returns_and_is_known_again() -> None:
    @flow
    def whole() -> None:
        found = numbers()
        for number in found:
            join(number)
        join(0, found)
        assert numbers.submit().result() == [7, 8, 9]

    names = graph_of(whole)
    assert {"numbers-0", "join-2", "numbers-0 -> join-3"} <= names
    assert "numbers-0 -> join-0" not in names, "7 is in no way its own"


def test_a_flow_that_it_calls_is_a_box() -> None:
    @flow
    def inner(x: Any) -> int:
        ran.append("inner")
        return 1

    @flow
    def outer() -> None:
        join(inner(load()))

    assert graph_of(outer) == {"load-0", "inner-0", "join-0", "load-0 -> inner-0", "inner-0 -> join-0"}


def test_async_flows_are_drawn_with_and_without_a_loop() -> None:
    @task
    async def fetch() -> int:
        ran.append("fetch")
        return 1

    @flow
    async def whole() -> None:
        join(await fetch())

    expected = {"fetch-0", "join-0", "fetch-0 -> join-0"}
    assert graph_of(whole) == expected

    async def on_a_loop() -> None:
        with pytest.raises(GraphvizExecutableNotFoundError):
            await whole.visualize()

    asyncio.run(on_a_loop())


@pytest.mark.parametrize(
    "sends",
    [lambda: load.map(["a"]), lambda: load.delay(), lambda: load.apply_async(), lambda: flow(load.fn).submit()],
    ids=["map", "delay", "apply_async", "submit of a flow"],
)
def test_what_cannot_be_drawn_is_refused_and_sends_nothing(sends: Any) -> None:
    load_before = dict(load.frames)

    @flow
    def whole() -> None:
        sends()

    with pytest.raises(VisualizationUnsupportedError, match="nothing was sent"):
        whole.visualize()
    assert load.frames == load_before


def test_a_flow_that_uses_a_result_is_told_of_stand_ins() -> None:
    @flow
    def whole() -> int:
        return load()[0]

    with pytest.raises(TypeError) as raised:
        whole.visualize()
    assert raised.value.__notes__ == [HINT]


def test_nothing_is_drawn_any_more_afterwards() -> None:
    @flow
    def whole() -> int:
        return len(str(load()))

    graph_of(whole)
    assert whole() == 3
    assert ran.pop() == "load"


def program(folder: Path, script: str) -> None:
    (folder / "bin").mkdir()
    file = folder / "bin" / "dot"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_graphviz_draws_the_picture(folder: Path) -> None:
    program(folder, '[ "$1" = -Tpng ] && PATH=/usr/bin:/bin exec cat > "$3"')

    @flow(name="my flow/1")
    def whole() -> None:
        load()

    picture = whole.visualize()
    assert picture == Path("my-flow-1.png")
    assert '"load-0"' in picture.read_text(), "the graph was its input"


def test_what_graphviz_complains_of_is_in_the_error(folder: Path) -> None:
    program(folder, "echo 'no such format' >&2; exit 1")
    with pytest.raises(FlowVisualizationError, match=r"exit code 1.*no such format"):
        flow(lambda: load(), name="one").visualize()
