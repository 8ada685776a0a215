"""``wait(futures, progress=True)``: a bar with counts by state on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from brokers.messages import Status
from orchestrator.client.handles import Handle
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.waiting import wait_for_all

BAR_SECONDS: Final = 0.1
LINE_SECONDS: Final = 3.0
_NAMES: Final = {
    Status.COMPLETED: "Completed",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
    Status.CRASHED: "Crashed",
    Status.NOT_READY: "NotReady",
}


class Tally:
    """Counts ends by state, without reading the results."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.counts: Counter[str] = Counter()
        self.started = time.monotonic()

    def count(self, future: Handle) -> None:
        """This one has ended."""
        if future._status is not None:
            self.counts[_NAMES.get(future._status, "Crashed")] += 1
        else:
            self.counts[future.state.name] += 1

    def count_of_map(self, runs: MapRuns, positions: Sequence[int]) -> None:
        """These of a map have ended."""
        letters = runs.ends.letters
        self.counts.update(_NAMES.get(bytes((letters[position],)), "Crashed") for position in positions)

    @property
    def done(self) -> int:
        """How many have ended."""
        return sum(self.counts.copy().values())

    @property
    def states(self) -> str:
        """The counts, most frequent first: ``Completed 990  Failed 10``."""
        return "  ".join(f"{name} {count}" for name, count in self.counts.copy().most_common())

    def line(self) -> str:
        """Where it stands, as a line."""
        seconds = time.monotonic() - self.started
        rate = self.done / seconds if seconds > 0 else 0.0
        return f"{self.done}/{self.total} ended in {seconds:.1f} s ({rate:,.0f}/s)  {self.states}"


def wait_with_bar(futures: Sequence[Handle], timeout: float | None) -> None:
    """Wait until all have settled, at most ``timeout`` seconds, and show how it goes on standard error."""
    tally = Tally(len(futures))
    runs = getattr(futures, "whole", None)
    with _bar(tally) if sys.stderr.isatty() else _lines(tally):
        if isinstance(runs, MapRuns):
            with runs.notifying(partial(tally.count_of_map, runs)):
                wait_for_all(futures, timeout)
        else:
            wait_for_all(futures, timeout, also=tally.count)


@contextmanager
def _bar(tally: Tally) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[states]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("runs", total=tally.total, states="")

        def show() -> None:
            progress.update(bar, completed=tally.done, states=tally.states)

        with _every(BAR_SECONDS, show):
            yield
        show()


@contextmanager
def _lines(tally: Tally) -> Iterator[None]:
    def show() -> None:
        print(tally.line(), file=sys.stderr, flush=True)

    with _every(LINE_SECONDS, show):
        yield
    show()


@contextmanager
def _every(seconds: float, show: Any) -> Iterator[None]:
    """Call ``show`` now and then, in a thread, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            show()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)
