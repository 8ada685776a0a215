"""One child process, as its supervisor sees it: start it, send orders, receive messages, see how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from typing import Final

from brokers.messages import KillVerdict
from orchestrator.observability.metrics.cells import CellReader, open_cells
from orchestrator.slots.description import process_facts
from task_workers.health.memory import peak_mb
from task_workers.options import WorkerOptions
from task_workers.supervisor.child_starter import ChildFiles, StartedProcess
from task_workers.supervisor.events import ChildDied, ChildSaid, Events
from task_workers.supervisor.last_stack import StackFile
from task_workers.supervisor.managed_process import ChildPhase
from task_workers.supervisor.messages import (
    ChildSpec,
    Drain,
    Drained,
    Order,
    Pause,
    UnreadableMessage,
    decode_child_message,
    encode,
)
from task_workers.supervisor.slot_table import TableReader, open_table

log = logging.getLogger("orchestrator.worker")
WAITING_ROWS: Final = 256  # room for calls that lent their slot out while they wait for others
MEMORY_SUSPECT: Final = "; out of memory?"
StartChild = Callable[[ChildFiles], tuple[StartedProcess, ChildFiles]]


class ChildHandle:
    """One child process.

    Must be made in a thread that lives as long as the supervisor: on Linux the kernel kills a child when the *thread*
    that started it ends.

    Args:
        options: what the worker is.
        worker_id: name of the supervisor's inbox.
        number: its place among the children.
        events: where its messages and its death go.
    """

    def __init__(self, options: WorkerOptions, worker_id: str, number: int, events: Events) -> None:
        self.number = number
        self.consumer = f"{worker_id}.{number}{secrets.token_hex(2)}"
        self._options = options
        self._events = events
        self.tasks: list[str] = []
        self.scripts: list[str] = []  # names of these tasks when their files are run as scripts
        self.parameters = "{}"  # of the tasks, as JSON
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.started = time.monotonic()
        self.ready_at: float | None = None
        self.phase = ChildPhase.STARTING
        self._phase_lock = threading.Lock()  # the killer condemns in a thread of its own
        self.killed_because: str | None = None
        self.verdicts: dict[str, KillVerdict] = {}
        self._ended_clean = False  # it has reported that no call ran any more
        self.cells: CellReader | None = None  # what it has counted, if that is wanted
        self._process: StartedProcess | None = None
        self._stacks: StackFile | None = None
        self._peak_mb = 0.0  # known when it has ended

    def launch(self, start: StartChild, paused: bool = False) -> None:
        """Start the process; ``paused``: it takes no calls. Raises OSError when the system does not let us."""
        options = self._options
        table = open_table(WAITING_ROWS + options.threads + options.async_concurrency)
        cells = open_cells() if options.metrics_port is not None else None
        events, events_child = os.pipe()
        try:
            stacks = self._stacks = StackFile()
            self.table = TableReader(table)
            if cells is not None:
                self.cells = CellReader(cells)
            self._process, theirs = start(ChildFiles(table, stacks.fd, events_child, cells))
            stacks.fd_in_child = theirs.stacks
        except BaseException:
            os.close(events)
            if self._stacks is not None:
                self._stacks.close()
            raise
        finally:
            os.close(table)
            os.close(events_child)
            if cells is not None:
                os.close(cells)
        self._send(self._spec(paused, theirs))
        listener = threading.Thread(target=self._listen, args=(events,), name=f"child-{self.number}-says", daemon=True)
        listener.start()
        threading.Thread(
            target=self._await_end, args=(listener,), name=f"child-{self.number}-ends", daemon=True
        ).start()

    def _spec(self, paused: bool, files: ChildFiles) -> ChildSpec:
        options = self._options
        return ChildSpec(
            apps=list(options.apps),
            consumer=self.consumer,
            number=self.number,
            queues=list(options.queues),
            threads=options.threads,
            async_concurrency=options.async_concurrency,
            max_tasks=options.max_tasks_per_child,
            shutdown_timeout_seconds=options.shutdown_timeout_seconds,
            log_level=options.log_level,
            log_format=options.log_format,
            table_fd=files.table,
            stacks_fd=files.stacks,
            events_fd=files.events,
            parent_pid=os.getpid(),
            worker=options.name,
            cells_fd=files.cells,
            paused=paused,
            for_flow_runs=options.for_flow_runs,
            python_path=list(options.python_path),
        )

    # -- two threads ---------------------------------------------------------------------------------------------

    def _listen(self, events: int) -> None:
        with open(events, "rb") as lines:
            for line in lines:
                try:
                    message = decode_child_message(line)
                except UnreadableMessage:  # a task has found the descriptor
                    log.warning("child %d (process %d) sent an event that cannot be read", self.number, self.pid)
                    continue
                self._ended_clean = self._ended_clean or (isinstance(message, Drained) and message.clean)
                self._events.put(ChildSaid(self, message))

    def _await_end(self, listener: threading.Thread) -> None:
        # Not the end of its event pipe: a program that a task has forked may keep that open.
        process = self._process
        assert process is not None
        self._end_what_it_started(process.pid, listener)
        try:
            _, status, used = os.wait4(process.pid, 0)  # as wait(), with the memory used
        except ChildProcessError:  # a supervisor that was started with SIGCHLD ignored never learns how children end
            process.wait()
        else:
            self._peak_mb = peak_mb(used)
            process.returncode = os.waitstatus_to_exitcode(status)
        listener.join(0.5)  # its last words come first
        self._events.put(ChildDied(self))

    def _end_what_it_started(self, pid: int, listener: threading.Thread) -> None:
        """Programs that its calls have started do not outlive calls that run again elsewhere, or not at all.

        Before the process is reaped: until then its id, which is its group's, is nobody else's.
        """
        if not hasattr(os, "waitid"):
            return
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            listener.join(0.5)  # it may have reported that nothing runs any more
            if not self._ended_clean:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)

    # -- orders --------------------------------------------------------------------------------------------------

    def _send(self, message: ChildSpec | Order) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # it is dead, which is noticed elsewhere

    def drain(self, grace_seconds: float | None) -> None:
        """Take no more calls, finish those that run (``None``: however long they take), and exit."""
        self.advance(ChildPhase.ENDING)
        self._send(Drain(grace_seconds))

    def pause(self, paused: bool) -> None:
        """Take no new calls until resumed."""
        self._send(Pause(paused))

    def condemn(self, because: str, verdicts: dict[str, KillVerdict]) -> None:
        """It will be killed: from now on its death is our doing, so that none of its calls is charged for it.

        ``verdicts``: what becomes of the calls that are the reason; the others are given to other workers.
        """
        self.killed_because = self.killed_because or because
        self.advance(ChildPhase.CONDEMNED)
        self.verdicts.update(verdicts)

    def kill(self, because: str) -> None:
        """SIGKILL, also to what its calls started; what ran in it goes to other workers, uncharged but for verdicts."""
        self.condemn(because, {})
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def last_stacks(self, threads: Set[int]) -> dict[int, str]:
        """The Python stacks of its threads now, as text by thread; takes half a second if it does not report them."""
        return {} if self._stacks is None else self._stacks.ask(self.pid, threads, lambda: self.ended)

    def advance(self, phase: ChildPhase) -> None:
        """It has come so far; a phase that is behind it changes nothing."""
        with self._phase_lock:
            self.phase = max(self.phase, phase)

    def introduce(self, tasks: list[str], scripts: list[str], parameters: str) -> None:
        """It is ready, and these are its tasks."""
        self.tasks, self.scripts, self.parameters = tasks, scripts, parameters

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def ended(self) -> bool:
        """Whether the process is known to be gone."""
        return self._process is None or self._process.returncode is not None

    @property
    def exit_code(self) -> int | None:
        # Not poll(): the thread that waits for the end wants the memory that was used.
        return None if self._process is None else self._process.returncode

    def how_it_ended(self) -> str:
        """For people: what became of the process, and how much memory it had used."""
        how = explained(self.exit_code or 0)
        return f"{how}; peak memory {self._peak_mb:.0f} MiB" if self._peak_mb else how

    def facts(self, name: str, inbox: str, paused: bool) -> dict[str, str]:
        """The description of the consumer, with the inbox of its worker; nothing before it knows its tasks."""
        if self.ready_at is None:
            return {}
        options = self._options
        return {
            "name": name,
            "host": os.uname().nodename,
            "pid": str(self.pid),
            "supervisor": str(os.getpid()),
            "child": str(self.number),
            "queues": ",".join(options.queues),
            "tasks": ",".join(self.tasks),
            "scripts": ",".join(self.scripts),
            "threads": str(options.threads),
            "async_concurrency": str(options.async_concurrency),
            "concurrency": str(options.processes),
            "inbox": inbox,
            "paused": str(paused).lower(),
            "started": self.started_at,
            "parameters": self.parameters,
            **process_facts(self.pid),
        }

    def close(self) -> None:
        """Give back what the dead process leaves."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self.table.close()
        if self._stacks is not None:
            self._stacks.close()


def explained(code: int) -> str:
    """An exit code in words.

    >>> explained(-11), explained(3)
    ('its worker process died: SIGSEGV (signal 11)', 'its worker process ended with exit code 3')
    """
    if code >= 0:
        return f"its worker process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"its worker process died: signal {-code}"
    if -code == signal.SIGKILL:
        return f"its worker process was killed: {name} (signal {-code}{MEMORY_SUSPECT})"
    return f"its worker process died: {name} (signal {-code})"
