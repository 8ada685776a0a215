"""What is written by something that a worker has started, among the worker's own lines."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from task_workers.infrastructure.base import Handle, Infrastructure, InfrastructureError, Output

log = logging.getLogger("orchestrator.infrastructure")
KEPT_LINES: Final = 20
LONGEST_LINE: Final = 4000


class OutputStream:
    """Follows the output, in a thread.

    Args:
        infrastructure, handle: of what was started.
        name: of the run, in front of each line.
        shown: whether lines are shown; the last ones are kept in any case.
        ended: called when there will be no more.
    """

    def __init__(
        self, infrastructure: Infrastructure, handle: Handle, name: str, shown: bool, ended: Callable[[], object]
    ) -> None:
        self._infrastructure, self._handle, self._name = infrastructure, handle, name
        self._shown, self._ended = shown, ended
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._output: Output | None = None
        self._thread: threading.Thread | None = None

    def start(self, *, from_now: bool = False) -> None:
        """Begin; a second time nothing happens."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(from_now,), name="output", daemon=True)
            self._thread.start()

    @property
    def last_lines(self) -> str:
        """What was written last."""
        return "\n".join(self._last)

    def stop(self, seconds: float) -> None:
        """Wait a moment for the last lines, then follow no longer."""
        if self._thread is None:
            return
        self._thread.join(seconds)
        if self._thread.is_alive() and self._output is not None:
            self._output.close()
            self._thread.join(seconds)

    def _run(self, from_now: bool) -> None:
        try:
            self._output = self._infrastructure.follow(self._handle, from_now=from_now)
            for line in self._output:
                self._last.append(line[:LONGEST_LINE])
                if self._shown:
                    log.info("%s | %s", self._name, line[:LONGEST_LINE])
        except (InfrastructureError, OSError, ValueError) as error:  # it was closed in the middle of a line
            log.debug("the output of %s is not followed: %s", self._handle, error)
        finally:
            self._ended()
