"""The metrics by name, with what they mean. Counters end in ``_total``, times are seconds.

What begins with ``orchestrator_fleet_``, ``orchestrator_queue_depth`` and the like comes from the store: every page of
the fleet shows the same, so it is not to be summed over pages but taken once (``max by (queue)``).

The library is imported when a page is made: importing it looks through the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from orchestrator.observability.metrics.cells import COUNTERS, DURATION, SECONDS, WAIT, Figures
from orchestrator.observability.metrics.readings import FleetReading, WorkerReading

CALL: Final = ("task", "queue")
BY_COUNTER: Final = {
    "started": "Attempts that this worker has started",
    "redelivered": "Attempts at calls that another worker had before, and did not finish",
    "succeeded": "Attempts that completed",
    "failed": "Attempts that failed for good",
    "retried": "Attempts that failed and are followed by another",
    "cancelled": "Attempts that were cancelled while they ran",
}
_BOUNDS: Final = [*(str(bound) for bound in SECONDS), "+Inf"]


def worker_families(reading: WorkerReading) -> Iterator[Any]:
    """What one worker has counted, and its places."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("orchestrator_worker", "Who it is", {"name": reading.name, "version": reading.version})
    yield GaugeMetricFamily("orchestrator_worker_up", "1: its supervisor answers", 1)
    yield GaugeMetricFamily(
        "orchestrator_worker_start_time_seconds", "When it was started, unix time", reading.started_at
    )
    children = GaugeMetricFamily("orchestrator_worker_children", "Its processes that run calls", labels=["state"])
    children.add_metric(["ready"], reading.ready)
    children.add_metric(["starting"], reading.children - reading.ready)
    yield children
    yield CounterMetricFamily(
        "orchestrator_worker_child_deaths", "Processes of it that died without an order to", reading.deaths
    )
    busy = GaugeMetricFamily("orchestrator_worker_slots_busy", "Calls that run or wait for others", labels=["lane"])
    every = GaugeMetricFamily("orchestrator_worker_slots", "Calls that may run at once", labels=["lane"])
    for lane, places in sorted(reading.places.items()):
        busy.add_metric([lane], places.busy)
        every.add_metric([lane], places.count)
    yield from (busy, every)
    yield from _counted(reading.figures)


def _counted(figures: Figures) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    for which, name in enumerate(COUNTERS):
        family = CounterMetricFamily(f"orchestrator_runs_{name}", BY_COUNTER[name], labels=CALL)
        for call, counted in sorted(figures.items()):
            family.add_metric(call, counted.counter(which))
        yield family
    for first, name, meaning in (
        (DURATION, "run_duration", "How long attempts took"),
        (WAIT, "queue_wait", "How long calls had been in their queue when they were started"),
    ):
        histogram = HistogramMetricFamily(f"orchestrator_{name}_seconds", meaning, labels=CALL)
        for call, counted in sorted(figures.items()):
            total, buckets = counted.histogram(first)
            histogram.add_metric(call, list(zip(_BOUNDS, _cumulated(buckets), strict=True)), total)
        yield histogram


def _cumulated(buckets: list[float]) -> Iterator[float]:
    total = 0.0
    for count in buckets:
        total += count
        yield total


def fleet_families(reading: FleetReading) -> Iterator[Any]:
    """The families from the store: the same on every page of a fleet."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily("orchestrator_store_up", "1: the store answers", int(reading.up))
    if not reading.up:
        return
    yield GaugeMetricFamily("orchestrator_fleet_processes", "Live processes that run calls", reading.consumers)
    yield GaugeMetricFamily("orchestrator_dead_letters", "Calls that were given up and are kept", reading.dead)
    ended = CounterMetricFamily("orchestrator_fleet_runs", "Runs that have ended", labels=["task", "state"])
    for (task, state), count in sorted(reading.ended.items()):
        ended.add_metric([task, state], count)
    submitted = CounterMetricFamily("orchestrator_fleet_submitted", "Calls that were accepted", labels=CALL)
    for call, count in sorted(reading.submitted.items()):
        submitted.add_metric(call, count)
    yield from (ended, submitted)
    for name, meaning, field in (
        ("depth", "Calls that wait in the queue", "waiting"),
        ("held", "Calls that workers hold, those that run included", "held"),
        ("delayed", "Calls whose time has not come: countdowns, retries", "delayed"),
        ("oldest_age_seconds", "How long the first of those that wait has waited", "oldest_seconds"),
        ("paused", "1: workers take nothing from it", "paused"),
    ):
        family = GaugeMetricFamily(f"orchestrator_queue_{name}", meaning, labels=["queue"])
        for queue in reading.queues:
            value = getattr(queue, field)
            if value is not None or field == "oldest_seconds":  # nothing waits: an age of 0, so that alerts end
                family.add_metric([queue.name], float(value or 0))
        yield family
