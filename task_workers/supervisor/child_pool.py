"""The policy of a supervisor: when children start, are replaced, recycled, drained and killed.

Everything is decided in one thread, one event at a time. No process is touched here: children are started and dead ones
are reported through :class:`PoolHost`, so that tests decide with children of their own.
"""

from __future__ import annotations

import logging
from typing import Final

from task_workers.options import WorkerOptions
from task_workers.supervisor.child_places import ChildPlaces
from task_workers.supervisor.events import (
    ChildDied,
    ChildSaid,
    Event,
    PauseRequested,
    ReloadRequested,
    StarterReady,
    StopRequested,
)
from task_workers.supervisor.managed_process import ChildPhase, ManagedChild, died_unexpectedly
from task_workers.supervisor.messages import Drained, Failed, Ready, Recycle
from task_workers.supervisor.pool_host import PoolHost
from task_workers.supervisor.timers import Timers

log = logging.getLogger("orchestrator.worker")
MAX_STARTUP_FAILURES: Final = 3  # children that died before any was ever ready
KILL_MARGIN_SECONDS: Final = 1.5  # a child ends by itself when the time is over; then it is killed
SIGNAL_DEBOUNCE_SECONDS: Final = 0.1  # some send a signal to a process and to its group: that is not a second signal
MEMORY_SECONDS: Final = 1.0
BURST_SECONDS: Final = 0.2


class ChildPool:
    """The children of one worker.

    Args:
        options: what the worker is.
        host: starts processes and reports dead ones.
        timers: run by the thread that hands over events.
    """

    def __init__(self, options: WorkerOptions, host: PoolHost, timers: Timers) -> None:
        self._options, self._host, self._timers = options, host, timers
        self._everyday = logging.DEBUG if options.for_flow_runs else logging.INFO  # that children come and go
        self._places = ChildPlaces(options.processes, host, timers)
        self._deaths_before_ready = 0
        self._was_ready = False
        self._stopping_since: float | None = None
        self._clean = True
        self.failure: str | None = None  # why the worker could not begin
        self.exit_code: int | None = None  # of the worker, when it is to end

    @property
    def children(self) -> tuple[ManagedChild, ...]:
        """Those that live."""
        return self._places.children

    @property
    def paused(self) -> bool:
        """Whether they take no new calls."""
        return self._places.paused

    @property
    def stopping(self) -> bool:
        """Whether it takes no more calls."""
        return self._stopping_since is not None

    # -- the whole life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all children."""
        self._places.fill()
        if self._options.max_memory_per_child_mb is not None:
            self._timers.after(MEMORY_SECONDS, self._check_memory)

    def handle(self, event: Event) -> None:
        """Decide what follows from an event."""
        match event:
            case ChildSaid(child, message):
                self._handle_message(child, message)
            case ChildDied(child):
                self._child_died(child)
            case StarterReady():
                self._places.launch_waiting()
            case StopRequested(why):
                self._stop(why)
            case ReloadRequested(why):
                self._reload(why)
            case PauseRequested(paused):
                self._pause(paused)

    def _handle_message(self, child: ManagedChild, message: object) -> None:
        match message:
            case Ready():
                self._child_ready(child, message)
            case Failed(text):
                self._child_failed(child, text)
            case Recycle(why):
                self._recycle(child, why)
            case Drained(clean):
                self._child_drained(child, clean)

    def close(self) -> None:
        """Kill those that live; their calls are handed back."""
        for child in self.children:
            child.kill("the worker ends")
        for child in self.children:
            self._forget(child, charged=False)

    # -- requests ------------------------------------------------------------------------------------------------

    def _stop(self, why: str | None) -> None:
        now = self._timers.clock()
        if self._stopping_since is not None:
            if now - self._stopping_since < SIGNAL_DEBOUNCE_SECONDS:
                return None
            log.warning("killing the children; their calls are handed back")
            self._clean = False
            return self._kill_all("a second signal")
        self._begin_stop()
        seconds = self._options.shutdown_timeout_seconds
        log.info("%s: running calls are finished (for up to %g s), the others handed back", why or "stopping", seconds)
        for child in self.children:
            if child.ready_at is None:
                child.kill("it had not begun")
            else:
                child.drain(seconds)
        self._timers.after(seconds + KILL_MARGIN_SECONDS, self._shutdown_timed_out)
        self._end_if_alone()

    def _begin_stop(self) -> None:
        if self._stopping_since is None:
            self._stopping_since = self._timers.clock()
        self._places.close()

    def _shutdown_timed_out(self) -> None:
        if self.children:
            self._clean = False
            log.warning(
                "%d children have not ended in time and are killed; their calls are handed back", len(self.children)
            )
            self._kill_all("the shutdown timeout is over")

    def _kill_all(self, why: str) -> None:
        for child in self.children:
            child.kill(why)

    def _fail(self, text: str, why: str) -> None:
        """The worker cannot begin."""
        self.failure = text
        self._begin_stop()
        self._kill_all(why)

    def _end_if_alone(self) -> None:
        if self.stopping and not self.children and self.exit_code is None:
            self.exit_code = 0 if self._clean and self.failure is None else 1

    def _pause(self, paused: bool) -> None:
        log.info("an order to %s", "take no new calls until there is another one" if paused else "take calls again")
        self._places.paused = paused
        for child in self.children:
            child.pause(paused)
        self._host.facts_changed()

    def _reload(self, why: str) -> None:
        if self.stopping:
            return
        log.info("%s: the children are replaced", why)
        self._host.code_changed()
        self._places.renew()

    # -- recycling, and the end of a burst -----------------------------------------------------------------------

    def _recycle(self, child: ManagedChild, why: str) -> None:
        log.log(self._everyday, "child %d (process %d) is recycled: %s", child.number, child.pid, why)
        child.advance(ChildPhase.ENDING)
        self._places.replace(child)

    def _check_memory(self) -> None:
        limit = self._options.max_memory_per_child_mb or 0
        for child in self.children:
            if child.ready_at is not None and self._places.has_place(child) and not child.ended:
                used = self._host.resident_mb(child.pid)
                if used > limit:
                    log.info("child %d (process %d) is recycled: %.0f of %g MiB", child.number, child.pid, used, limit)
                    self._places.replace(child)
        self._timers.after(MEMORY_SECONDS, self._check_memory)

    def _check_backlog(self) -> None:
        if self.stopping:
            return
        busy = any(child.ready_at is None or child.table.rows() for child in self.children)
        if not busy and self._host.queues_are_empty([child.consumer for child in self.children]):
            return self._stop("the queues are empty")
        self._timers.after(BURST_SECONDS, self._check_backlog)

    # -- what children say ---------------------------------------------------------------------------------------

    def _child_ready(self, child: ManagedChild, ready: Ready) -> None:
        child.ready_at = self._timers.clock()
        child.introduce(ready.tasks, ready.scripts, ready.parameters)
        child.advance(ChildPhase.READY)
        self._host.facts_changed()
        if not self._was_ready:
            self._was_ready = True
            self._host.first_child_ready(ready.tasks)
            if self._options.burst:
                self._timers.after(BURST_SECONDS, self._check_backlog)
        log.log(self._everyday, "child %d is ready (process %d)", child.number, child.pid)
        if self.stopping:
            child.drain(self._options.shutdown_timeout_seconds)
        else:
            self._places.drain_predecessor(child)

    def _child_failed(self, child: ManagedChild, text: str) -> None:
        """It could not import the app. Trying again and again would not help."""
        child.advance(ChildPhase.FINISHED)
        self._host.import_failed()
        if not self._was_ready:
            return self._fail(text, "the app cannot be imported")
        log.error("a new child could not begin: %s", text)
        self._places.keep_predecessor(child)

    def _child_drained(self, child: ManagedChild, clean: bool) -> None:
        child.advance(ChildPhase.FINISHED)
        if not clean:
            self._clean = False
            log.warning("child %d: calls that still ran are handed back", child.number)

    # -- deaths --------------------------------------------------------------------------------------------------

    def _child_died(self, child: ManagedChild) -> None:
        if child not in self.children:
            return
        died_at_work = self._forget(child, charged=died_unexpectedly(child.phase, child.exit_code))
        if not self._was_ready and not self.stopping:
            self._deaths_before_ready += 1
            if self._deaths_before_ready >= MAX_STARTUP_FAILURES:
                how = child.how_it_ended().removeprefix("its ")
                self._fail(f"no child could begin: {how}", "no child could begin")
        self._places.replace_dead(child, died_at_work)
        self._end_if_alone()

    def _forget(self, child: ManagedChild, charged: bool) -> bool:
        self._places.remove(child)
        return self._host.child_exited(child, charged)
