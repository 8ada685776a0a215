"""Processes of this machine that run one call at a time each: one that dies takes no call with it but its own."""

from __future__ import annotations

import atexit
import concurrent.futures
import multiprocessing
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from orchestrator.task_runners.thread_pool import LendingExecutor


class ProcessDied(Exception):
    """The process that ran a call has ended before the call did."""


class ProcessPlaces(concurrent.futures.Executor):
    """Runs packed calls; processes are started when they are needed, and replaced when they have died.

    Args:
        count: how many calls at once, in as many processes; one per core unless given.
    """

    def __init__(self, count: int | None = None) -> None:
        self._threads = LendingExecutor(count or multiprocessing.cpu_count(), thread_name_prefix="process-runner")
        self._idle: list[_Process] = []
        self._busy: dict[concurrent.futures.Future[Any], _Process] = {}
        self._cancelled: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        atexit.register(self._end_processes)  # before multiprocessing waits for them

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Call ``fn(*args)`` in a process; the future raises ProcessDied when that one dies."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._threads.submit(self._run, future, fn, args)
        return future

    def _run(self, future: concurrent.futures.Future[Any], fn: Any, args: tuple[Any, ...]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        process: _Process | None = None
        try:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                process = _Process()
            with self._lock:
                self._busy[future] = process
                if future in self._cancelled:  # before it had a process
                    process.kill()
            good, answer = process.ask(fn, args)
        except BaseException as error:
            good, answer = False, error
        with self._lock:
            self._busy.pop(future, None)
            if process is not None and process.lives:
                self._idle.append(process)
        future.set_result(answer) if good else future.set_exception(answer)

    def cancel(self, future: concurrent.futures.Future[Any]) -> bool:
        """Stop a call: one that waits is not started, the process of one that runs is killed. False when it is over."""
        if future.cancel():
            return True
        with self._lock:
            if future.done():
                return False
            self._cancelled.add(future)
            process = self._busy.get(future)
            if process is not None:
                process.kill()
            return True

    def was_cancelled(self, future: concurrent.futures.Future[Any]) -> bool:
        """Whether :meth:`cancel` has stopped this call."""
        return future in self._cancelled

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; with ``wait`` when they have done what was submitted."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        self._end_processes()
        atexit.unregister(self._end_processes)

    def _end_processes(self) -> None:
        with self._lock:
            processes = [*self._idle, *self._busy.values()]
            self._idle.clear()
        for process in processes:
            process.kill()


class _Process:
    """One process. Raises OSError when the system does not let us start it."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # never fork: this process has threads
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs,))
        # Ctrl-C is for everyone in the terminal, and ours to answer: they must not die of it while they begin.
        mask = getattr(signal, "pthread_sigmask", lambda how, which: None)
        mask(signal.SIG_BLOCK, [signal.SIGINT]) if hasattr(signal, "SIG_BLOCK") else None
        try:
            self._process.start()
        finally:
            mask(signal.SIG_UNBLOCK, [signal.SIGINT]) if hasattr(signal, "SIG_UNBLOCK") else None
        theirs.close()

    @property
    def lives(self) -> bool:
        """Whether it can be asked again."""
        return self._process.is_alive()

    def ask(self, fn: Any, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether ``fn(*args)`` returned, and what; or what it raised. Raises ProcessDied."""
        try:
            self._connection.send((fn, args))
            answer: tuple[bool, Any] = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise ProcessDied(f"its process ended with exit code {self._process.exitcode}") from error
        return answer

    def kill(self) -> None:
        """End it now."""
        with suppress(ValueError):
            self._process.kill()
            self._process.join(1.0)


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    while True:
        try:
            fn, args = connection.recv()
        except EOFError:  # whoever has started us is gone
            return
        try:
            answer = True, fn(*args)
        except Exception as error:
            answer = False, error
        connection.send(answer)
