"""The runner of a flow that is being drawn: it notes calls and makes none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runs.drawing import Drawing, refuse_to_draw

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows
    from orchestrator.runnables.protocols import TaskLike


class DrawingRunner:
    """See :class:`orchestrator.task_runners.TaskRunner`.

    Args:
        drawing: where calls are noted.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def submit(
        self, task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
    ) -> PrefectFuture[Any]:
        values = (args, kwargs, list(wait_for or ()))
        return cast("PrefectFuture[Any]", self._drawing.add(task.name, values, task.options.viz_return_value))

    def map(
        self, task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        refuse_to_draw("a map")

    def start(self) -> None:
        """Nothing is started."""

    def stop(self, at_once: bool = False) -> None:
        """Nothing is stopped."""

    def duplicate(self) -> DrawingRunner:
        return DrawingRunner(self._drawing)
