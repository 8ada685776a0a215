"""Sends a heartbeat of some consumers every two seconds, for as long as their process does.

The supervisor beats for its children: a child that is busy in C code for an hour is alive, and a child that is dead is
known to be. The lease is the server's time, so a clock that jumps here changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.client.no_worker import may_know
from orchestrator.maintenance.chore import Chore

log = logging.getLogger("orchestrator.chores")
PUBLISH_AGAIN_BEATS: Final = 5  # a server that was emptied learns within ten seconds who its workers are
RESTLESS: Final = ("memory_bytes",)  # published together with another change, or after so many beats


class Heartbeat(Chore):
    """Beats for consumers.

    Args:
        fleet: whose store.
        consumers: the live consumers with their descriptions; asked before each beat.
        found_dead: gets consumers (of anyone) whose lease has run out.
    """

    name = "heartbeat"

    def __init__(
        self,
        fleet: Fleet,
        consumers: Callable[[], Mapping[str, Mapping[str, str]]],
        found_dead: Callable[[list[str]], None],
    ) -> None:
        super().__init__()
        self._fleet, self._consumers, self._found_dead = fleet, consumers, found_dead
        self._described: dict[str, tuple[Mapping[str, str], float]] = {}  # what was published of whom, and when
        self._beats = 0

    def run_once(self) -> float:
        settings = self._fleet.settings
        living = self._consumers()
        self._beats += 1
        if self._beats % PUBLISH_AGAIN_BEATS == 0:
            self._described.clear()
        now = time.monotonic()
        for name, facts in living.items():
            published, since = self._described.get(name, ({}, 0.0))
            if facts and (_has_changed(published, facts) or now - since > settings.lease_seconds):
                self._fleet.broker.consumers.describe(name, facts, settings.lease_seconds * 10)
                self._described[name] = dict(facts), now
        dead = self._fleet.broker.consumers.beat(list(living), settings.lease_seconds)
        if dead:
            self._found_dead([name for name in dead if name not in living])
        self._adopt(living)
        if self._fleet.project is not None:
            self._fleet.broker.consumers.note_project(self._fleet.project)
        return settings.beat_seconds

    def _adopt(self, living: Mapping[str, Mapping[str, str]]) -> None:
        """Calls may be waiting for a worker that knows their task: one of these."""
        ours = [
            (queue, task)
            for queue, task in self._fleet.broker.queues.unknown_tasks()
            if any(may_know(facts, queue, task) for facts in living.values())
        ]
        if ours and (count := self._fleet.broker.queues.adopt(ours)):
            log.info("%d calls have waited for a worker that knows %s", count, ", ".join(task for _, task in ours))


def _has_changed(published: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    """Whether anything has changed that cannot wait."""
    return any(published.get(name) != value for name, value in facts.items() if name not in RESTLESS)
