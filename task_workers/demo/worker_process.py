"""The demo's worker: ``orchestrator worker`` as anyone would start it, and how one of its processes is killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from orchestrator import PrefectFuture
from orchestrator.client.fleet import Fleet
from orchestrator.errors import OrchestratorError

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0


class WorkerProcess:
    """A worker with some processes, for the length of a ``with`` block; ready when the block begins.

    Args:
        fleet: the fleet it belongs to; the environment says the same.
        app: the module with its tasks.
        processes: how many children.
        log: where its output goes.

    Raises:
        OrchestratorError: it does not begin; the message has the end of its log.
    """

    def __init__(self, fleet: Fleet, app: str, processes: int, log: Path) -> None:
        self._fleet, self._app, self._processes, self._log = fleet, app, processes, log
        self._process: subprocess.Popen[bytes] | None = None
        self._murder: threading.Timer | None = None
        self._killed: int | None = None

    def __enter__(self) -> WorkerProcess:
        command = [sys.executable, "-m", "task_workers.cli", "worker", "-A", self._app, "-c", str(self._processes)]
        # What the user says of workers elsewhere does not count here.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_WORKER_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while len(self.children()) < self._processes:
            if process.poll() is not None:
                raise OrchestratorError(f"the worker has ended:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise OrchestratorError(f"the worker is not ready after {START_SECONDS:g} s:\n{self.last_words()}")
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Process ids of the children that are ready, as they say themselves."""
        return sorted(int(facts["pid"]) for facts in self._fleet.live_workers().values() if "pid" in facts)

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])

    def kill_one_half_way(self, futures: Iterable[PrefectFuture[Any]]) -> None:
        """Kill a child, as the system does when memory is short, when half of these runs have ended."""
        futures = list(futures)
        victim = self.children()[0]
        ended = itertools.count(1)  # counts in one step, whichever threads call

        def look(future: PrefectFuture[Any]) -> None:
            if next(ended) == (len(futures) + 1) // 2:
                murder.start()

        def kill() -> None:
            os.kill(victim, signal.SIGKILL)
            self._killed = victim

        # Not in this very moment: the victim has just reported, and is about to take more.
        self._murder = murder = threading.Timer(0.02, kill)
        for future in futures:
            future.add_done_callback(look)

    @property
    def killed(self) -> int | None:
        """The child that was killed."""
        if self._murder is not None and self._murder.ident is not None:
            self._murder.join()
        return self._killed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except BaseException:  # too slow, or Ctrl-C once more
            self._process.kill()
            self._process.wait()
            raise
