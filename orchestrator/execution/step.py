"""One step of a run: something that its driver does for it, in a thread or on an event loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol

from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.termination import Terminated

log = logging.getLogger("orchestrator.engine")
PLAIN = frozenset((int, str, float, bool, bytes, dict))  # neither states nor awaitables, and most of what tasks return


class Driven(Protocol):
    """A run whose steps are driven: an attempt at a task's call, or a flow run."""

    run_id: str
    ticket: str  # of its delivery; empty where it runs in the process that called it

    @property
    def what(self) -> str:
        """What runs, for messages."""


class Step(NamedTuple):
    """Something to be done outside the generator."""

    fn: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] | None = None
    blocking: bool = False  # talks to a server: not on an event loop
    timeout_seconds: float | None = None
    on_loop: Callable[..., Awaitable[Any]] | None = None  # what to call instead of ``fn`` on an event loop


class RaisedToClose(Exception):
    """A function has raised GeneratorExit, which thrown into the steps would close them; see ``drivers``."""

    def __init__(self, error: GeneratorExit) -> None:
        super().__init__(error)
        self.error = error


def goes_through(error: BaseException, run: Driven) -> bool:
    """Whether an error ends more than what has raised it: Ctrl-C and SIGTERM to a program, or the end of the steps.

    In a worker nobody does: there a KeyboardInterrupt is raised by a task, and is the end of that task.
    """
    return isinstance(error, GeneratorExit) or (isinstance(error, KeyboardInterrupt | Terminated) and not run.ticket)


def goes_through_from_beside(error: BaseException, run: Driven) -> bool:
    """The same for what is called beside the function: hooks, names, cache keys, conditions. A cancellation of the run
    goes through, whatever it meets; anything else, also ``sys.exit()``, costs only what has raised it."""
    return isinstance(error, CancelRun) or (isinstance(error, KeyboardInterrupt | Terminated) and not run.ticket)


def call_hooks(
    run: Driven, hooks: Sequence[Callable[..., Any]], arguments: Sequence[Any]
) -> Generator[Step, Any, None]:
    """Call hooks; an error in one is logged and changes nothing."""
    for hook in hooks:
        try:
            yield Step(hook, arguments)
        except GeneratorExit:  # the steps are closed
            raise
        except BaseException as error:
            if goes_through_from_beside(error, run):
                raise
            log.exception("hook %s of %s failed (run %s)", getattr(hook, "__name__", repr(hook)), run.what, run.run_id)
