"""``python -m benchmarks``: the fleet and the bare limit, interleaved in one run on one private server.

Prints medians over the rounds, their spread, and ratios; a figure means something only beside the others of its run.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import celery_rows

WORKERS = 2


@contextmanager
def _home() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        os.environ["ORCHESTRATOR_HOME"] = home
        for name in ("ORCHESTRATOR_REDIS_URL", "ORCHESTRATOR_BROKER_URL"):
            os.environ.pop(name, None)
        yield


@contextmanager
def _workers() -> Iterator[None]:
    from orchestrator.client.fleet import current_fleet

    command = [sys.executable, "-m", "orchestrator", "worker", "-A", "benchmarks.tasks", "-c", str(WORKERS)]
    worker = subprocess.Popen([*command, "-l", "warning"], cwd=Path(__file__).parent.parent, stderr=subprocess.DEVNULL)
    try:
        while sum("tasks" in facts for facts in current_fleet().live_workers().values()) < WORKERS:
            if worker.poll() is not None:
                raise SystemExit(f"the worker ended with status {worker.returncode}")
            time.sleep(0.05)
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def fan_out(calls: int) -> float:
    """Seconds for ``map`` and all results."""
    from benchmarks.tasks import noop

    begun = time.perf_counter()
    futures = noop.map(range(calls))
    assert futures.result() == list(range(calls))
    return time.perf_counter() - begun


def round_trips(count: int) -> list[float]:
    """Seconds of single calls, from ``submit`` to its result."""
    from benchmarks.tasks import noop

    times = []
    for number in range(count):
        begun = time.perf_counter()
        noop.submit(number).result()
        times.append(time.perf_counter() - begun)
    return sorted(times)


def one_by_one(count: int) -> float:
    """Seconds of ``delay`` calls, one after the other."""
    from benchmarks.tasks import noop

    begun = time.perf_counter()
    futures = [noop.delay(number) for number in range(count)]
    seconds = time.perf_counter() - begun
    for future in futures:
        future.wait()
    return seconds


def bare_one_by_one(socket: str, count: int) -> float:
    """Seconds of redis-py XADDs, one after the other."""
    import redis

    client = redis.Redis(unix_socket_path=socket)
    begun = time.perf_counter()
    for _ in range(count):
        client.xadd("limit:xadd", {"b": b"x" * 100})
    seconds = time.perf_counter() - begun
    client.delete("limit:xadd")
    return seconds


def _row(name: str, rates: list[float], unit: str, note: str = "") -> None:
    middle = statistics.median(rates)
    print(f"{name:<34}{middle:>12,.2f} {unit:<8} ({min(rates):,.2f} to {max(rates):,.2f}) {note}")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="calls of a fan-out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--celery", action="store_true", help="only the rows of Celery")
    parser.add_argument("--celery-calls", type=int, default=2_000, help="calls of a fan-out there; 0 leaves them out")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{WORKERS} worker processes, {options.calls:,} calls a fan-out, {options.rounds} rounds")
    print("median (min to max)\n")
    with _home():
        if not options.celery:
            _measure(options.calls, options.rounds)
        if options.celery_calls:
            celery_rows.measure(options.celery_calls, options.rounds, WORKERS)


def _measure(calls: int, rounds: int) -> None:
    from benchmarks import limit
    from orchestrator.client.fleet import current_fleet

    fleet = current_fleet()
    fleet.broker.health.is_reachable()
    assert fleet.embedded is not None
    socket = fleet.embedded.ensure().removeprefix("unix://")
    ours: list[float] = []
    bare: list[float] = []
    sends: list[float] = []
    bare_sends: list[float] = []
    middle: list[float] = []
    slow: list[float] = []
    single = max(500, calls // 10)
    for _ in range(rounds):  # interleaved, so that a machine that gets slower is slower for both
        bare.append(calls / limit.fan_out(socket, calls))
        with _workers():
            _warm_up(fan_out)
            ours.append(calls / fan_out(calls))
            times = round_trips(500)
            middle.append(times[250] * 1000)
            slow.append(times[495] * 1000)
            sends.append(single / one_by_one(single))
            bare_sends.append(single / bare_one_by_one(socket, single))
    _row("fan-out: map and all results", ours, "calls/s")
    share = statistics.median(ours) / statistics.median(bare)
    _row("  the bare limit prototype", bare, "calls/s", f"ours is {share:.2f} of it")
    _row("round trip, median", middle, "ms")
    _row("round trip, 99th percentile", slow, "ms")
    _row("delay, one by one", sends, "calls/s")
    ratio = statistics.median(sends) / statistics.median(bare_sends)
    _row("  redis-py XADD, one by one", bare_sends, "calls/s", f"ours is {ratio:.2f} of it")
    fleet.close()


def _warm_up(measure: Callable[[int], float]) -> None:
    measure(500)


if __name__ == "__main__":
    main()
