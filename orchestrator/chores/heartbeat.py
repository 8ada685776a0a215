"""Says every two seconds that some consumers live, for as long as their process does.

The supervisor beats for its children: a child that is busy in C code for an hour is alive, and a child that is dead is
known to be. The lease is the server's time, so a clock that jumps here changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.chores.chore import Chore
from orchestrator.fleet import Fleet

TELL_AGAIN_BEATS: Final = 5  # a server that was emptied learns within ten seconds who its workers are
RESTLESS: Final = ("memory_bytes",)  # told when there is another reason to tell, or after so many beats


class Heartbeat(Chore):
    """Beats for consumers.

    Args:
        fleet: whose store.
        consumers: the consumers that live, and what they say of themselves; asked before each beat.
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
        self._described: dict[str, tuple[Mapping[str, str], float]] = {}  # what was said of whom, and when
        self._beats = 0

    def run_once(self) -> float:
        settings = self._fleet.settings
        living = self._consumers()
        self._beats += 1
        if self._beats % TELL_AGAIN_BEATS == 0:
            self._described.clear()
        now = time.monotonic()
        for name, facts in living.items():
            said, since = self._described.get(name, ({}, 0.0))
            if facts and (_news(said, facts) or now - since > settings.lease_seconds):  # again: servers come back empty
                self._fleet.broker.describe_worker(name, facts, settings.lease_seconds * 10)
                self._described[name] = dict(facts), now
        dead = self._fleet.broker.beat(list(living), settings.lease_seconds)
        if dead:
            self._found_dead([name for name in dead if name not in living])
        return settings.beat_seconds


def _news(said: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    """Whether anything has changed that cannot wait."""
    return any(said.get(name) != value for name, value in facts.items() if name not in RESTLESS)
