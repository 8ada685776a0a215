"""A whole run: round by round, in each round system by system, on one server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Final

from benchmarks import limit
from benchmarks.peers.rig import OURS, NotReady
from benchmarks.speed import cell, machine, million, starting
from benchmarks.speed.cell import FULL, QUICK, Effort, Values
from benchmarks.speed.figures import calls_for
from benchmarks.speed.results import Results
from benchmarks.speed.systems import BARE, Contestant, missing_on_this_machine, start_server
from tests.support.servers import ServerProcess

MILLION: Final = 1_000_000
LIMIT_RATE: Final = 30_000.0  # calls a second that the bare limit is good for


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        systems: which, besides the bare limit.
        rounds: how often; peers scale with processes, and stand idle, once.
        effort: how long each workload takes.
        large_map: calls of the large map, 0 for none.
        scaling_of_peers: whether peers are measured at 1, 2 and 4 processes.
    """

    systems: Sequence[str]
    rounds: int = 3
    effort: Effort = FULL
    large_map: int = 0
    scaling_of_peers: bool = True

    @property
    def quick(self) -> bool:
        """Whether it is a try only, whose figures mean nothing."""
        return self.effort == QUICK


class Run:
    """Does it, and says how far it is on the standard error.

    Args:
        plan: what.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._begun = time.monotonic()
        self._missing: list[str] = []
        self._results = Results({})

    def __call__(self) -> Results:
        plan = self.plan = self._without_missing()
        facts = machine.describe(list(plan.systems))  # makes the environments, which takes minutes the first time
        server = start_server()
        try:
            settings = {name: self._settings(name, server) for name in plan.systems}
            for number in range(plan.rounds):
                turn = number % len(plan.systems)
                for name in (*plan.systems[turn:], *plan.systems[:turn]):
                    self._measure(name, server, first=number == 0)
                self._results.add(BARE, self._bare(server))
                self._say(f"round {number + 1} of {plan.rounds} is done")
            self._idle(server)
            if OURS in plan.systems:
                self._results.add(OURS, starting.measure(3 if plan.quick else 9))
                self._large_map(server)
        finally:
            server.close()
        self._results.facts = {
            "machine": facts,
            "settings": settings,
            "rounds": plan.rounds,
            "effort": asdict(plan.effort),
            "seconds": round(time.monotonic() - self._begun),
            "missing": self._missing,
        }
        return self._results

    def _without_missing(self) -> Plan:
        """What this machine can measure; what it cannot is said on the page."""
        missing = missing_on_this_machine()
        for name in self.plan.systems:
            if name in missing:
                self._miss(f"{name}: {missing[name]}")
        return replace(self.plan, systems=[name for name in self.plan.systems if name not in missing])

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:4.0f} s] {text}", file=sys.stderr, flush=True)

    def _settings(self, name: str, server: ServerProcess) -> str:
        with Contestant(name, server) as contestant:
            return str(contestant.ask("settings"))

    def _measure(self, name: str, server: ServerProcess, first: bool) -> None:
        self._try(name, server, cell.measure)
        if name == OURS or (first and self.plan.scaling_of_peers):
            self._try(name, server, cell.measure_spread)

    def _try(self, name: str, server: ServerProcess, measure: Callable[[Contestant, Effort], Values]) -> None:
        begun = time.monotonic()
        try:
            with Contestant(name, server) as contestant:
                found = measure(contestant, self.plan.effort)
        except NotReady as error:
            self._miss(f"{name}, {measure.__name__}: {error}")
            return
        bare = found.pop("bare_send", None)
        if bare is not None:
            self._results.add(BARE, {"send": bare})
        self._results.add(name, found)
        self._say(f"{name}: {', '.join(found)} in {time.monotonic() - begun:.0f} s")

    def _miss(self, text: str) -> None:
        self._say(text)
        self._missing.append(text.splitlines()[0])

    def _bare(self, server: ServerProcess) -> Values:
        calls = calls_for(LIMIT_RATE, self.plan.effort.seconds, 50, cell.MOST_CALLS)
        url = f"{server.tcp_url}/0"
        return {"fan_out": calls / limit.fan_out(url, calls), "drain": calls / limit.drain(url, calls)}

    def _idle(self, server: ServerProcess) -> None:
        with ExitStack() as stack:
            contestants = [stack.enter_context(Contestant(name, server)) for name in self.plan.systems]
            for name, found in cell.measure_idle(contestants, self.plan.effort, self._miss).items():
                self._results.add(name, found)
        self._say("idle workers have been watched")

    def _large_map(self, server: ServerProcess) -> None:
        if self.plan.large_map:
            self._results.add(OURS, million.measure(server, self.plan.large_map))
            self._say(f"a map of {self.plan.large_map:,} is done")
