"""The statistics: pure functions over numbers."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple


class Figure(NamedTuple):
    """One thing that is measured.

    Attributes:
        key: its name in results.
        title: for people.
        unit: of its values.
        more_is_better: else less is.
        digits: how many decimals are worth printing.
    """

    key: str
    title: str
    unit: str
    more_is_better: bool = True
    digits: int = 0


FIGURES: Final = {
    figure.key: figure
    for figure in (
        Figure("send", "sends, one by one", "calls/s"),
        Figure("send_threads", "sends from 64 threads", "calls/s"),
        Figure("send_asyncio", "sends from 64 coroutines", "calls/s"),
        Figure("drain", "drain of singly sent calls", "calls/s"),
        Figure("drain_map", "drain of a map", "calls/s"),
        Figure("fan_out", "fan-out and all results", "calls/s"),
        Figure("round_trip_p50", "round trip, median", "ms", False, 2),
        Figure("round_trip_p99", "round trip, 99th percentile", "ms", False, 2),
        Figure("payload_1k", "fan-out of 1 KB payloads", "MB/s", digits=2),
        Figure("payload_100k", "fan-out of 100 KB payloads", "MB/s", digits=1),
        Figure("skew", "skewed tasks, of the ideal", "x", False, 2),
        Figure("sleepers_1", "10 ms sleepers, 1 process", "calls/s", digits=1),
        Figure("sleepers_2", "10 ms sleepers, 2 processes", "calls/s", digits=1),
        Figure("sleepers_4", "10 ms sleepers, 4 processes", "calls/s", digits=1),
        Figure("start_up", "start-up to the first result", "s", False, 2),
        Figure("idle_cpu", "idle worker, 4 processes", "% of a core", False, 2),
        Figure("child_mb", "memory of a child (RSS)", "MB", False, 1),
        Figure("child_pss_mb", "a child's own share of memory (Pss)", "MB", False, 1),
        Figure("import_s", "`import orchestrator`", "s", False, 3),
        Figure("help_s", "`orchestrator --help`", "s", False, 3),
        Figure("million_cost", "a call of a large map, of one of a map of 10,000", "x", False, 2),
        Figure("million_seconds", "large map, from its call to the last result", "s", False, 1),
        Figure("million_rate", "large map, all results read in slices", "calls/s"),
        Figure("million_client_mb", "large map: peak of the client (RSS)", "MB", False, 0),
        Figure("million_queued_bytes", "large map: server memory of a queued call", "bytes", False, 0),
        Figure("million_server_bytes", "large map: server memory of a call with its result", "bytes", False, 0),
    )
}


class Spread(NamedTuple):
    """What came of the rounds."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """The median and the range.

    >>> spread([3, 1, 2])
    Spread(median=2, least=1, most=3)
    """
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that is not below ``percent`` of them (nearest rank).

    >>> percentile(range(1, 101), 99), percentile([5.0], 50)
    (99, 5.0)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def ratio(figure: Figure, ours: float, theirs: float) -> float:
    """How many times better ``ours`` is, whichever direction is better.

    >>> ratio(FIGURES["drain"], 200, 100), ratio(FIGURES["round_trip_p50"], 1, 4)
    (2.0, 4.0)
    """
    better, worse = (ours, theirs) if figure.more_is_better else (theirs, ours)
    return better / worse if worse else math.inf


def calls_for(rate: float, seconds: float, least: int, most: int) -> int:
    """How many calls take about so long, within limits, in round numbers.

    >>> calls_for(1234.0, 1.0, 100, 20_000), calls_for(3.0, 1.0, 100, 20_000), calls_for(1e6, 1.0, 100, 20_000)
    (1200, 100, 20000)
    """
    wanted = max(least, min(most, int(rate * seconds)))
    grain: int = 10 ** max(0, len(str(wanted)) - 2)
    return max(least, wanted // grain * grain)


def ideal_makespan(durations: Iterable[float], places: int) -> float:
    """Seconds for these tasks, in this order, when each starts the moment a place is free, and nothing else costs time.

    The order is the queue's: a scheduler that does not know how long a task takes can do no better.

    >>> ideal_makespan([1, 1, 1, 3], 2), ideal_makespan([3, 1, 1, 1], 2)
    (4.0, 3.0)
    """
    free = [0.0] * places
    heapq.heapify(free)
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return float(max(free))


def skewed(calls: int, short: float, long: float) -> list[float]:
    """Durations of which every hundredth is long, evenly spread and beginning in the middle of the first hundred.

    >>> [place for place, seconds in enumerate(skewed(300, 0.001, 1.0)) if seconds == 1.0]
    [50, 150, 250]
    """
    return [long if number % 100 == 50 else short for number in range(calls)]


def linearity(rate_of_one: float, rate_of_many: float, many: int) -> float:
    """What is left of the rate that ``many`` processes would have if each were as fast as one alone.

    >>> linearity(100.0, 380.0, 4)
    0.95
    """
    return rate_of_many / (rate_of_one * many)


def shown(figure: Figure, value: float) -> str:
    """A value as it is printed.

    >>> shown(FIGURES["drain"], 12345.6), shown(FIGURES["round_trip_p50"], 0.987)
    ('12,346', '0.99')
    """
    return f"{value:,.{figure.digits}f}"
