"""The driver: does one bad thing after the other, by a seeded plan, and writes down what it did when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import redis

from chaos.site import LEASE_SECONDS, Site, Worker

DECK: Final = (
    ["kill child"] * 3
    + ["kill supervisor"]
    + ["freeze child"]
    + ["freeze worker"] * 2
    + ["cut connections"] * 3
    + ["black hole"] * 2
    + ["restart server", "kill server"]
    + ["flush scripts"] * 2
)
"""Every kind comes before one comes again as often as it is in here."""
SETTLING_SECONDS: Final = 2 * LEASE_SECONDS
"""For so long after a fault that hid a worker, two attempts of a run may still meet."""


class Window(NamedTuple):
    """A worker could not be heard from ... to."""

    kind: str
    begun: float
    ended: float


class Driver:
    """Breaks things in a thread of its own.

    Args:
        site: what is broken.
        seed: of the plan.
        seconds: how long.
        pause: seconds between two faults.
    """

    def __init__(self, site: Site, seed: int, seconds: float, pause: float) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._seconds, self._pause = seconds, pause
        self.done: Counter[str] = Counter()
        self.windows: list[Window] = []
        self.deaths: dict[int, float] = {}
        """Processes that were killed here, and when."""
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._undoing: list[threading.Thread] = []
        self._busy: set[int] = set()  # workers (by index) that are frozen
        self._kinds: dict[str, Callable[[], bool]] = {
            "kill child": self._kill_child,
            "kill supervisor": self._kill_supervisor,
            "freeze child": self._freeze_child,
            "freeze worker": self._freeze_worker,
            "cut connections": self._cut,
            "black hole": self._black_hole,
            "restart server": lambda: self._restart(gently=True),
            "kill server": lambda: self._restart(gently=False),
            "flush scripts": self._flush,
        }

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Until the plan is over and everything frozen is awake."""
        self._thread.join()
        for thread in self._undoing:
            thread.join()

    @property
    def total(self) -> int:
        return sum(self.done.values())

    def _run(self) -> None:
        end = time.monotonic() + self._seconds
        deck: list[str] = []
        while time.monotonic() < end:
            if not deck:
                deck = list(DECK)
                self._random.shuffle(deck)
            kind = deck.pop()
            if self._kinds[kind]():
                self.done[kind] += 1
            time.sleep(min(self._random.uniform(0.5, 1.5) * self._pause, max(0.0, end - time.monotonic())))

    def _window(self, kind: str, begun: float) -> None:
        self.windows.append(Window(kind, begun, time.monotonic() + SETTLING_SECONDS))

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        def wait_and_do() -> None:
            time.sleep(seconds)
            do()

        thread = threading.Thread(target=wait_and_do, daemon=True)
        self._undoing.append(thread)
        thread.start()

    # -- processes -----------------------------------------------------------------------------------------------

    def _worker(self) -> Worker | None:
        """One that is not frozen."""
        index = self._random.randrange(len(self._site.workers))
        worker = self._site.workers[index]
        return None if index in self._busy or worker.ended() else worker

    def _kill(self, *pids: int) -> bool:
        killed = False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed = True
            self.deaths[pid] = time.monotonic()
        return killed

    def _kill_child(self) -> bool:
        worker = self._worker()
        children = worker.children() if worker else []
        return bool(children) and self._kill(self._random.choice(children))

    def _kill_supervisor(self) -> bool:
        """Its children die with it."""
        worker = self._worker()
        if worker is None:
            return False
        children = worker.children()
        killed = self._kill(worker.pid)
        for child in children:
            self.deaths[child] = time.monotonic()
        return killed

    def _freeze_child(self) -> bool:
        """Its supervisor lives: nothing of it may be given to others."""
        worker = self._worker()
        children = worker.children() if worker else []
        if not children:
            return False
        pid = self._random.choice(children)
        os.kill(pid, signal.SIGSTOP)

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._later(self._random.uniform(0.5, 1.5) * LEASE_SECONDS, wake)
        return True

    def _freeze_worker(self) -> bool:
        """Supervisor and children, beyond the lease: everything is taken over, and then they wake."""
        worker = self._worker()
        if worker is None:
            return False
        index, begun = self._site.workers.index(worker), time.monotonic()
        self._busy.add(index)
        worker.signal_all(signal.SIGSTOP)

        def wake() -> None:
            worker.signal_all(signal.SIGCONT)
            self._busy.discard(index)
            self._window("freeze worker", begun)

        self._later(self._random.uniform(1.2, 2.0) * LEASE_SECONDS, wake)
        return True

    # -- the network ---------------------------------------------------------------------------------------------

    def _cut(self) -> bool:
        """Half of all connections, ours included."""
        try:
            with self._site.client() as client:
                rows = client.client_list()
                for row in self._random.sample(rows, (len(rows) + 1) // 2):
                    with contextlib.suppress(redis.RedisError):
                        client.client_kill_filter(_id=row["id"])
        except redis.RedisError:
            return False
        return True

    def _black_hole(self) -> bool:
        """The second worker's commands vanish; late ones arrive afterwards, or never."""
        begun, forget = time.monotonic(), self._random.random() < 0.5
        self._site.proxy.black_hole()

        def heal() -> None:
            self._site.proxy.heal(forget=forget)
            self._site.proxy.reset()
            self._window("black hole", begun)

        self._later(self._random.uniform(0.5, 1.8) * LEASE_SECONDS, heal)
        return True

    # -- the server ----------------------------------------------------------------------------------------------

    def _restart(self, *, gently: bool) -> bool:
        begun = time.monotonic()
        if gently:
            self._site.server.end_gently()
        else:
            self._site.server.kill()
        time.sleep(self._random.uniform(0.0, 1.0))
        self._site.server.start()
        self._window("restart", begun)
        return True

    def _flush(self) -> bool:
        try:
            with self._site.client() as client:
                client.script_flush()
        except redis.RedisError:
            return False
        return True
