"""``make soak``: a steady load of every kind of call, and the sizes of everything that the store keeps for it.

The store has to end flat: nothing may be larger in the last quarter than it was in the second, when everything that
lives for a time had reached it; and when the load has ended and the times are over, next to nothing may be left.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from chaos import soak_tasks as tasks
from chaos.site import LastingServer, Worker
from orchestrator import flow
from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.settings import Settings, variable_of

NAMESPACE: Final = "soak"
PREFIX: Final = f"{{{NAMESPACE}}}:"
GROWTH: Final = 1.2  # of the last quarter beyond the second, before something counts as growing
SLACK: Final = {"memory": 4 << 20}
FEW: Final = 300  # entries, keys or members that nobody looks at
LEFT_AT_THE_END: Final = frozenset(("queues", "counts", "submitted", "workers", "worker", "q", "in", "rate", "journal"))
"""What stays after all runs are forgotten: one for each task, queue, limit or worker; of the journal, one node."""


class Sample(NamedTuple):
    """Sizes at one moment: keys of each kind (``r``), members of each (``r members``), ``memory`` in bytes."""

    at: float
    sizes: Mapping[str, int]


def measure(client: redis.Redis) -> dict[str, int]:
    """The sizes of everything below the prefix, by kind of key."""
    sizes: Counter[str] = Counter(memory=client.info("memory")["used_memory"])
    asked: list[str] = []
    counts = client.pipeline(transaction=False)
    lengths: dict[str, Callable[[Any], Any]] = {"stream": counts.xlen, "zset": counts.zcard, "list": counts.llen}
    lengths |= {"set": counts.scard, "hash": counts.hlen}
    for kind_of_value, length in lengths.items():
        for key in client.scan_iter(PREFIX + "*", 2000, _type=kind_of_value):
            kind = key.decode("utf-8", "replace")[len(PREFIX) :].partition(":")[0]
            sizes[kind] += 1
            if kind != "r":  # a record has a dozen fields, however long it is kept
                asked.append(kind)
                length(key)
    for kind, found in zip(asked, counts.execute(), strict=True):
        sizes[f"{kind} members"] += found
    for key in client.scan_iter(PREFIX + "*", 2000, _type="string"):
        sizes[key.decode("utf-8", "replace")[len(PREFIX) :].partition(":")[0]] += 1
    return dict(sizes)


def growing(samples: Sequence[Sample]) -> list[str]:
    """What is larger at the end than it was when everything had reached its age, one sentence each.

    >>> flat = [Sample(at, {"r": 1000}) for at in range(8)]
    >>> growing(flat), growing([Sample(at, {"r": 1000 * at}) for at in range(8)])
    ([], ['r grows: at most 3000 in the second quarter, 7000 in the last'])
    """
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for name in sorted({name for sample in samples for name in sample.sizes}):
        before = max(sample.sizes.get(name, 0) for sample in second)
        after = max(sample.sizes.get(name, 0) for sample in last)
        if after > before * GROWTH + SLACK.get(name, FEW):
            found.append(f"{name} grows: at most {before} in the second quarter, {after} in the last")
    return found


def left(sizes: Mapping[str, int]) -> list[str]:
    """What is left after everything has ended and expired, one sentence each.

    >>> left({"memory": 5_000_000, "r": 4, "queues members": 2, "q": 9})
    ['4 of r are left']
    """
    return [
        f"{size} of {name} are left"
        for name, size in sorted(sizes.items())
        if size and name != "memory" and name.removesuffix(" members") not in LEFT_AT_THE_END
    ]


# -- the load ----------------------------------------------------------------------------------------------------------


@flow
def small_flow(number: int) -> None:
    """A flow with a map over what is not there yet."""
    tasks.both.map([number, number], tasks.nothing.submit(number)).wait(timeout=30)


def kinds_of_calls() -> list[Callable[[int], int]]:
    """Each sends some calls and says how many."""

    def delays(number: int) -> int:
        for index in range(10):
            tasks.nothing.delay(number + index)
        return 10

    def waited_for(number: int) -> int:
        futures = tasks.nothing.map(range(number, number + 5))
        tasks.both.submit(futures[0], futures[1])
        return 6

    def special(number: int) -> int:
        tasks.nothing.apply_async((number,), idempotency_key=f"key {number}")
        tasks.nothing.apply_async((number,), countdown=1, expires=3600)
        tasks.nothing.apply_async((number,), countdown=3600).cancel()
        tasks.second_time.delay(number)
        return 5

    def limited(number: int) -> int:
        for task in (tasks.few_at_once, tasks.at_a_rate, tasks.elsewhere, tasks.cached, tasks.prints, tasks.fails):
            task.delay(number)
        tasks.both.submit(tasks.elsewhere.submit(number), 1)  # fails, having kept a result that should be gone by then
        return 8

    def in_a_flow(number: int) -> int:
        if number % 50 == 4:
            small_flow(number)
        return 1

    return [delays, waited_for, special, limited, in_a_flow]


class Load:
    """Sends about ``rate`` calls per second until it is told to stop."""

    def __init__(self, rate: float) -> None:
        self._rate, self._stop = rate, threading.Event()
        self.sent = self.refused = 0
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Load:
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        kinds = kinds_of_calls()
        for number, send in enumerate(_endlessly(kinds)):
            ahead = self.sent / self._rate - (time.monotonic() - self._begun)
            if self._stop.wait(max(0.0, ahead)):
                return
            try:
                self.sent += send(number)
            except BrokerError as error:
                self.refused += 1
                print(f"refused: {error}", flush=True)


def _endlessly(kinds: Sequence[Callable[[int], int]]) -> Iterator[Callable[[int], int]]:
    while True:
        yield from kinds


# -- the whole ---------------------------------------------------------------------------------------------------------


def soak(seconds: float, rate: float, folder: Path) -> list[str]:
    """Load, watch, judge; returns what is wrong."""
    ttl = min(60.0, max(3.0, seconds / 10))
    server = LastingServer("--appendfsync", "everysec")
    server.start()
    settings = Settings(
        redis_url=server.url,
        namespace=NAMESPACE,
        result_ttl_seconds=ttl,
        dead_letter_ttl_seconds=ttl,
        lease_seconds=ttl / 6,
        beat_seconds=ttl / 30,
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment |= {variable_of(name): str(getattr(settings, name)) for name in settings.model_fields_set}
    worker = Worker("soak", folder, environment, app="chaos.soak_tasks", queues="default,low-rate")
    try:
        with all_settings.use(settings), server.client() as client:
            fleet = Fleet(settings)
            fleets.use_fleet(fleet)
            samples = list(_watched(client, seconds, rate))
            troubles = growing(samples)
            troubles += _wait_until_empty(client, 6 * ttl)
            fleet.close()
            return troubles
    finally:
        worker.close()
        server.close()


def _watched(client: redis.Redis, seconds: float, rate: float) -> Iterator[Sample]:
    begun = time.monotonic()
    with Load(rate) as load:
        for at in range(1, 41):
            time.sleep(max(0.0, begun + seconds * at / 40 - time.monotonic()))
            sample = Sample(time.monotonic() - begun, measure(client))
            _show(sample, load.sent, header=at == 1)
            yield sample


SHOWN: Final = ("r", "journal members", "q members", "expiring members", "delayed members", "i", "n", "kept members")
SHOWN_TOO: Final = ("l members", "c", "f", "in members", "dead members")


def _show(sample: Sample, sent: int, header: bool) -> None:
    names = [*SHOWN, *SHOWN_TOO]
    if header:
        print(f"{'s':>5} {'sent':>8} {'MB':>6}", *(f"{name.removesuffix(' members'):>8}" for name in names))
    memory = sample.sizes["memory"] / (1 << 20)
    print(f"{sample.at:5.0f} {sent:8} {memory:6.1f}", *(f"{sample.sizes.get(name, 0):8}" for name in names), flush=True)


def _wait_until_empty(client: redis.Redis, patience_seconds: float) -> list[str]:
    deadline = time.monotonic() + patience_seconds
    while (troubles := left(measure(client))) and time.monotonic() < deadline:
        time.sleep(0.5)
    _show(Sample(0, measure(client)), 0, header=False)
    return troubles


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description="a steady load, and the store's sizes")
    parser.add_argument("--seconds", type=float, default=os.environ.get("SOAK_SECONDS", "600"), help="SOAK_SECONDS")
    parser.add_argument("--rate", type=float, default=os.environ.get("SOAK_RATE", "300"), help="SOAK_RATE: calls/s")
    options = parser.parse_args()
    print(f"{options.seconds:g} s at {options.rate:g} calls/s", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        troubles = soak(options.seconds, options.rate, Path(folder))
    for trouble in troubles:
        print(trouble)
    print("the store does not end flat" if troubles else "the store ends flat")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
