"""Which commands of a scenario the cut sweep breaks, and in which ways.

It has three sizes, and says of each scenario what it left out:

``part``   what `make test` does: each command of ``whole`` is broken once in the network, and once by an error if
           that can be. In which way is said by its name and number: the same in every run, and all ways come about.
``whole``  what `make test-all` and CI do: each command in every way in which it can be broken. What a worker sends
           whatever its calls are (its start, chores, end) is broken in three scenarios, a connection's start in one.
``full``   ``ORCHESTRATOR_SWEEP=full``: each command in every way, in every scenario, on both servers.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.support.fault_proxy import (
    CUT_AFTER,
    CUT_BEFORE,
    LOADING,
    NOSCRIPT,
    OOM,
    READONLY,
    Fault,
    Point,
    delayed,
    held,
)
from tests.support.fault_rig import LATE_SECONDS

NETWORK: Final = (CUT_BEFORE, CUT_AFTER, held(LATE_SECONDS), delayed(LATE_SECONDS))
ERRORS: Final = (OOM, READONLY, NOSCRIPT, LOADING)
FAULTS: Final = (*NETWORK, *ERRORS)
FULL: Final = os.environ.get("ORCHESTRATOR_SWEEP") == "full"

SHORTEST: Final = "one call"
"""The scenario in which everything is broken: nothing but one call, so that all else is alone with it."""
FIRST_AND_LAST_WORDS: Final = ("CLIENT", "INFO", "DEL")
"""Of connections and inboxes, the same on either side."""
ROUTINE: Final = (
    *FIRST_AND_LAST_WORDS, "describe", "beat", "SMEMBERS", "expect", "XTRIM", "PEXPIRE", "XREAD", "flow_beat", "watch",
    "killed", "tidy", "due", "react_look", "ZCARD", "ZREVRANGE", "leave",
)  # fmt: skip
"""What a worker sends whatever its calls are, even if there are none."""
WITH_ROUTINE: Final = {
    "delayed": ROUTINE,  # the chores have come round again
    "block handed back": ROUTINE,  # ... while calls of a block run here
    "tick": ("due",),
    "automation": ("react_look", "ZCARD", "ZREVRANGE"),
}
RACES: Final = {
    ("tick", "worker"): ("tick",),
    ("automation", "worker"): ("GET", "HGETALL", "XREVRANGE", "XRANGE", "react"),
}
"""What the client sends in the worker's place when it comes first."""


class Try(NamedTuple):
    """A command, and what is done to it."""

    point: Point
    fault: Fault


class Selection(NamedTuple):
    """What is broken, and how many other ways there were."""

    scenario: str
    side: str
    tries: list[Try]
    left_out: int

    @property
    def commands(self) -> int:
        return len({one.point for one in self.tries})

    def are_met(self, hits: Sequence[bool]) -> bool:
        """Whether enough of them came about: chores come when they like, but two, or a fifth, may be missed at most.

        Of all, those included that somebody else may send first, it is more than half.
        """
        names = RACES.get((self.scenario, self.side), ())
        certain = [hit for one, hit in zip(self.tries, hits, strict=True) if one.point.name not in names]
        return len(certain) - sum(certain) <= max(2.0, len(certain) * 0.2) and sum(hits) > len(hits) * 0.5


def select(
    size: str, scenario: str, side: str, seen: Sequence[Point], flags: Mapping[str, Collection[str]]
) -> Selection:
    """The tries of a scenario.

    Args:
        size: ``part``, ``whole`` or ``full``, see above.
        scenario: its name.
        side: whose commands are broken, ``client`` or ``worker``.
        seen: these commands, from a run without a fault.
        flags: what the server says of its commands, by their names.
    """
    all_tries = [Try(point, fault) for point in dict.fromkeys(seen) for fault in FAULTS]
    tries = all_tries
    if size != "full":
        tries = [one for one in tries if is_swept_here(scenario, side, one.point.name) and can_be(one, flags)]
    if size == "part":
        tries = [one for one in tries if FAULTS.index(one.fault) % len(NETWORK) == turn_of(scenario, one.point)]
    # The longest first: at the end nobody waits for one that has begun last.
    tries = sorted(tries, key=lambda one: one.fault.hold_seconds + one.fault.delay_seconds, reverse=True)
    return Selection(scenario, side, tries, len(all_tries) - len(tries))


def is_swept_here(scenario: str, side: str, name: str) -> bool:
    """Whether a command is broken in this scenario, or another one stands for it."""
    if scenario == SHORTEST:
        return True
    word = name.split()[0]
    routine = ROUTINE if side == "worker" else FIRST_AND_LAST_WORDS
    return word not in routine or (word != "CLIENT" and word in WITH_ROUTINE.get(scenario, ()))


def can_be(one: Try, flags: Mapping[str, Collection[str]]) -> bool:
    """Whether a server answers this command like that: a script may do anything, of the others it says what they do."""
    name = one.point.name.split()[0]
    said = flags.get(name.lower())
    if said is None:
        return True  # one of our scripts
    return {
        OOM: "denyoom" in said,
        READONLY: "write" in said,
        NOSCRIPT: False,
        LOADING: "loading" not in said,
    }.get(one.fault, True)


def turn_of(scenario: str, point: Point) -> int:
    """Which of four: another one for each further command of a name, and to begin with in another scenario."""
    return (zlib.crc32(f"{scenario} {point.name}".encode()) + point.number) % len(NETWORK)


def flags_of(client: Any) -> dict[str, frozenset[str]]:
    """What a server says of its commands, by their names."""
    return {str(name).lower(): frozenset(facts["flags"]) for name, facts in client.command().items()}
