"""``my_flow.visualize(...)``: a picture of what a flow calls, made without running its tasks."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.runs.drawing import Drawing, FlowVisualizationError, GraphvizExecutableNotFoundError, current_drawing

DRAWING_SECONDS: Final = 60.0
HINT: Final = (
    "this flow was being drawn: its own code runs, its tasks do not. If it uses what a task returns, say what stands "
    "for that: @task(viz_return_value=[1, 2, 3])"
)


class DrawableFlow:
    """A flow, as far as drawing it is concerned."""

    if TYPE_CHECKING:  # a flow has these
        fn: Any
        isasync: bool
        isgenerator: bool
        bound: tuple[Any, ...]
        signature: Any

        @property
        def name(self) -> str: ...

    @async_dispatch("avisualize")
    def visualize(self, *args: Any, **kwargs: Any) -> Path:
        """Draw the tasks and flows that this one calls, as boxes, and whose results they take, as arrows.

        The flow's own code runs, and none of its tasks: what they return is a stand-in, or their ``viz_return_value``.
        ``submit`` and plain calls are drawn; ``map``, ``delay`` and ``apply_async`` are refused. The picture is
        ``<name of the flow>.png`` in the current folder. On an event loop it is to be awaited.

        Returns:
            The path of the picture.

        Raises:
            ParameterBindError: the arguments do not fit.
            GraphvizExecutableNotFoundError: the program ``dot`` is not on PATH; the graph is kept as text.
            VisualizationUnsupportedError: the flow does what cannot be drawn.
            FlowVisualizationError: ``dot`` failed.
            Exception: what the flow's code raised, with a note about stand-ins.
        """
        if self.isasync:
            return asyncio.run(self.avisualize(*args, **kwargs))
        with _drawn(self, args, kwargs) as drawing:
            made = self.fn(*self.bound, *args, **kwargs)
            if self.isgenerator:
                for _ in made:
                    pass
        return render(drawing.dot(), self.name)

    async def avisualize(self, *args: Any, **kwargs: Any) -> Path:
        """:meth:`visualize` for event loops."""
        if not self.isasync:
            return cast(Path, self.visualize(*args, _sync=True, **kwargs))
        with _drawn(self, args, kwargs) as drawing:
            made = self.fn(*self.bound, *args, **kwargs)
            if self.isgenerator:
                async for _ in made:
                    pass
            else:
                await made
        return await asyncio.to_thread(render, drawing.dot(), self.name)


@contextmanager
def _drawn(flow: DrawableFlow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Drawing]:
    """Calls in the block are noted, and not made."""
    flow.signature.check(args, kwargs)
    drawing = Drawing()
    token = current_drawing.set(drawing)
    try:
        yield drawing
    except FlowVisualizationError:
        raise
    except Exception as error:
        error.add_note(HINT)
        raise
    finally:
        current_drawing.reset(token)


def render(dot: str, name: str) -> Path:
    """Draw a graph with Graphviz; the path of the picture. Raises as :meth:`DrawableFlow.visualize` does."""
    picture = Path(re.sub(r"[^\w.-]+", "-", name) + ".png")
    program = shutil.which("dot")
    if program is None:
        text = Path(f"{picture.stem}.gv")
        text.write_text(dot)
        raise GraphvizExecutableNotFoundError(
            f"Graphviz is not on PATH, so there is no picture; the graph is kept in {text}. Install Graphviz "
            f"(https://graphviz.org/download/) and call visualize() again, or draw it elsewhere: dot -Tpng {text}"
        )
    command = [program, "-Tpng", "-o", str(picture)]
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=DRAWING_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FlowVisualizationError(f"Graphviz could not draw {picture}: {error}") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise FlowVisualizationError(f"Graphviz could not draw {picture} (exit code {done.returncode}): {reason}")
    return picture
