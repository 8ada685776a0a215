"""A worker's child process: import the app, run slots. Its supervisor starts it.

Its duties, and how it dies:

1. The first line of its standard input says what it is to be, the lines that follow are orders.
2. The main thread is one of the slots' threads, so that a task that sleeps can be woken by a signal.
3. ``drain`` (or SIGTERM): take no more calls, finish what runs, hand back the rest, exit 0.
4. The end of the input means that the supervisor is gone: exit at once. On Linux the kernel kills it even if it is
   stuck in C code, so that no orphan goes on with calls that others have been given.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final, NoReturn

from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.maintenance.schedule_writer import ScheduleWriter
from orchestrator.observability.tracing.sending import flush
from orchestrator.runnables import registry
from orchestrator.slots import Slots, SlotsOptions, failpoints
from orchestrator.slots.description import parameters
from task_workers import logs
from task_workers.app import import_tasks
from task_workers.supervisor.child_signals import Signals, die_with_parent
from task_workers.supervisor.last_stack import report_stacks
from task_workers.supervisor.messages import ChildSpec, Drain, Drained, Failed, Pause, Ready, Recycle
from task_workers.supervisor.slot_table import SlotTable
from task_workers.supervisor.supervisor_pipe import SupervisorPipe, Terminate

SPANS_SECONDS: Final = 1.0  # for spans that wait to be collected, before the process ends
CUT_OFF: Final = 71  # exit code of a child in which somebody has closed the descriptors that lead to it
PULSE_SHARE: Final = 1 / 8  # of a lease, between two signs of life to the supervisor
EARLY: Final = 0.9  # the replacement is asked for when so much of --max-tasks-per-child is done: capacity stays


class Child:
    """The slots of this process, and how they end."""

    def __init__(self, spec: ChildSpec, supervisor: SupervisorPipe, signals: Signals) -> None:
        self._spec, self._supervisor = spec, supervisor
        self._ending = threading.Lock()
        self._recycling = False
        on_end = self._count if spec.max_tasks is not None else None
        options = SlotsOptions(
            tuple(spec.queues),
            spec.threads,
            spec.async_concurrency,
            spec.consumer,
            for_flow_runs=spec.for_flow_runs,
        )
        self._table = SlotTable(spec.table_fd, on_end)
        if spec.cells_fd is not None:
            from orchestrator.observability.metrics.recording import CallRecorder

            os.set_inheritable(spec.cells_fd, False)
            CallRecorder(spec.cells_fd).listen()
        # what the app has set while it was imported holds in every slot, as it would in a process with one thread
        self.slots = Slots(current_fleet(), options, self._table, context=copy_context(), between_calls=signals.restore)
        self.slots.pause_all(spec.paused)

    def run(self) -> None:
        """Work until stopped; does not return."""
        self._start()
        self._supervisor.send(Ready(registry.keys(), registry.scripts(), parameters(), os.getpid()))
        if self._spec.number == 0:  # all of them have imported the same
            ScheduleWriter(current_fleet()).start()
        self.slots.loop()
        threading.Event().wait()  # the thread that drains ends the process

    def _start(self) -> None:
        pause = 0.1
        while True:
            try:
                return self.slots.start(own_thread=True)
            except BrokerError:  # the supervisor has logged it; a replacement waits until the server is back
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def obey(self, wake_fd: int) -> None:
        """Follow orders for ever; a thread of its own."""
        while True:
            try:
                orders = self._supervisor.next_orders(wake_fd)
            except OSError:  # closed by a task
                end_cut_off()
            for order in orders:
                match order:
                    case Pause(paused):
                        self.slots.pause_all(paused)
                    case Drain(grace_seconds):
                        self._end_soon(grace_seconds)
                    case Terminate():
                        self._recycle("it got SIGTERM")
                        self._end_soon(self._spec.shutdown_timeout_seconds)

    def pulse(self) -> None:
        """Show for ever that this process is not frozen, and when the server answered last; a thread of its own."""
        seconds = max(0.05, current_fleet().settings.lease_seconds * PULSE_SHARE)
        while True:
            self._table.pulse(self.slots.answered_at)
            if self._supervisor.is_cut_off():
                end_cut_off()
            time.sleep(seconds)

    def _count(self, ended: int) -> None:
        if self._spec.for_flow_runs:
            return self._count_flow_run()
        most = self._spec.max_tasks or 0
        if ended >= most * EARLY if most >= 10 else ended >= most:
            self._recycle(f"it has run {ended} calls")
        if ended >= most:
            self._end_soon(None)

    def _count_flow_run(self) -> None:
        """A flow run has ended, and so does its process, unless the run ran in the place of one that waits here."""
        if len(self.slots.running_calls) <= 1:  # the one that has just ended is among them
            self._end_soon(None)

    def _recycle(self, why: str) -> None:
        if not self._recycling:
            self._recycling = True
            self._supervisor.send(Recycle(why))

    def _end_soon(self, grace_seconds: float | None) -> None:
        """Drain and exit, in a thread of its own; ``None``: however long the running calls take."""
        if self._ending.acquire(blocking=False):
            self.slots.drain()  # in the thread that counts, before it takes another call
            _start_thread("end", self._end, grace_seconds)

    def _end(self, grace_seconds: float | None) -> None:
        clean = self.slots.stop(float("inf") if grace_seconds is None else grace_seconds)
        if self._spec.for_flow_runs:  # only now: so many flow runs as there are places are at work, never one more
            self._recycle("its flow run has ended")
        self._supervisor.send(Drained(clean))
        flush(SPANS_SECONDS)
        leave(0)


def end_cut_off() -> NoReturn:
    """End a process whose descriptors a task has closed: it receives no commands, and its connections are gone as well.

    Its supervisor starts another one; the calls that run are charged, as by any death.
    """
    with contextlib.suppress(Exception):
        sys.stderr.write("orchestrator: a task has closed descriptors that are not its own; its process ends\n")
    leave(CUT_OFF)


def _start_thread(name: str, run: Callable[..., None], *args: Any) -> None:
    """Start a thread that the process cannot do without: when it fails the process ends, and is replaced."""

    def run_or_end() -> None:
        try:
            run(*args)
        except BaseException:
            with contextlib.suppress(Exception):
                traceback.print_exc()
            leave(1)

    threading.Thread(target=run_or_end, name=name, daemon=True).start()


def leave(code: int) -> NoReturn:
    """End the process: a user's thread that does not end must not keep it."""
    for stream in (sys.stdout, sys.stderr, *logging.getLogger().handlers):
        with contextlib.suppress(Exception):  # tasks may have put anything there, None for instance
            stream.flush()
    os._exit(code)


def main() -> None:
    """The program, for a child that is spawned."""
    run(SupervisorPipe())


def run(supervisor: SupervisorPipe, writer: logs.LineWriter | None = None, failure: str | None = None) -> NoReturn:
    """Be a child until it ends.

    Args:
        supervisor: where its spec and its orders come from.
        writer: of its log lines, in a process that was forked from one that has imported the app.
        failure: why the app could not be imported there.
    """
    spec = supervisor.read_spec()
    die_with_parent(spec.parent_pid)
    signals = Signals()
    faulthandler.enable(all_threads=False)  # a crash in C code says where
    report_stacks(spec.stacks_fd)
    failpoints.arm(os.environ.get(failpoints.VARIABLE))
    if writer is None:
        logs.set_up(spec.log_level, spec.log_format, f"{spec.number}", worker=spec.worker)
        failure = import_tasks(spec.apps, spec.python_path, spec.for_flow_runs)
    else:
        writer.who = f"{spec.number}"
    try:
        if failure is None:
            child = Child(spec, supervisor, signals)
    except Exception as error:
        failure = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    if failure is not None:
        supervisor.send(Failed(failure))
        leave(1)
    _start_thread("orders", child.obey, signals.wake_fd)
    _start_thread("pulse", child.pulse)
    try:
        child.run()
    except BaseException:  # threads of the user's would keep a process whose main thread has failed
        traceback.print_exc()
    leave(1)


if __name__ == "__main__":
    main()
