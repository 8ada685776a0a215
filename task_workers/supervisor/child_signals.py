"""A child's signals, and its death with its supervisor."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.getsignal() makes enums, in 5 us
import os
import signal
import sys

from orchestrator.execution import interrupt
from task_workers.supervisor.supervisor_pipe import ORPHANED


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its supervisor dies (Linux)."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we could ask
        os._exit(ORPHANED)


class Signals:
    """SIGTERM arrives at a descriptor, and SIGINT and SIGHUP, which a terminal may send to everyone, pass."""

    PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.wake_fd, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._own()
        interrupt.install()
        mask = signal.pthread_sigmask
        os.register_at_fork(  # a signal that comes in between waits until it is clear whose it is
            before=lambda: mask(signal.SIG_BLOCK, self.PASSED),
            after_in_parent=lambda: mask(signal.SIG_UNBLOCK, self.PASSED),
            after_in_child=self._give_up,
        )

    def _own(self) -> None:
        # Handlers that do nothing, rather than SIG_IGN: programs started by tasks would inherit that.
        for signum in self.PASSED:
            signal.signal(signum, _pass)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)  # works also while this thread is in C code

    def restore(self) -> None:
        """In the main thread, after a task: asyncio programs, servers and the like leave the handlers of Python behind,

        with which the next SIGTERM to everyone (a container's, a service manager's) would end this process and its
        calls.
        """
        if (
            signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False) != self._writer
            or _signal.getsignal(signal.SIGTERM) is not _pass
            or _signal.getsignal(signal.SIGINT) is not _pass
        ):
            self._own()
            interrupt.install()

    def _give_up(self) -> None:
        """A process that a task has forked is not the worker: signals end it, and are not passed to the worker."""
        signal.set_wakeup_fd(-1)
        for signum in self.PASSED:
            if _signal.getsignal(signum) is _pass:
                signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.PASSED)


def _pass(signum: int, frame: object) -> None:
    return None
