"""What must be reached, as ratios in one run on a machine of two cores, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from benchmarks.peers.environments import PEERS
from benchmarks.speed.figures import FIGURES, linearity, ratio, shown
from benchmarks.speed.results import Results
from benchmarks.speed.systems import BARE, title_of


class Measured(NamedTuple):
    """A value that is compared with what is asked, and words about it."""

    value: float
    told: str


class Target(NamedTuple):
    """One row.

    Attributes:
        what: the figure.
        asked: the value.
        at_least: whether the value must be reached, or not be exceeded.
        unit: of the value.
        measure: takes it out of the results; ``None`` if it was not measured.
    """

    what: str
    asked: float
    at_least: bool
    unit: str
    measure: Callable[[Results], Measured | None]

    def is_reached(self, value: float) -> bool:
        """Whether this value is good enough."""
        return value >= self.asked if self.at_least else value <= self.asked


def _against_peers(key: str, among: Iterable[str] = PEERS) -> Callable[[Results], Measured | None]:
    """Times the best peer at this figure."""

    def measure(results: Results) -> Measured | None:
        ours, best = results.median(key), results.best_peer(key, among)
        if ours is None or best is None:
            return None
        figure = FIGURES[key]
        told = f"{shown(figure, ours)} against {shown(figure, best.value)} {figure.unit} of {title_of(best.name)}"
        return Measured(ratio(figure, ours, best.value), told)

    return measure


def _against_limit(key: str) -> Callable[[Results], Measured | None]:
    def measure(results: Results) -> Measured | None:
        ours, bare = results.median(key), results.median(key, BARE)
        if ours is None or bare is None:
            return None
        figure = FIGURES[key]
        return Measured(ratio(figure, ours, bare), f"{shown(figure, ours)} against {shown(figure, bare)} {figure.unit}")

    return measure


def _plain(key: str) -> Callable[[Results], Measured | None]:
    def measure(results: Results) -> Measured | None:
        ours = results.median(key)
        return None if ours is None else Measured(ours, "")

    return measure


def _linear(results: Results) -> Measured | None:
    one, four = results.median("sleepers_1"), results.median("sleepers_4")
    if one is None or four is None:
        return None
    return Measured(linearity(one, four, 4), f"{one:,.1f} with 1 process, {four:,.1f} calls/s with 4")


def _seconds_of_a_million(results: Results) -> Measured | None:
    """Only of as many calls as the row speaks of: ``--large-map`` may have had fewer."""
    return _plain("million_seconds")(results) if results.median("million_calls") == 1_000_000 else None


PYTHON: Final = tuple(peer.name for peer in PEERS.values() if peer.kind == "pip")
BULLMQ: Final = ("bullmq",)
TARGETS: Final = (
    Target("drain of a map, times the best Python peer", 15, True, "x", _against_peers("drain_map", PYTHON)),
    Target(
        "fan-out: map and all results, times the best Python peer", 15, True, "x", _against_peers("fan_out", PYTHON)
    ),
    Target("fan-out: map and all results, times BullMQ", 8, True, "x", _against_peers("fan_out", BULLMQ)),
    Target("drain of singly sent calls, times the best Python peer", 8, True, "x", _against_peers("drain", PYTHON)),
    Target("drain of singly sent calls, of the bare limit", 0.5, True, "x", _against_limit("drain")),
    Target("fan-out, of the bare limit", 0.5, True, "x", _against_limit("fan_out")),
    Target("`.delay` one by one, of a bare redis-py XADD loop", 0.8, True, "x", _against_limit("send")),
    Target("`.delay` one by one, times the best peer", 1.1, True, "x", _against_peers("send")),
    Target("`.delay` from 64 threads, times the best peer's", 2.5, True, "x", _against_peers("send_threads")),
    Target("`adelay` from 64 coroutines, times the best peer's", 5, True, "x", _against_peers("send_asyncio")),
    Target("round trip, median, times quicker than the best peer", 2.5, True, "x", _against_peers("round_trip_p50")),
    Target("round trip, 99th percentile, times quicker than the best", 2, True, "x", _against_peers("round_trip_p99")),
    Target("round trip, median", 1.0, False, "ms", _plain("round_trip_p50")),
    Target("round trip, 99th percentile", 3.0, False, "ms", _plain("round_trip_p99")),
    Target("map of 1,000,000, from its call to the last result", 40, False, "s", _seconds_of_a_million),
    Target("large map: cost of a call, of a small map's", 1.15, False, "x", _plain("million_cost")),
    Target("large map: peak of the client", 150, False, "MB", _plain("million_client_mb")),
    Target("large map: server memory of a queued call", 100, False, "bytes", _plain("million_queued_bytes")),
    Target("large map: server memory of a call with its result", 220, False, "bytes", _plain("million_server_bytes")),
    Target("skewed tasks: makespan, of the ideal", 1.10, False, "x", _plain("skew")),
    Target("sleepers: what is left of linear, from 1 to 4 processes", 0.95, True, "x", _linear),
    Target("100 KB payloads per MB, times the best peer", 3, True, "x", _against_peers("payload_100k")),
    Target("idle worker, 4 processes", 1.0, False, "% of a core", _plain("idle_cpu")),
    Target("memory of an idle child", 60, False, "MB", _plain("child_mb")),
    Target("an idle child's own share of memory (Pss)", 25, False, "MB", _plain("child_pss_mb")),
    Target("from a worker's command to the first result", 0.6, False, "s", _plain("start_up")),
    Target("`import orchestrator`", 0.35, False, "s", _plain("import_s")),
    Target("`orchestrator --help`", 0.25, False, "s", _plain("help_s")),
)


def rows(results: Results) -> list[tuple[str, str, str, str]]:
    """For a table: figure, asked, measured, reached."""
    found = []
    for target in TARGETS:
        measured = target.measure(results)
        asked = f"{'at least' if target.at_least else 'at most'} {target.asked:g} {target.unit}"
        if measured is None:
            found.append((target.what, asked, "not measured", ""))
            continue
        shown = f"{measured.value:,.{_digits(measured.value)}f} {target.unit}"
        told = f"{shown} ({measured.told})" if measured.told else shown
        found.append((target.what, asked, told, "reached" if target.is_reached(measured.value) else "**not reached**"))
    return found


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2
