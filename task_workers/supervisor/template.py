"""The supervisor's hold on its template process, from which children are forked; see ``template_main``."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from orchestrator.neighbours import python_arguments
from task_workers.options import WorkerOptions
from task_workers.supervisor.messages import (
    Forked,
    Imported,
    TemplateSpec,
    UnreadableMessage,
    decode_template_message,
    encode,
)

FORK_SECONDS: Final = 5.0  # it takes milliseconds; a template that does not answer is given up
MAX_MESSAGE_BYTES: Final = 1 << 16
_PR_SET_CHILD_SUBREAPER: Final = 36


class TemplateError(Exception):
    """No child can be forked from this template."""


class ForkedProcess:
    """A forked child, with what :class:`subprocess.Popen` has of one that was spawned."""

    def __init__(self, pid: int, orders: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(orders, "wb")
        self.returncode: int | None = None

    def wait(self) -> int:
        """For a process whose exit status cannot be had: it counts as 0, as in ``subprocess``."""
        self.returncode = 0
        return 0


class _Copy:
    """A template that was forked from this process, with what is used of :class:`subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False

    def poll(self) -> int | None:
        """0 when it has ended."""
        return self._look(os.WNOHANG)

    def wait(self) -> int | None:
        """Until it has ended."""
        return self._look(0)

    def kill(self) -> None:
        """SIGKILL, unless it is known to have ended."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)

    def _look(self, how: int) -> int | None:
        try:
            self._ended = self._ended or os.waitpid(self.pid, how)[0] == self.pid
        except ChildProcessError:  # SIGCHLD is ignored
            self._ended = True
        return 0 if self._ended else None


class TemplateProcess:
    """One template: it serves until it is closed, or dies.

    Must be made in a thread that lives as long as the supervisor, see ``ChildHandle``.

    Args:
        options: what the worker is.
        on_settled: called in a thread when the app is imported, or the template has died of it.
        fresh: a new Python; otherwise a copy of this process, which must have imported no code of users, and have no
            threads and no connections. A copy has been started already.
    """

    def __init__(self, options: WorkerOptions, on_settled: Callable[[], None], fresh: bool = True) -> None:
        self.settled = False
        self.unsafe: str | None = None  # once it is settled: why no children are forked from it
        self._on_settled = on_settled
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _spawn(theirs) if fresh else self._copy(theirs)
        spec = TemplateSpec(
            list(options.apps),
            options.log_level,
            options.log_format,
            options.name,
            os.getpid(),
            options.for_flow_runs,
            list(options.python_path),
        )
        with contextlib.suppress(OSError):  # it is dead, which the thread sees
            self._control.send(encode(spec))
        threading.Thread(target=self._await_import, name="template", daemon=True).start()

    def _copy(self, theirs: socket.socket) -> _Copy:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # the copy would write it again
        pid = os.fork()
        if pid == 0:
            try:
                self._control.close()
                os.setsid()
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.close(null)
                from task_workers.supervisor import template_main

                template_main.run(theirs)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        return _Copy(pid)

    def _await_import(self) -> None:
        try:
            message = decode_template_message(self._control.recv(MAX_MESSAGE_BYTES))
            self.unsafe = message.unsafe if isinstance(message, Imported) else "it is out of step"
        except (OSError, UnreadableMessage):
            self.unsafe = "the process that imports the app has died"
        self.settled = True
        self._on_settled()

    def has_died(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def fork(self, descriptors: Sequence[int]) -> tuple[ForkedProcess, list[int]]:
        """A new child, and the numbers of these descriptors in it. It belongs to this process, and waits for its spec.

        Raises:
            TemplateError: the template is gone, or does not answer, or cannot fork.
        """
        orders, writer = os.pipe()
        try:
            with _adopting_orphans():
                reply = self._ask([orders, *descriptors])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(orders)
        return ForkedProcess(reply.pid, writer), reply.descriptors[1:]

    def _ask(self, descriptors: list[int]) -> Forked:
        try:
            self._control.settimeout(FORK_SECONDS)
            socket.send_fds(self._control, [b"f"], descriptors)
            reply = decode_template_message(self._control.recv(MAX_MESSAGE_BYTES))
        except (OSError, UnreadableMessage) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        if not isinstance(reply, Forked) or not reply.pid:
            raise TemplateError(str(getattr(reply, "error", reply)))
        return reply

    def close(self) -> None:
        """End it; children that were forked from it go on."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        self._process.wait()


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *python_arguments("task_workers.supervisor.template_main"), str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(theirs.fileno(),),
    )


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """In the block, processes whose parent ends become this process's own (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _prctl(what: int, value: int) -> None:
    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)
