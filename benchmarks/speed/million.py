"""A map of a million calls: does a call cost what it costs in a small map, and what do client and server hold?

``python -m benchmarks.speed.million CALLS run`` (or ``send``) is the client, in a process of its own: its memory is
part of the figure.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.rig import OURS
from benchmarks.speed.cell import WORKERS, Values
from benchmarks.speed.proc import status_mb
from benchmarks.speed.systems import Contestant
from tests.support.servers import ServerProcess

ROOT: Final = Path(__file__).parents[2]
SMALL: Final = 10_000
SMALL_MAPS: Final = 5
WARM_UP: Final = 1_000
SLICE: Final = 10_000
WATCH_SECONDS: Final = 0.2


def run(calls: int) -> dict[str, float]:
    """The client: one map, its results read in slices; nobody holds all of them. Needs the fleet's settings."""
    noop = _noop()
    read_in_slices(noop.map(range(WARM_UP)))
    begun = time.perf_counter()
    total = read_in_slices(noop.map(range(calls)))
    seconds = time.perf_counter() - begun
    assert total == calls * (calls - 1) // 2, "the results are not those of the calls"
    return {"seconds": seconds, "peak_mb": status_mb(os.getpid(), "VmHWM")}


def send(calls: int) -> dict[str, float]:
    """The client of a map that nobody runs."""
    begun = time.perf_counter()
    assert len(_noop().map(range(calls))) == calls
    return {"seconds": time.perf_counter() - begun}


def read_in_slices(futures: Any) -> int:
    """The sum of all results; handles are let go as soon as they have been read."""
    kind = type(futures)
    futures.reverse()  # taken from the end, which costs nothing
    total = 0
    while futures:
        part = kind(reversed(futures[-SLICE:]))
        del futures[-SLICE:]
        total += sum(part.result())
    return total


def _noop() -> Any:
    sys.path.insert(0, str(Path(__file__).parent / "apps"))
    import on_orchestrator

    return on_orchestrator.noop


def measure(server: ServerProcess, calls: int) -> Values:
    """Runs the small maps and the large one, each in a client of its own, with two worker processes.

    What a call takes that is queued is measured before, with a map of as many calls and without workers.
    """
    with Contestant(OURS, server) as ours:
        _client(ours, WARM_UP, "send")  # what the store keeps once for all calls is there
        with _Memory(server) as queued:
            _client(ours, calls, "send")
    with Contestant(OURS, server) as ours:
        ours.start_workers(WORKERS)
        ours.ask("fan_out", SMALL)
        small = statistics.median(_client(ours, SMALL)["seconds"] for _ in range(SMALL_MAPS)) / SMALL
        with _Memory(server) as memory:
            large = _client(ours, calls)
    return {
        "million_calls": calls,
        "million_cost": large["seconds"] / calls / small,
        "million_seconds": large["seconds"],
        "million_rate": calls / large["seconds"],
        "million_client_mb": large["peak_mb"],
        "million_queued_bytes": queued.most / calls,
        "million_server_bytes": memory.most / calls,
    }


def _client(ours: Contestant, calls: int, what: str = "run") -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.speed.million", str(calls), what]
    told: dict[str, float] = json.loads(subprocess.check_output(command, env=ours.environment, cwd=ROOT, text=True))
    return told


class _Memory:
    """Watches how much more the server uses than at the beginning; records of ended calls, with results, included."""

    def __init__(self, server: ServerProcess) -> None:
        self._client = server.client()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.most = 0

    def _used(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def _watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            self.most = max(self.most, self._used() - self._before)

    def __enter__(self) -> _Memory:
        self._before = self._used()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()
        self.most = max(self.most, self._used() - self._before)
        self._client.close()


if __name__ == "__main__":
    print(json.dumps({"run": run, "send": send}[sys.argv[2]](int(sys.argv[1]))))
