"""A worker: some child processes that run calls, and this process, which looks after them.

1. It starts the children, replaces those that die (slower and slower if they die at once) or are to be recycled.
2. It says for all of them that they live: a child that sits in C code for an hour is alive.
3. When one dies, its calls are elsewhere at once, with the reason.
4. It kills children for calls that do not stop, see ``killer``.
5. Signals: SIGTERM and SIGINT drain, a second one kills; SIGHUP replaces the children (new code).

Everything is decided in the main thread, one event at a time. If it is killed itself, the kernel kills the
children, and other workers take over when the lease ends.
"""

from __future__ import annotations

import logging
import queue
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
from orchestrator.client.fleet import Fleet
from orchestrator.client.server_wait import wait_for_server
from orchestrator.errors import BrokerError
from orchestrator.maintenance import Chore, WorkerHost
from orchestrator.slots.action_runner import ActionRunner
from task_workers import banner
from task_workers.health import memory
from task_workers.health.health import WorkerHealth
from task_workers.options import WorkerOptions
from task_workers.supervisor.child_pool import ChildPool
from task_workers.supervisor.child_process import ChildHandle
from task_workers.supervisor.child_starter import ChildStarter
from task_workers.supervisor.crash_recovery import CrashRecovery, exit_of
from task_workers.supervisor.events import Events, PauseRequested, ReloadRequested, StarterReady, StopRequested
from task_workers.supervisor.killer import Killer
from task_workers.supervisor.managed_process import ManagedChild
from task_workers.supervisor.releaser import Releaser
from task_workers.supervisor.timers import Timers

log = logging.getLogger("orchestrator.worker")
LOOK_UP_SECONDS: Final = 1.0


class Supervisor:
    """The parent process of some children: signals, inbox, chores; see :class:`ChildPool` for what it decides.

    Args:
        fleet: where the calls come from.
        options: what the worker is.
        starter: of its children.
        chores: what this worker does beside those that every one does.
    """

    def __init__(
        self, fleet: Fleet, options: WorkerOptions, starter: ChildStarter, chores: Sequence[Chore] = ()
    ) -> None:
        self._fleet, self._options, self._starter = fleet, options, starter
        self.worker_id = f"{options.name}-{secrets.token_hex(3)}"
        self._events: Events = queue.SimpleQueue()
        starter.on_ready = lambda: self._events.put(StarterReady())
        self._timers = Timers()
        self._pool = ChildPool(options, self, self._timers)
        self._crash_recovery = CrashRecovery(fleet)
        self._killer = Killer(lambda: self._pool.children, fleet.settings.kill_grace_seconds)
        self._host = WorkerHost(
            fleet, self._facts_by_consumer, queues=options.queues, on_stop=self._obey_stop, on_pause=self._pause
        )
        releaser = Releaser(fleet, options.queues, lambda: self._pool.children)
        self._host.add(self._crash_recovery, self._killer, releaser, ActionRunner(fleet, self._host.reactor), *chores)
        self._health = WorkerHealth(fleet, options, lambda: self._pool.children, lambda: self._pool.stopping)
        self._probe_servers = self._health.probe_servers()

    # -- the whole life ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until stopped; returns the exit code of the worker.

        In the main thread it obeys signals. Another one has to live as long as this goes on, and :meth:`stop` ends it.

        Raises:
            BrokerError: the server does not answer at the start.
        """
        for probe_server in self._probe_servers:
            probe_server.open()
            log.info("%s at %s", ", ".join(probe_server.paths), probe_server.url)
        self._host.listen(self.worker_id, self._killer.obey)
        before = self._handle_signals()
        self._host.start()
        try:
            self._pool.start()
            if self._options.reload:
                self._watch_files()
            while (exit_code := self._next()) is None:
                pass
        finally:
            self._close()
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self.failure is not None and not self._options.for_flow_runs:
            self._report_failure(self.failure)
        return exit_code

    def _next(self) -> int | None:
        """Handle one event, and what is due; the exit code when the worker is to end."""
        self._health.note_loop()
        self._timers.run_due()
        if self._pool.exit_code is None:
            # Not for longer: a signal that the kernel gives to another thread (this one was stopped a moment ago) is
            # noted there, and obeyed when this thread looks.
            try:
                event = self._events.get(timeout=self._timers.seconds_left(at_most=LOOK_UP_SECONDS))
            except queue.Empty:
                return None
            self._pool.handle(event)
        return self._pool.exit_code

    def _close(self) -> None:
        self._pool.close()
        self._crash_recovery.finish(2.0)
        self._host.stop()
        for probe_server in self._probe_servers:
            probe_server.close()

    def _report_failure(self, text: str) -> None:
        if self._options.log_format == "json":
            log.error("%s", text)
        else:
            print(f"orchestrator: {text}", file=sys.stderr)

    # -- where events come from ----------------------------------------------------------------------------------

    def _handle_signals(self) -> dict[signal.Signals, Any]:
        """From now on they are events; returns what handled them before."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        hang_up = ReloadRequested() if self._can_reload() else StopRequested()
        events = {signal.SIGTERM: StopRequested(), signal.SIGINT: StopRequested(), signal.SIGHUP: hang_up}
        return {
            signum: signal.signal(signum, lambda number, frame: self._events.put(events[signal.Signals(number)]))
            for signum in events
            if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN  # nohup
        }

    def _can_reload(self) -> bool:
        """Whether SIGHUP means new code: not from a terminal that is closed, nor where the code was registered."""
        return not self._options.for_flow_runs and not _has_terminal()

    def stop(self, why: str | None = None) -> None:
        """Drain, from any thread; a second time kills."""
        self._events.put(StopRequested(why))

    def _obey_stop(self) -> None:
        if not self._pool.stopping:  # a command is sent again and again: a second one kills nothing
            self.stop("an order to stop")

    @property
    def failure(self) -> str | None:
        """Why the worker could not begin."""
        return self._pool.failure

    def _pause(self, paused: bool) -> None:
        self._events.put(PauseRequested(paused))

    def _watch_files(self) -> None:
        from task_workers.supervisor.reload import watch_files

        watch_files(lambda why: self._events.put(ReloadRequested(why)))

    # -- what the pool asks for ----------------------------------------------------------------------------------

    def can_start_children(self) -> bool:
        """Whether a child can be started now; if not, the event ``StarterReady`` follows."""
        return self._starter.is_ready()

    def code_changed(self) -> None:
        """Import the app anew for children that start from now on."""
        self._starter.renew()

    def import_failed(self) -> None:
        """Import the app anew for the next child."""
        self._starter.forget_import()

    def start_child(self, number: int, paused: bool) -> ManagedChild:
        """Start a process. Raises OSError when the system does not let us."""
        child = ChildHandle(self._options, self.worker_id, number, self._events)
        try:
            # Alive before its first claim: claims of a consumer that never had a lease would never be taken over.
            self._fleet.broker.consumers.beat([child.consumer], self._fleet.settings.lease_seconds)
        except BrokerError as error:
            log.debug("a child starts while the server is away: %s", error)
        child.launch(self._starter.start, paused)
        return child

    def child_exited(self, child: ManagedChild, charged: bool) -> bool:
        """Its calls go to other workers; those that died with it are charged for it, unless we killed it."""
        death, ran = exit_of(child, charged)
        if charged:
            running = f" while it ran {', '.join(death.running)}" if death.running else ""
            log.error("child %d (process %d): %s%s", child.number, child.pid, child.how_it_ended(), running)
        self._crash_recovery.report(death)
        self._health.reap(child, charged)
        child.close()
        return ran

    def first_child_ready(self, tasks: list[str]) -> None:
        """Show the banner, unless the host of served flows has shown its own."""
        if not self._options.for_flow_runs:
            banner.show(self._fleet, self._options, tasks)

    def facts_changed(self) -> None:
        """Send the descriptions of the workers soon."""
        self._host.publish_soon()

    def queues_are_empty(self, consumers: list[str]) -> bool:
        """Whether no call waits and none of these consumers holds one, twice in a row."""
        return self._host.queues_are_empty(consumers)

    def resident_mb(self, pid: int) -> float:
        """The resident memory of a process in MiB; 0 if it is gone."""
        return memory.resident_mb(pid)

    def _facts_by_consumer(self) -> dict[str, dict[str, str]]:
        name, paused = self._options.name, self._pool.paused
        return {child.consumer: child.facts(name, self.worker_id, paused) for child in self._pool.children}


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def supervise(fleet: Fleet, options: WorkerOptions, starter: ChildStarter) -> int:
    """Run a worker in this process, once its server answers; returns its exit code.

    Raises:
        BrokerError: the server refuses us; for a worker that ends when the queues are empty, it does not answer.
    """
    if options.burst:
        fleet.broker.health.ping()
    wait_for_server(fleet)
    return Supervisor(fleet, options, starter).run()


__all__ = ["Supervisor", "supervise"]
