"""One system in one round: every workload once, as figures.

The clock of a *drain* runs from the release of workers that stand still until the last result is stored. Workers stand
still (SIGSTOP) while calls are sent, so that no system sends on a machine that its own workers keep busy, and starting
processes is in nobody's drain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.peers.rig import OURS, NotReady
from benchmarks.speed.figures import calls_for, ideal_makespan, percentile, skewed
from benchmarks.speed.proc import cpu_seconds, members, own_share_mb, resident_mb, threads
from benchmarks.speed.systems import Contestant

WORKERS: Final = 2
HANDLERS: Final = 64
FEW: Final = 20  # calls whose pace tells how many take a second
MOST_CALLS: Final = 20_000
MOST_MAPPED: Final = 100_000
HELD_SECONDS: Final = 4.0  # workers stand still no longer: leases run
SAFELY: Final = 0.8  # of the calls that can be sent in what is left of that
SLEEP_SECONDS: Final = 0.01
SHORT_SECONDS, LONG_SECONDS = 0.001, 1.0
READY_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 0.5
SPREAD: Final = (1, 2, 4)  # processes of the sleepers

Values: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        seconds: about how long one workload takes.
        warm_up_seconds: how long calls are run before anything is measured.
        round_trips: at most so many.
        skewed_calls: how many, of which 1 % take a second.
        idle_seconds: how long idle workers are watched, after as long a rest of at most two seconds.
    """

    seconds: float = 1.0
    warm_up_seconds: float = 1.2
    round_trips: int = 400
    skewed_calls: int = 300
    idle_seconds: float = 10.0


FULL: Final = Effort()
QUICK: Final = Effort(0.1, 0.1, 20, 100, 1.0)


def measure(contestant: Contestant, effort: Effort) -> Values:
    """Throughput, latency and payloads with two worker processes, and the start-up."""
    values = {"start_up": _start_up(contestant)}
    rate = _warm_up(contestant, effort.warm_up_seconds)
    calls = calls_for(rate, effort.seconds, 50, MOST_MAPPED)
    values["fan_out"] = calls / contestant.ask("fan_out", calls)
    values |= _round_trips(contestant, effort)
    values |= _payloads(contestant, effort)
    values |= _singly_sent(contestant, effort, rate)
    values |= _from_handlers(contestant, effort, rate)
    values |= _mapped(contestant, effort, rate)
    return values


def _start_up(contestant: Contestant) -> float:
    """Seconds from the worker's command to the first result; the call has been waiting."""
    contestant.ask("queue", "noop", [[1]])
    begun = time.monotonic()
    contestant.start_workers(WORKERS)
    seconds = float(contestant.ask("first_ready")) - begun
    contestant.ask("forget")  # the second process of SAQ, when it starts, aborts what the first has just begun
    time.sleep(SETTLE_SECONDS)
    return seconds


def _warm_up(contestant: Contestant, seconds: float) -> float:
    """Calls a second of the last fan-out of several."""
    calls, deadline = 50, time.monotonic() + seconds
    while True:
        rate = calls / float(contestant.ask("fan_out", calls))
        if time.monotonic() > deadline:
            return rate
        calls = calls_for(rate, seconds / 4, 50, MOST_MAPPED)


def _round_trips(contestant: Contestant, effort: Effort) -> Values:
    first = percentile(contestant.ask("round_trips", 5), 50)
    count = calls_for(1 / first, effort.seconds, 10, effort.round_trips)
    times = [seconds * 1000 for seconds in contestant.ask("round_trips", count)]
    return {"round_trip_p50": percentile(times, 50), "round_trip_p99": percentile(times, 99)}


def _payloads(contestant: Contestant, effort: Effort) -> Values:
    values = {}
    for key, size in (("payload_1k", 1_000), ("payload_100k", 100_000)):
        few = 20
        rate = few / float(contestant.ask("fan_out", few, size))
        calls = calls_for(rate, effort.seconds / 2, few, 1_000_000_000 // (5 * size))
        values[key] = calls * size / 1e6 / float(contestant.ask("fan_out", calls, size))
    return values


def _singly_sent(contestant: Contestant, effort: Effort, rate: float) -> Values:
    """Sends one by one, and how fast calls that were sent so are run: a second of them if there is time."""
    most = calls_for(rate, effort.seconds, 2 * FEW, MOST_CALLS)
    values: Values = {}
    with contestant.held():
        held_until = time.monotonic() + HELD_SECONDS
        pace = FEW / float(contestant.ask("one_by_one", FEW))
        calls = calls_for(pace, effort.seconds, FEW, most)
        values["send"] = calls / float(contestant.ask("one_by_one", calls))
        if contestant.name == OURS:
            values["bare_send"] = calls / float(contestant.ask("bare_sends", calls))
        left = held_until - time.monotonic()
        more = max(0, min(most - calls, int(values["send"] * left * SAFELY)))
        if more:
            contestant.ask("one_by_one", more)
        released = time.monotonic()
    values["drain"] = (FEW + calls + more) / (float(contestant.ask("drained")) - released)
    return values


def _from_handlers(contestant: Contestant, effort: Effort, rate: float) -> Values:
    """Sends by concurrent handlers of each kind; what they have sent is run and checked, and is in no drain."""
    values: Values = {}
    most = calls_for(rate, effort.seconds, 2 * HANDLERS, MOST_CALLS)
    for kind in contestant.ask("handlers"):
        with contestant.held():
            contestant.ask("from_handlers", HANDLERS, HANDLERS, kind)  # opens the connections
            seconds, done = contestant.ask("from_handlers", 2 * HANDLERS, HANDLERS, kind)
            calls = calls_for(done / seconds, effort.seconds, 2 * HANDLERS, most)
            seconds, done = contestant.ask("from_handlers", calls, HANDLERS, kind)
        values[f"send_{kind}"] = done / seconds
        contestant.ask("drained")
    return values


def _mapped(contestant: Contestant, effort: Effort, rate: float) -> Values:
    """How fast calls are run that were sent together."""
    calls = calls_for(rate, effort.seconds, 2 * FEW, MOST_MAPPED)
    with contestant.held():
        contestant.ask("queue_map", calls)
        released = time.monotonic()
    return {"drain_map": calls / (float(contestant.ask("drained")) - released)}


def measure_spread(contestant: Contestant, effort: Effort) -> Values:
    """Sleepers on 1, 2 and 4 processes, and skewed tasks on two; each process runs one call at a time."""
    values: Values = {}
    for processes in SPREAD:
        contestant.start_workers(processes, True)
        wait_for_processes(contestant, processes)
        calls = calls_for(processes / SLEEP_SECONDS, effort.seconds, 10 * processes, MOST_CALLS)
        values[f"sleepers_{processes}"] = calls / _makespan(contestant, [SLEEP_SECONDS] * calls)
        if processes == WORKERS:
            durations = skewed(effort.skewed_calls, SHORT_SECONDS, LONG_SECONDS)
            values["skew"] = _makespan(contestant, durations) / ideal_makespan(durations, WORKERS)
        contestant.stop_workers()
    return values


def wait_for_processes(contestant: Contestant, processes: int) -> None:
    """Until so many run calls; a worker whose calls run in short-lived processes shows more."""
    seen: set[int] = set()
    deadline = time.monotonic() + READY_SECONDS
    time.sleep(SETTLE_SECONDS)
    while len(seen) < processes:
        seen |= set(contestant.ask("processes", 0.02, 4 * processes))
        if time.monotonic() > deadline:
            raise NotReady(f"{len(seen)} of {processes} processes run calls")


def _makespan(contestant: Contestant, durations: list[float]) -> float:
    with contestant.held():
        contestant.ask("queue", "pause", [[seconds] for seconds in durations])
        released = time.monotonic()
    return float(contestant.ask("drained")) - released


def measure_idle(
    contestants: list[Contestant], effort: Effort, say: Callable[[str], None] = lambda line: None
) -> dict[str, Values]:
    """Processor time and memory of workers of four processes without calls, all systems at once."""
    processes = SPREAD[-1]
    ready = []
    for contestant in contestants:
        try:
            contestant.start_workers(processes)
            wait_for_processes(contestant, processes)
            ready.append(contestant)
        except NotReady as error:
            say(f"{contestant.name}, idle: {error}")
    time.sleep(min(2.0, effort.idle_seconds))
    begun, before = time.monotonic(), {one.name: cpu_seconds(one.worker_processes()) for one in ready}
    time.sleep(effort.idle_seconds)
    seconds = time.monotonic() - begun
    return {
        one.name: {
            "idle_cpu": 100 * (cpu_seconds(one.worker_processes()) - before[one.name]) / seconds,
            "child_mb": resident_mb(_children(one))[0],
            "child_pss_mb": own_share_mb(_children(one))[0],
        }
        for one in ready
    }


def _children(contestant: Contestant) -> list[int]:
    """The processes that run calls: below a leader, or the leaders themselves where there is nobody below."""
    found = []
    for leader in contestant.leaders():
        below = members(leader)[1:]
        if contestant.name == OURS:
            below = [pid for pid in below if threads(pid) > 1]  # not the template process, which runs no calls
        found += below or [leader]
    return found
