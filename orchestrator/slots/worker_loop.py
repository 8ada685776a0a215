"""The event loop that all async calls of a process share: its thread, its end, and a watch on what blocks it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import Final

from orchestrator.client import slot_lending as lending
from orchestrator.execution.drivers import ending_loops
from orchestrator.task_runners.thread_pool import LendingExecutor

log = logging.getLogger("orchestrator.slots")
BLOCKED_SECONDS: Final = 1.0
CANCEL_SECONDS: Final = 1.0  # for calls that are cancelled when the process ends
JOIN_SECONDS: Final = 2.0


class WorkerLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(LendingExecutor(thread_name_prefix="async-threads", lend_by_thread=True))
        self.tasks: set[asyncio.Task[None]] = set()  # of calls
        self._thread = threading.Thread(target=self._run, name="async-slots", daemon=True)
        self._ending = False
        self._asked_at: float | None = None  # when the loop was asked to answer, and has not yet
        self._logged = False

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        lending.this_thread.shared_loop = self.loop
        try:
            self._run_until_stopped()
        finally:
            self.loop.close()

    def _run_until_stopped(self) -> None:
        """An asyncio task that raises SystemExit or KeyboardInterrupt gets the error, and stops its loop as well."""
        while not self._ending and not self.loop.is_closed():
            try:
                self.loop.run_forever()
            except BaseException as error:  # whoever awaits that task has it already; the other calls go on
                log.warning("something in an async call raised %s, which would have ended the event loop", repr(error))

    def end(self) -> None:
        """Stop the loop; calls that still run are cancelled."""
        if not self._thread.is_alive():
            return

        async def cancel_all() -> None:
            ending_loops.add(self.loop)
            tasks = list(self.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS) if tasks else None
            self._ending = True
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(cancel_all(), self.loop)
        self._thread.join(JOIN_SECONDS)

    # -- the watch, in the slot monitor's thread -----------------------------------------------------------------

    def look(self, now: float) -> None:
        """Log, once, when a coroutine does not let go of the loop, and where it is."""
        if self._asked_at is None:
            self._asked_at, self._logged = now, False
            self.loop.call_soon_threadsafe(self._answer)
        elif now - self._asked_at > BLOCKED_SECONDS and not self._logged:
            self._logged = True
            log.warning(
                "a coroutine has been blocking the event loop for %.1f s, and every async call with it; it is at\n%s",
                now - self._asked_at,
                self._where_it_is(),
            )

    def _answer(self) -> None:
        if self._logged and self._asked_at is not None:
            log.warning("the event loop was blocked for %.1f s", time.monotonic() - self._asked_at)
        self._asked_at = None

    def _where_it_is(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame, limit=None)[-3:]).rstrip() if frame else "(unknown)"
