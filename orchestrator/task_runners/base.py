"""What every task runner is and shares: the protocol, its arguments, and ``with runner:``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from orchestrator.futures import PrefectFuture, PrefectFutureList

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows
    from orchestrator.runnables.protocols import TaskLike


class TaskRunner(Protocol):
    """Runs calls. A flow starts it, and stops it when it ends."""

    def submit(
        self, task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
    ) -> PrefectFuture[Any]:
        """Run one call."""

    def map(
        self, task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        """Run one call per row of arguments."""

    def start(self) -> None:
        """A flow begins."""

    def stop(self, at_once: bool = False) -> None:
        """The flow has ended; ``at_once`` when it was stopped from outside (Ctrl-C): nothing is waited for then."""

    def duplicate(self) -> TaskRunner:
        """A fresh one of the same kind, for another flow run."""


def arguments_of_call(
    task: TaskLike,
    args: Sequence[Any] | Mapping[str, Any],
    kwargs: dict[str, Any] | None,
    parameters: Mapping[str, Any] | None,
) -> Arguments:
    """The arguments of a call that a runner is given itself, also as one dict of parameters, which is Prefect's way."""
    if isinstance(args, Mapping):
        named = {**args, **(kwargs or {}), **(parameters or {})}
    elif parameters is None:
        return args, kwargs or {}
    else:
        named = {**(kwargs or {}), **parameters}
    return task.arguments((), named), named


class StartedByWith(ABC):
    """``with runner:`` starts it, and stops it at the end."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self.stop(at_once=kind is not None and not issubclass(kind, Exception))

    @abstractmethod
    def start(self) -> None:
        """A flow begins."""

    @abstractmethod
    def stop(self, at_once: bool = False) -> None:
        """It has ended."""
