"""Celery's own ``group`` with results against our ``map`` through Celery: same broker, pool, machine and run.

Plain Celery has its defaults (acknowledged early, four messages prefetched for each process, results in Redis),
which are its fastest; late acknowledgement, which is what ours has to do to lose nothing, is measured beside it
for information.
"""

from __future__ import annotations

import importlib
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OURS_PER_ROUND = 10  # fan-outs of ours in a round: one takes a fraction of a second
WARM_UP_CALLS = 500


def measure(calls: int, rounds: int, workers: int) -> None:
    """Print the rows for each broker that this machine has."""
    from orchestrator.client.fleet import Fleet
    from orchestrator.settings import Settings
    from tests.support.rabbitmq import RabbitMQ, is_installed

    keeper = Fleet(Settings())  # of the private server, which keeps the calls and is the Redis broker of both
    assert keeper.embedded is not None
    socket = keeper.embedded.ensure().removeprefix("unix://")
    try:
        _measure_on("Redis", f"redis+socket://{socket}?virtual_host=1", socket, calls, rounds, workers)
        if not is_installed():
            print("\nCelery over RabbitMQ is left out: there is none here (Debian: apt-get install rabbitmq-server)")
            return
        node = RabbitMQ().start()
        try:
            _measure_on("RabbitMQ", node.url, socket, calls, rounds, workers)
        finally:
            node.close()
    finally:
        keeper.close()


def _measure_on(name: str, broker: str, socket: str, calls: int, rounds: int, workers: int) -> None:
    print(f"\nCelery over {name}: prefork, {workers} processes, {calls:,} calls a fan-out, {rounds} rounds", flush=True)
    rates: dict[str, list[float]] = {"plain": [], "late": [], "ours": []}
    for _ in range(rounds):  # interleaved, so that a machine that gets slower is slower for all
        rates["plain"].append(_plain(broker, socket, calls, workers, late=False))
        rates["ours"].append(_ours(broker, socket, calls, workers))
        rates["late"].append(_plain(broker, socket, calls, workers, late=True))
    middle = statistics.median(rates["plain"])
    _row("plain group with results", rates["plain"])
    _row("  the same with acks_late", rates["late"])
    _row("map and all results, ours", rates["ours"], f"{statistics.median(rates['ours']) / middle:.1f} times plain")
    each = [ours / plain for ours, plain in zip(rates["ours"], rates["plain"], strict=True)]
    print(f"  round by round: {', '.join(f'{ratio:.1f}' for ratio in each)} times plain", flush=True)


def _row(name: str, rates: list[float], note: str = "") -> None:
    middle = statistics.median(rates)
    print(f"{name:<34}{middle:>12,.2f} {'calls/s':<8} ({min(rates):,.2f} to {max(rates):,.2f}) {note}")


# -- plain Celery ------------------------------------------------------------------------------------------------------


def _plain(broker: str, socket: str, calls: int, workers: int, late: bool) -> float:
    """Calls a second of one group, from the first send to the last result in the caller's hands."""
    from benchmarks import plain_celery

    os.environ[plain_celery.BROKER] = broker
    os.environ[plain_celery.RESULTS] = f"redis+socket://{socket}?virtual_host=2"
    os.environ[plain_celery.LATE] = "1" if late else ""
    module = importlib.reload(plain_celery)
    name = f"plain-{secrets.token_hex(4)}"
    command = ["-A", "benchmarks.plain_celery", "worker", "-P", "prefork", "-c", str(workers), "-n", f"{name}@%h"]
    with _celery(command, lambda: _answers(module.app, name)):
        _group(module.add, WARM_UP_CALLS)
        rate = calls / _group(module.add, calls)
    module.app.close()
    return rate


def _group(add: Any, calls: int) -> float:
    from celery import group

    begun = time.perf_counter()
    results = group(add.s(number, 1) for number in range(calls))()
    assert results.get() == list(range(1, calls + 1))
    seconds = time.perf_counter() - begun
    results.forget()
    return seconds


def _answers(app: Any, name: str) -> bool:
    return any(node.startswith(name) for reply in app.control.ping(timeout=0.3) for node in reply)


# -- ours --------------------------------------------------------------------------------------------------------------


def _ours(broker: str, socket: str, calls: int, workers: int) -> float:
    from benchmarks.tasks import add
    from orchestrator.client.fleet import Fleet, use_fleet
    from orchestrator.settings import Settings, use

    settings = Settings(
        redis_url=f"unix://{socket}", broker_url=f"celery+{broker}", namespace=f"b{secrets.token_hex(4)}"
    )
    environment = {
        "ORCHESTRATOR_REDIS_URL": str(settings.redis_url),
        "ORCHESTRATOR_BROKER_URL": str(settings.broker_url),
        "ORCHESTRATOR_NAMESPACE": settings.namespace,
        "ORCHESTRATOR_WORKER_APP": "benchmarks.tasks",
    }
    fleet = Fleet(settings)
    before = use_fleet(fleet)
    command = ["-A", "task_workers.celery", "worker", "-P", "prefork", "-c", str(workers)]
    command += ["-n", f"ours-{settings.namespace}@%h"]
    try:
        with use(settings), _celery(command, lambda: len(fleet.live_workers()) >= workers, environment):
            _map(add, WARM_UP_CALLS)
            return calls * OURS_PER_ROUND / sum(_map(add, calls) for _ in range(OURS_PER_ROUND))
    finally:
        use_fleet(before)
        fleet.close()


def _map(add: Any, calls: int) -> float:
    begun = time.perf_counter()
    futures = add.map(range(calls), 1)
    assert futures.result() == list(range(1, calls + 1))
    return time.perf_counter() - begun


@contextmanager
def _celery(
    arguments: list[str], is_ready: Callable[[], bool], environment: dict[str, str] | None = None
) -> Iterator[None]:
    """An ordinary Celery worker with a command line of Celery's own, while it is ready."""
    command = [sys.executable, "-m", "celery", *arguments, "-l", "warning"]
    worker = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_ready():
            if worker.poll() is not None:
                raise SystemExit(f"the Celery worker ended with status {worker.returncode}")
            time.sleep(0.05)
        yield
    finally:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(30)
        worker.kill()
        worker.wait()
