"""How child processes are started: forked from a template that has imported the app, or each as a new Python."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Final, NamedTuple, Protocol

from orchestrator.neighbours import python_arguments
from task_workers.options import WorkerOptions
from task_workers.supervisor.template import TemplateError, TemplateProcess

log = logging.getLogger("orchestrator.worker")
CAN_FORK: Final = sys.platform == "linux"  # elsewhere libraries of the system have threads that nobody sees


class StartedProcess(Protocol):
    """A child process that was started."""

    pid: int
    returncode: int | None

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where its orders go."""

    def wait(self) -> int:
        """Until it has ended."""


class ChildFiles(NamedTuple):
    """Descriptors that a child is given: those of the supervisor, or their numbers in the child."""

    table: int
    stacks: int
    events: int
    cells: int | None

    @property
    def given(self) -> list[int]:
        """Those that there are."""
        return [fd for fd in self if fd is not None]


class ChildStarter:
    """Starts children of one worker. For the supervisor's main thread, best before it has other threads.

    Args:
        options: what the worker is.
        on_ready: called, in any thread, when children that had to wait can be started.
    """

    def __init__(self, options: WorkerOptions, on_ready: Callable[[], None] = lambda: None) -> None:
        self._options, self.on_ready = options, on_ready
        self._template: TemplateProcess | None = None
        self._unsafe = False  # the app as it is now is not forked
        self._start(fresh=options.for_flow_runs or threading.active_count() > 1)  # who serves flows has imported them

    def renew(self) -> None:
        """The code has changed: later children have it."""
        self._discard()
        self._start(fresh=True)

    def _start(self, fresh: bool) -> None:
        self._unsafe = self._options.start_method == "spawn" or not CAN_FORK
        if not self._unsafe:
            try:
                self._template = TemplateProcess(self._options, lambda: self.on_ready(), fresh)
            except OSError as error:
                self._spawn_from_now_on(f"no template process could be started: {error}")

    def is_ready(self) -> bool:
        """Whether a child can be started now; if not, ``on_ready`` is called later."""
        template = self._template
        if self._unsafe:
            return True
        if template is None or (template.settled and template.unsafe is None and template.has_died()):
            self.renew()
            return self._unsafe
        if template.settled and template.unsafe is not None:
            self._spawn_from_now_on(template.unsafe)
        return template.settled

    def start(self, files: ChildFiles) -> tuple[StartedProcess, ChildFiles]:
        """A process that reads its spec from its standard input, and the numbers of its files in it.

        Raises:
            OSError: the system does not let us.
        """
        if self._template is not None and self._template.settled and not self._unsafe:
            try:
                process, numbers = self._template.fork(files.given)
            except TemplateError as error:
                log.warning("no child could be forked (%s): this one is spawned, and the template started anew", error)
                self._discard()
            else:
                return process, ChildFiles(*numbers, *([None] if files.cells is None else []))
        return spawn(files), files

    def forget_import(self) -> None:
        """The app could not be imported: the next child tries again."""
        self._discard()

    def close(self) -> None:
        """No more children."""
        self._discard()

    def _spawn_from_now_on(self, why: str) -> None:
        log.info("children are started one by one (spawn), not forked: %s", why)
        self._unsafe = True
        self._discard()

    def _discard(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


def spawn(files: ChildFiles) -> subprocess.Popen[bytes]:
    """A new Python, which imports everything. Raises OSError when the system does not let us."""
    return subprocess.Popen(
        [sys.executable, *python_arguments("task_workers.supervisor.child_main")],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes to the supervisor alone, and what tasks start can be killed too
        pass_fds=files.given,
    )
