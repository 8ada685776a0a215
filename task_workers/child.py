"""A worker's child process: import the app, run slots. Started by the supervisor: ``python -m task_workers.child``.

Its duties, and how it dies:

1. It is told what to be by the first line of its standard input, and orders by the lines that follow.
2. The main thread is one of the slots' threads, so that a task that sleeps can be woken by a signal.
3. ``drain`` (or SIGTERM): take no more calls, finish what runs, hand back the rest, exit 0.
4. The end of the input means that the supervisor is gone: exit at once. On Linux the kernel kills it even if it is
   stuck in C code, so that no orphan goes on with calls that others have been given.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from typing import Any, Final, NoReturn

from orchestrator import failpoints, interrupt, registry
from orchestrator.description import parameters
from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.fleet import current_fleet
from orchestrator.slots import Slots, SlotsOptions
from orchestrator.tracing.sending import flush
from task_workers import logs
from task_workers.app import import_app
from task_workers.last_stack import tell_stacks
from task_workers.options import ChildSpec
from task_workers.slot_table import SlotTable

ORPHANED: Final = 70  # exit code of a child whose supervisor has gone
SPANS_SECONDS: Final = 1.0  # for spans that wait to be collected, before the process ends
CUT_OFF: Final = 71  # and of one in which somebody has closed the descriptors that lead to it
PULSE_SHARE: Final = 1 / 8  # of a lease, between two signs of life to the supervisor
EARLY: Final = 0.9  # the replacement is asked for when so much of --max-tasks-per-child is done: capacity stays


class Supervisor:
    """The way to and from the supervisor: orders come in, events go out."""

    def __init__(self) -> None:
        # User code must neither read the orders nor pass them on to the programs it starts.
        self._orders = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._rest = b""
        self._events: int | None = None
        self._ways: dict[int, tuple[int, int] | None] = {}
        self._lock = threading.Lock()

    def read_spec(self) -> ChildSpec:
        """The first line."""
        while b"\n" not in self._rest:
            self._read()
        line, _, self._rest = self._rest.partition(b"\n")
        spec = ChildSpec.from_json(json.loads(line))
        os.set_inheritable(spec.events_fd, False)
        os.set_inheritable(spec.table_fd, False)
        self._events = spec.events_fd
        self._ways = {fd: _file_behind(fd) for fd in (self._orders, spec.events_fd)}
        return spec

    def is_cut_off(self) -> bool:
        """Whether somebody in this process has closed our descriptors; others may have got their numbers since."""
        return any(_file_behind(fd) != file for fd, file in self._ways.items())

    def _read(self) -> None:
        more = os.read(self._orders, 65536)
        if not more:
            os._exit(ORPHANED)
        self._rest += more

    def next_orders(self, wake_fd: int) -> list[dict[str, Any]]:
        """Block until there are orders; SIGTERM, which arrives at ``wake_fd``, is the order to drain."""
        waiting = b"\n" in self._rest  # they came together with the first line
        readable, _, _ = select.select([self._orders, wake_fd], [], [], 0 if waiting else None)
        orders: list[dict[str, Any]] = []
        if wake_fd in readable and signal.SIGTERM in os.read(wake_fd, 4096):
            orders.append({"do": "drain", "why": "SIGTERM"})
        if self._orders in readable:
            self._read()
        if b"\n" in self._rest:
            *lines, self._rest = self._rest.split(b"\n")
            orders += [json.loads(line) for line in lines]
        return orders

    def tell(self, event: str, **facts: Any) -> None:
        """Report; a supervisor that is gone is noticed elsewhere."""
        blob = json.dumps({"event": event, **facts}).encode() + b"\n"
        try:
            with self._lock:
                while blob:
                    assert self._events is not None
                    blob = blob[os.write(self._events, blob) :]
        except OSError:
            pass


def _file_behind(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its supervisor dies (Linux)."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we could ask
        os._exit(ORPHANED)


def handle_signals() -> int:
    """Let SIGTERM arrive at a descriptor (returned) and SIGINT, which the terminal sends to everyone, pass.

    Handlers that do nothing, rather than SIG_IGN: programs started by tasks would inherit that.
    """
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda signum, frame: None)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # works also while the main thread is busy in C code
    interrupt.install()
    return reader


class Child:
    """The slots of this process, and how they end."""

    def __init__(self, spec: ChildSpec, supervisor: Supervisor) -> None:
        self._spec, self._supervisor = spec, supervisor
        self._ending = threading.Lock()
        self._recycling = False
        on_end = self._count if spec.max_tasks is not None else None
        options = SlotsOptions(spec.queues, spec.threads, spec.async_concurrency, spec.consumer)
        self._table = SlotTable(spec.table_fd, on_end)
        if spec.cells_fd is not None:
            from orchestrator.metrics.recording import CallRecorder

            os.set_inheritable(spec.cells_fd, False)
            CallRecorder(spec.cells_fd).listen()
        self.slots = Slots(current_fleet(), options, self._table)
        self.slots.pause_all(spec.paused)

    def run(self) -> None:
        """Work until told to stop; does not return."""
        self._start()
        self._supervisor.tell("ready", tasks=registry.keys(), parameters=parameters(), pid=os.getpid())
        self.slots.loop()
        threading.Event().wait()  # the thread that drains ends the process

    def _start(self) -> None:
        pause = 0.1
        while True:
            try:
                return self.slots.start(own_thread=True)
            except BrokerError:  # the supervisor has said so; a replacement waits until the server is back
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def obey(self, wake_fd: int) -> None:
        """Follow orders for ever; a thread of its own."""
        while True:
            try:
                orders = self._supervisor.next_orders(wake_fd)
            except OSError:  # closed by a task
                give_up()
            for order in orders:
                if order["do"] == "quit":
                    os._exit(0)
                if order["do"] in ("pause", "resume"):
                    self.slots.pause_all(order["do"] == "pause")
                if order["do"] == "drain":
                    if order.get("why") == "SIGTERM":
                        self._recycle("it got SIGTERM")
                    self._end_soon(order.get("grace_seconds", self._spec.shutdown_timeout_seconds))

    def pulse(self) -> None:
        """Show for ever that this process is not frozen, and when it has heard from the server; a thread of its own."""
        seconds = max(0.05, current_fleet().settings.lease_seconds * PULSE_SHARE)
        while True:
            self._table.pulse(self.slots.heard_at)
            if self._supervisor.is_cut_off():
                give_up()
            time.sleep(seconds)

    def _count(self, ended: int) -> None:
        most = self._spec.max_tasks or 0
        if ended >= most * EARLY if most >= 10 else ended >= most:
            self._recycle(f"it has run {ended} calls")
        if ended >= most:
            self._end_soon(None)

    def _recycle(self, why: str) -> None:
        if not self._recycling:
            self._recycling = True
            self._supervisor.tell("recycle", why=why)

    def _end_soon(self, grace_seconds: float | None) -> None:
        """Drain and exit, in a thread of its own; ``None``: however long the running calls take."""
        if self._ending.acquire(blocking=False):
            self.slots.drain()  # in the thread that counts, before it takes another call
            threading.Thread(target=self._end, args=(grace_seconds,), name="end", daemon=True).start()

    def _end(self, grace_seconds: float | None) -> None:
        clean = self.slots.stop(float("inf") if grace_seconds is None else grace_seconds)
        self._supervisor.tell("drained", clean=clean)
        flush(SPANS_SECONDS)
        leave(0)


def give_up() -> NoReturn:
    """End a process whose descriptors a task has closed: it hears no orders, and its connections are gone as well.

    Its supervisor starts another one; the calls that run are charged, as by any death.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("orchestrator: a task has closed descriptors that are not its own; its process ends\n")
    leave(CUT_OFF)


def leave(code: int) -> NoReturn:
    """End the process: a user's thread that does not end must not keep it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def main() -> None:
    """The program."""
    supervisor = Supervisor()
    spec = supervisor.read_spec()
    die_with_parent(spec.parent_pid)
    wake_fd = handle_signals()
    faulthandler.enable(all_threads=False)  # a crash in C code says where
    logs.set_up(spec.log_level, spec.log_format, f"{spec.number}", worker=spec.worker)
    tell_stacks(spec.stacks_fd)
    failpoints.arm(os.environ.get(failpoints.VARIABLE))
    try:
        for app in spec.apps:
            import_app(app)
        if not registry.known():
            raise ConfigurationError(
                f"the app {', '.join(spec.apps)} has no tasks: is @task from orchestrator used in it?"
            )
        child = Child(spec, supervisor)
    except Exception as error:
        text = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        supervisor.tell("failed", text=text)
        leave(1)
    threading.Thread(target=child.obey, args=(wake_fd,), name="orders", daemon=True).start()
    threading.Thread(target=child.pulse, name="pulse", daemon=True).start()
    try:
        child.run()
    except BaseException:  # threads of the user's would keep a process whose main thread has failed
        traceback.print_exc()
        leave(1)


if __name__ == "__main__":
    main()
