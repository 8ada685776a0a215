"""A worker: some child processes that run calls, and this process, which looks after them.

1. It starts the children, replaces those that die (slower and slower if they die at once) or are to be recycled.
2. It says for all of them that they live: a child that sits in C code for an hour is alive.
3. When one dies, its calls are elsewhere at once, with the reason.
4. It kills children for calls that do not stop, see ``killer``.
5. Signals: SIGTERM and SIGINT drain, a second one kills; SIGHUP replaces the children (new code).

Everything is decided in the main thread, one piece of news at a time. If it is killed itself, the kernel kills the
children, and other workers take over when the lease ends.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import secrets
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from brokers.redis import health
from brokers.redis.inbox import Inbox
from orchestrator.chores import Chore, Heartbeat, Janitor, Mover, Rescue
from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet
from task_workers import banner
from task_workers.backlog import BacklogWatch
from task_workers.backoff import Backoff
from task_workers.child_handle import ChildHandle, News
from task_workers.killer import Killer
from task_workers.memory import resident_mb
from task_workers.options import WorkerOptions
from task_workers.releaser import Releaser
from task_workers.undertaker import Death, Undertaker
from task_workers.vital_signs import VitalSigns

log = logging.getLogger("orchestrator.worker")
HOPELESS: Final = 3  # children that died before any was ever ready
KILL_MARGIN_SECONDS: Final = 1.5  # a child ends by itself when the time is over; then it is killed
ECHO_SECONDS: Final = 0.1  # some send a signal to a process and to its group: that is not a second signal
MEMORY_SECONDS: Final = 1.0
BURST_SECONDS: Final = 0.2
LOOK_UP_SECONDS: Final = 1.0


class Supervisor:
    """The parent of some children.

    Args:
        fleet: where the calls come from.
        options: what the worker is.
    """

    def __init__(self, fleet: Fleet, options: WorkerOptions) -> None:
        self._fleet, self._options = fleet, options
        self.worker_id = f"{options.name}-{secrets.token_hex(3)}"
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._children: tuple[ChildHandle, ...] = ()  # those that live; replaced, never changed: other threads read it
        self._places: dict[int, ChildHandle | None] = dict.fromkeys(range(options.processes))
        self._backoffs = {number: Backoff() for number in self._places}
        self._deaths_before_ready = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._was_ready = False
        self._stopping = False
        self._paused = False
        self._stopping_since = 0.0
        self._clean = True
        self._failure: str | None = None
        self._exit_code: int | None = None
        rescue = Rescue(fleet)
        self._undertaker = Undertaker(fleet)
        self._killer = Killer(lambda: self._children, fleet.settings.kill_grace_seconds)
        self._heartbeat = Heartbeat(fleet, self._living, rescue.take_over)
        releaser = Releaser(fleet, options.queues, lambda: self._children)
        movers = (Mover(fleet), Janitor(fleet))
        self._chores: list[Chore] = [self._heartbeat, rescue, *movers, self._undertaker, self._killer, releaser]
        self._backlog = BacklogWatch(fleet, options.queues)
        self._vital_signs = VitalSigns(fleet, options, lambda: self._children, lambda: self._stopping)
        self._doorways = self._vital_signs.doorways()
        self._inbox = Inbox(fleet.broker, self.worker_id, on_settled=lambda ends: None, on_orders=self._obey)

    def _living(self) -> dict[str, dict[str, str]]:
        name, paused = self._options.name, self._paused
        return {child.consumer: child.facts(name, self.worker_id, paused) for child in self._children}

    def _obey(self, orders: list[tuple[str, str]]) -> None:
        """Orders from the inbox, in its thread."""
        self._killer.obey(orders)
        for what, _ in orders:
            if what == "stop" and not self._stopping:  # a second one is not a second signal: it kills nothing
                self._news.put(News("stop", None, {"why": "an order to stop"}))
            elif what in ("pause", "resume"):
                self._news.put(News("pause", None, {"paused": what == "pause"}))
            elif what == "ping":
                self._heartbeat.wake()

    # -- the whole life ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop; returns the exit code of the worker. In the main thread.

        Raises:
            BrokerError: the server does not answer at the start.
        """
        for doorway in self._doorways:
            doorway.open()
            log.info("%s at %s", ", ".join(doorway.paths), doorway.url)
        self._inbox.start()
        for warning in health.warnings(self._fleet.broker):
            log.warning("%s", warning)
        self._handle_signals()
        for chore in self._chores:
            chore.start()
        try:
            for number in self._places:
                self._launch(number)
            if self._options.max_memory_per_child_mb is not None:
                self._after(MEMORY_SECONDS, self._check_memory)
            if self._options.reload:
                self._watch_files()
            while self._exit_code is None:
                self._next()
        finally:
            self._close()
        if self._failure is not None:
            if self._options.log_format == "json":
                log.error("%s", self._failure)
            else:
                print(f"orchestrator: {self._failure}", file=sys.stderr)
        return self._exit_code

    def _next(self) -> None:
        self._vital_signs.looped()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if self._exit_code is not None:
            return
        # Not for longer: a signal that the kernel gives to another thread (this one was stopped a moment ago) is noted
        # there, and obeyed when this thread looks.
        patience = min(self._timers[0][0] - now, LOOK_UP_SECONDS) if self._timers else LOOK_UP_SECONDS
        try:
            news = self._news.get(timeout=patience)
        except queue.Empty:
            return
        getattr(self, f"_on_{news.event}")(*([news.child] if news.child else []), **news.facts)

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), do))

    def _close(self) -> None:
        for child in self._children:
            child.kill("the worker ends")
        for child in self._children:
            self._bury(child, child.charge)
        self._undertaker.finish(2.0)
        for chore in self._chores:
            chore.stop()
        self._inbox.stop()
        for doorway in self._doorways:
            doorway.close()

    # -- signals -------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        hang_up = "stop" if sys.stdin is not None and sys.stdin.isatty() else "reload"  # the terminal was closed
        events = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: hang_up}
        for signum in events:
            if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:  # nohup
                signal.signal(signum, lambda number, frame: self._news.put(News(events[signal.Signals(number)])))

    def _on_stop(self, why: str | None = None) -> None:
        if self._stopping:
            if time.monotonic() - self._stopping_since < ECHO_SECONDS:
                return None
            log.warning("killing the children; their calls are handed back")
            self._clean = False
            return self._kill_all("a second signal")
        self._stopping, self._stopping_since = True, time.monotonic()
        seconds = self._options.shutdown_timeout_seconds
        log.info("%s: running calls are finished (for up to %g s), the others handed back", why or "stopping", seconds)
        for child in self._children:
            if child.ready_at is None:
                child.kill("it had not begun")
            else:
                child.drain(seconds)
        self._after(seconds + KILL_MARGIN_SECONDS, self._time_is_over)
        self._end_if_alone()

    def _time_is_over(self) -> None:
        if self._children:
            self._clean = False
            log.warning(
                "%d children have not ended in time and are killed; their calls are handed back", len(self._children)
            )
            self._kill_all("the time for ending was over")

    def _kill_all(self, why: str) -> None:
        for child in self._children:
            child.kill(why)

    def _end_if_alone(self) -> None:
        if self._stopping and not self._children and self._exit_code is None:
            self._exit_code = 0 if self._clean and self._failure is None else 1

    def _on_pause(self, paused: bool) -> None:
        log.info("an order to %s", "take no new calls until there is another one" if paused else "take calls again")
        self._paused = paused
        for child in self._children:
            child.pause(paused)
        self._heartbeat.wake()

    def _on_reload(self, why: str = "SIGHUP") -> None:
        if self._stopping:
            return
        log.info("%s: the children are replaced", why)
        for number, child in self._places.items():
            if child is None or child.ready_at is None:
                self._launch(number)  # a waiting place, or one that is still importing the code of before
                if child is not None:
                    child.kill("it was importing old code")
            else:
                self._replace(child)

    def _watch_files(self) -> None:
        from task_workers.reload import watch_files

        watch_files(lambda why: self._news.put(News("reload", None, {"why": why})))

    # -- starting and replacing ----------------------------------------------------------------------------------

    def _launch(self, number: int, replaces: ChildHandle | None = None) -> None:
        child = ChildHandle(self._options, self.worker_id, number, self._news)
        child.replaces = replaces
        try:
            # Alive before its first claim: claims of a consumer that never had a lease would never be taken over.
            self._fleet.broker.beat([child.consumer], self._fleet.settings.lease_seconds)
        except BrokerError as error:
            log.debug("a child starts while the server is away: %s", error)
        try:
            child.launch(self._paused)
        except OSError as error:
            log.error("a child process could not be started: %s", error)
            self._relaunch_later(number, self._backoffs[number].after_death(0.0, at_work=False), replaces)
            return
        self._places[number] = child
        self._children = (*self._children, child)

    def _relaunch_later(self, number: int, seconds: float, replaces: ChildHandle | None = None) -> None:
        self._places[number] = None
        if seconds > 1:
            log.warning("child %d dies at once; the next one starts in %g s", number, seconds)

        def relaunch() -> None:
            if not self._stopping and self._places[number] is None:
                self._launch(number, replaces if replaces in self._children else None)

        self._after(seconds, relaunch)

    def _replace(self, child: ChildHandle) -> None:
        """Start the one that takes its place; this one is drained when that one is ready."""
        if not child.replaced and not self._stopping:
            child.replaced = True
            self._launch(child.number, child)

    def _check_memory(self) -> None:
        limit = self._options.max_memory_per_child_mb or 0
        for child in self._children:
            if child.ready_at is not None and not child.replaced and not child.ended:
                used = resident_mb(child.pid)
                if used > limit:
                    log.info("child %d (process %d) is recycled: %.0f of %g MiB", child.number, child.pid, used, limit)
                    self._replace(child)
        self._after(MEMORY_SECONDS, self._check_memory)

    def _check_backlog(self) -> None:
        if self._stopping:
            return
        busy = any(child.ready_at is None or child.table.rows() for child in self._children)
        if not busy and self._backlog.is_empty([child.consumer for child in self._children]):
            return self._on_stop("the queues are empty")
        self._after(BURST_SECONDS, self._check_backlog)

    # -- news of children ----------------------------------------------------------------------------------------

    def _on_ready(self, child: ChildHandle, tasks: list[str], parameters: str, pid: int) -> None:
        child.ready_at = time.monotonic()
        child.tasks, child.parameters = tasks, parameters
        self._heartbeat.wake()
        if not self._was_ready:
            self._was_ready = True
            banner.tell(self._fleet, self._options, tasks)
            if self._options.burst:
                self._after(BURST_SECONDS, self._check_backlog)
        log.info("child %d is ready (process %d)", child.number, pid)
        if self._stopping:
            child.drain(self._options.shutdown_timeout_seconds)
        elif child.replaces is not None:
            child.replaces.drain(None)

    def _on_failed(self, child: ChildHandle, text: str) -> None:
        """It could not import the app. Trying again and again would not help."""
        child.asked_to_end = child.drained = True
        if not self._was_ready:
            self._failure, self._stopping = text, True
            self._kill_all("the app cannot be imported")
            return
        log.error("a new child could not begin: %s", text)
        old = child.replaces
        if old is not None and old in self._children:
            old.replaced = False
            self._places[child.number] = old
            child.replaced = True

    def _on_recycle(self, child: ChildHandle, why: str) -> None:
        log.info("child %d (process %d) is recycled: %s", child.number, child.pid, why)
        child.asked_to_end = True
        self._replace(child)

    def _on_drained(self, child: ChildHandle, clean: bool) -> None:
        child.asked_to_end = child.drained = True
        if not clean:
            self._clean = False
            log.warning("child %d: calls that still ran are handed back", child.number)

    def _on_died(self, child: ChildHandle) -> None:
        if child not in self._children:
            return
        unexpected = (
            not child.drained and child.killed_because is None and not (child.asked_to_end and not child.exit_code)
        )
        died_at_work = self._bury(child, unexpected)
        if child.replaces is None and not self._was_ready and not self._stopping:
            self._deaths_before_ready += 1
            if self._deaths_before_ready >= HOPELESS:
                self._failure = f"no child could begin: {child.how_it_ended().removeprefix('its ')}"
                self._stopping = True
                self._kill_all("no child could begin")
        if self._places[child.number] is child and not self._stopping:
            lived = time.monotonic() - child.ready_at if child.ready_at is not None else 0.0
            seconds = self._backoffs[child.number].after_death(lived, died_at_work)
            self._relaunch_later(child.number, seconds, child.replaces)
        self._end_if_alone()

    def _bury(self, child: ChildHandle, unexpected: bool) -> bool:
        """Its calls go to other workers; those that died with it are charged for it, unless we killed it.

        Returns whether any died with it.
        """
        how = child.how_it_ended()
        rows = child.table.rows()
        running = {row.run_id: how for row in rows} if unexpected else {}
        if unexpected:
            told = f" while it ran {', '.join(running)}" if running else ""
            log.error("child %d (process %d): %s%s", child.number, child.pid, how, told)
        self._children = tuple(other for other in self._children if other is not child)
        self._undertaker.report(Death(child.consumer, running, child.verdicts, unexpected))
        self._vital_signs.bury(child, unexpected)
        child.close()
        return bool(rows)


def supervise(fleet: Fleet, options: WorkerOptions) -> int:
    """Run a worker in this process; returns its exit code.

    Raises:
        BrokerError: the server does not answer.
    """
    fleet.broker.wires.commands([("PING",)])
    return Supervisor(fleet, options).run()


__all__ = ["Supervisor", "supervise"]
