"""The places for children: one works in each, and while it is replaced, its predecessor beside it."""

from __future__ import annotations

import logging

from task_workers.supervisor.backoff import Backoff
from task_workers.supervisor.managed_process import ManagedChild
from task_workers.supervisor.pool_host import PoolHost
from task_workers.supervisor.timers import Timers

log = logging.getLogger("orchestrator.worker")


class Place:
    """One of the places for children.

    Args:
        number: from 0.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: ManagedChild | None = None
        self.old: ManagedChild | None = None  # it works until ``child`` is ready
        self.waits = False  # for a moment at which children can be started
        self.backoff = Backoff()


class ChildPlaces:
    """Starts the children of a worker, and those that take the place of others; for one thread.

    Args:
        count: how many places there are.
        host: starts processes.
        timers: run by the thread that uses the places.

    Attributes:
        children: those that live; replaced, never changed: other threads read it.
        paused: whether children that start take no calls until resumed.
    """

    def __init__(self, count: int, host: PoolHost, timers: Timers) -> None:
        self._host, self._timers = host, timers
        self._places = [Place(number) for number in range(count)]
        self._closed = False
        self.children: tuple[ManagedChild, ...] = ()
        self.paused = False

    def fill(self) -> None:
        """Start a child in each place."""
        for place in self._places:
            self._launch(place)

    def launch_waiting(self) -> None:
        """Children can be started again: start those that could not."""
        for place in self._places:
            if place.waits and not self._closed:
                self._launch(place)

    def close(self) -> None:
        """From now on no child is started."""
        self._closed = True

    def has_place(self, child: ManagedChild) -> bool:
        """Whether nobody else was, or is to be, started in its place."""
        return self._places[child.number].child is child

    def replace(self, child: ManagedChild) -> None:
        """Start the one that takes its place; this one is drained when that one is ready."""
        if self.has_place(child) and not self._closed:
            place = self._places[child.number]
            place.old = child
            self._launch(place)

    def renew(self) -> None:
        """Replace all, since the code has changed."""
        for place in self._places:
            child = place.child
            if child is not None and child.ready_at is not None:
                self.replace(child)
                continue
            self._launch(place)  # an empty place, or one whose child is still importing the code of before
            if child is not None:
                child.kill("it was importing old code")

    def drain_predecessor(self, child: ManagedChild) -> None:
        """A child is ready: the one that it replaces ends."""
        place = self._places[child.number]
        if place.child is child and place.old is not None:
            place.old.drain(None)
            place.old = None

    def keep_predecessor(self, child: ManagedChild) -> None:
        """A child cannot begin: the one that it was to replace stays."""
        place = self._places[child.number]
        if place.child is child and place.old is not None:
            place.child, place.old = place.old, None

    def replace_dead(self, child: ManagedChild, died_at_work: bool) -> None:
        """A child is dead: another one starts, at once or after a while."""
        place = self._places[child.number]
        if place.old is child:
            place.old = None
        if place.child is child and not self._closed:
            lived = self._timers.clock() - child.ready_at if child.ready_at is not None else 0.0
            self._launch_later(place, place.backoff.after_death(lived, died_at_work))

    def remove(self, child: ManagedChild) -> None:
        """It lives no more."""
        self.children = tuple(other for other in self.children if other is not child)

    def _launch(self, place: Place) -> None:
        if not self._host.can_start_children():
            place.child, place.waits = None, True
            return
        place.waits = False
        try:
            child = self._host.start_child(place.number, self.paused)
        except OSError as error:
            log.error("a child process could not be started: %s", error)
            return self._launch_later(place, place.backoff.after_death(0.0, at_work=False))
        place.child = child
        self.children = (*self.children, child)

    def _launch_later(self, place: Place, seconds: float) -> None:
        place.child = None
        if seconds > 1:
            log.warning("child %d dies at once; the next one starts in %g s", place.number, seconds)

        def launch() -> None:
            if not self._closed and place.child is None and not place.waits:
                self._launch(place)

        self._timers.after(seconds, launch)
