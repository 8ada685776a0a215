"""The supervisor's hold on one child process: start it, tell it, hear it, see how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Set
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from brokers.contract import KillVerdict
from orchestrator.description import process_facts
from orchestrator.metrics.cells import CellReader, open_cells
from task_workers.last_stack import StackFile
from task_workers.memory import peak_mb
from task_workers.options import ChildSpec, WorkerOptions
from task_workers.slot_table import TableReader, open_table

WAITING_ROWS: Final = 256  # room for calls that lent their slot out while they wait for others
MEMORY_SUSPECT: Final = "; out of memory?"


class News(NamedTuple):
    """Something about a child (``None``: about the supervisor itself)."""

    event: str
    child: ChildHandle | None = None
    facts: dict[str, Any] = {}  # noqa: RUF012 - read only


class ChildHandle:
    """One child process.

    Must be made in a thread that lives as long as the supervisor: on Linux the kernel kills a child when the *thread*
    that started it ends.

    Args:
        options: what the worker is.
        worker_id: name of the supervisor's inbox.
        number: its place among the children.
        news: where its events go: ready, failed, recycle, drained, died.
    """

    def __init__(self, options: WorkerOptions, worker_id: str, number: int, news: queue.SimpleQueue[News]) -> None:
        self.number = number
        self.consumer = f"{worker_id}.{number}{secrets.token_hex(2)}"
        self._options = options
        self._news = news
        self.tasks: list[str] = []
        self.parameters = "{}"  # of the tasks, as JSON
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.started = time.monotonic()
        self.ready_at: float | None = None
        self.asked_to_end = False
        self.drained = False  # it said that it has finished
        self.replaces: ChildHandle | None = None
        self.replaced = False  # somebody else has its place already
        self.killed_because: str | None = None
        self.verdicts: dict[str, KillVerdict] = {}
        self.charge = True
        self.cells: CellReader | None = None  # what it has counted, if that is wanted
        self._process: subprocess.Popen[bytes] | None = None
        self._stacks: StackFile | None = None
        self._peak_mb = 0.0  # known when it has ended

    def launch(self, paused: bool = False) -> None:
        """Start the process; ``paused``: it takes no calls. Raises OSError when the system does not let us."""
        options = self._options
        table = open_table(WAITING_ROWS + options.threads + options.async_concurrency)
        cells = open_cells() if options.metrics_port is not None else None
        events, events_child = os.pipe()
        try:
            stacks = self._stacks = StackFile()
            self.table = TableReader(table)
            spec = ChildSpec(
                options.apps,
                self.consumer,
                self.number,
                options.queues,
                options.threads,
                options.async_concurrency,
                options.max_tasks_per_child,
                options.shutdown_timeout_seconds,
                options.log_level,
                options.log_format,
                table,
                stacks.fd,
                events_child,
                os.getpid(),
                options.name,
                cells,
                paused,
            )
            if cells is not None:
                self.cells = CellReader(cells)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "task_workers.child"],
                stdin=subprocess.PIPE,
                pass_fds=(table, stacks.fd, events_child, *([cells] if cells is not None else [])),
            )
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
        self._tell(dataclasses.asdict(spec))
        listener = threading.Thread(target=self._listen, args=(events,), name=f"child-{self.number}-says", daemon=True)
        listener.start()
        threading.Thread(
            target=self._await_end, args=(listener,), name=f"child-{self.number}-ends", daemon=True
        ).start()

    # -- two threads ---------------------------------------------------------------------------------------------

    def _listen(self, events: int) -> None:
        with open(events, encoding="utf-8") as lines:
            for line in lines:
                facts = json.loads(line)
                self._news.put(News(facts.pop("event"), self, facts))

    def _await_end(self, listener: threading.Thread) -> None:
        # Not the end of its event pipe: a program that a task has forked may keep that open.
        process = self._process
        assert process is not None
        try:
            _, status, used = os.wait4(process.pid, 0)  # as wait(), and it tells the memory
        except ChildProcessError:  # a supervisor that was started with SIGCHLD ignored never learns how children end
            process.wait()
        else:
            self._peak_mb = peak_mb(used)
            process.returncode = os.waitstatus_to_exitcode(status)
        listener.join(0.5)  # its last words come first
        self._news.put(News("died", self))

    # -- orders --------------------------------------------------------------------------------------------------

    def _tell(self, order: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # it is dead, which is noticed elsewhere

    def drain(self, grace_seconds: float | None) -> None:
        """Take no more calls, finish those that run (``None``: however long they take), and exit."""
        self.asked_to_end = True
        self._tell({"do": "drain", "grace_seconds": grace_seconds})

    def pause(self, paused: bool) -> None:
        """Take no new calls until told otherwise."""
        self._tell({"do": "pause" if paused else "resume"})

    def condemn(self, because: str, verdicts: dict[str, KillVerdict]) -> None:
        """It will be killed: from now on its death is our doing, so that none of its calls is charged for it.

        ``verdicts``: what becomes of the calls that are the reason; the others are given to other workers.
        """
        if self.killed_because is None:
            self.killed_because, self.charge = because, False
        self.verdicts.update(verdicts)

    def kill(self, because: str) -> None:
        """SIGKILL; what ran in it is given to other workers, uncharged, unless there is a verdict."""
        self.condemn(because, {})
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def last_stacks(self, threads: Set[int]) -> dict[int, str]:
        """The Python stacks of its threads now, as text by thread; takes half a second if it does not tell these."""
        return {} if self._stacks is None else self._stacks.ask(self.pid, threads, lambda: self.ended)

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
        # Not poll(): the thread that waits for the end wants to be told how much memory was used.
        return None if self._process is None else self._process.returncode

    def how_it_ended(self) -> str:
        """For people: what became of the process, and how much memory it had used."""
        told = explained(self.exit_code or 0)
        return f"{told}; peak memory {self._peak_mb:.0f} MiB" if self._peak_mb else told

    def facts(self, name: str, inbox: str, paused: bool) -> dict[str, str]:
        """What the consumer says of itself, and where its worker takes orders; nothing before it knows its tasks."""
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
