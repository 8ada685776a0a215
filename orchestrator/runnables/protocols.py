"""What the rooms below ``tasks`` and ``flows`` know of a task and of a flow: enough to send and to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Self

from orchestrator.runnables.binding import Rows, Signature
from orchestrator.runnables.options import TaskOptions
from orchestrator.runnables.sameness import Identity


class TaskLike(Protocol):
    """A task; see :class:`orchestrator.tasks.Task` for what these are."""

    bound: tuple[Any, ...]
    signature: Signature
    overrides: dict[str, Any]
    frames: dict[tuple[bool, bool], Any]
    options: TaskOptions
    task_key: str
    identity: Identity
    isasync: bool
    isgenerator: bool
    script: str | None
    owner: type | None
    binds_class: bool
    doors: Any  # see orchestrator.execution.attempt.Doors; None but for flows

    @property
    def fn(self) -> Callable[..., Any]:
        """The plain function."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def hidden_arguments(self) -> int:
        """How many leading arguments the signature leaves out."""

    def __hash__(self) -> int:
        """By identity."""

    def arguments(self, args: Iterable[Any], kwargs: dict[str, Any], *, sent: bool = False) -> tuple[Any, ...]:
        """The positional arguments of the function, checked. Raises ParameterBindError, ParameterTypeError."""

    def rows(self, args: Sequence[Any], kwargs: dict[str, Any], *, sent: bool = False) -> Rows:
        """The arguments of each call of a map."""

    def with_options(self, **options: Any) -> Self:
        """A copy with some options changed."""

    @property
    def apply_async(self) -> Callable[..., Any]:
        """Queue a call; returns a handle on its run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run here and now."""
