"""``wait(futures, progress=True)``: a bar on a terminal, a plain line for every tenth elsewhere, both on stderr."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.futures import PrefectFuture, wait_for_all

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_WORDS: Final = {b"C": "completed", b"F": "failed", b"K": "cancelled", b"Z": "crashed", b"N": "not ready"}
_BY_TYPE: Final = {"COMPLETED": b"C", "FAILED": b"F", "CANCELLED": b"K", "CRASHED": b"Z", "PENDING": b"N"}


class Tally:
    """How many runs have ended, and how."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0
        self._by_status: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def add(self, future: PrefectFuture[Any]) -> int:
        """One more has ended; returns how many have. Called from any thread."""
        with self._lock:
            self._by_status[_status(future)] += 1
            self.ended += 1
            return self.ended

    def __str__(self) -> str:
        with self._lock:
            return ", ".join(f"{self._by_status[s]:,} {word}" for s, word in _WORDS.items() if self._by_status[s])


def _status(future: PrefectFuture[Any]) -> bytes:
    """Without reading the outcome: that may be large, and is nobody's wish yet."""
    return future._end[0] if future._end is not None else _BY_TYPE[future.state.type.value]


def wait_with_bar(futures: Sequence[PrefectFuture[Any]], timeout: float | None) -> None:
    """Wait for all, showing how many have ended."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        _wait_with_bar(console, futures, timeout)
    else:
        _wait_with_lines(console, futures, timeout)


def _wait_with_bar(console: Console, futures: Sequence[PrefectFuture[Any]], timeout: float | None) -> None:
    tally = Tally(len(futures))
    with _bar(console) as progress:
        progress.add_task("waiting", total=len(futures), tally=tally)
        (task,) = progress.tasks

        def count(future: PrefectFuture[Any]) -> None:
            task.completed = tally.add(future)  # drawn ten times a second, not once per run

        wait_for_all(futures, timeout, also=count)


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[tally]}"), console=console
    )


def _wait_with_lines(console: Console, futures: Sequence[PrefectFuture[Any]], timeout: float | None) -> None:
    tally = Tally(len(futures))
    step = max(1, len(futures) // 10)

    def count(future: PrefectFuture[Any]) -> None:
        ended = tally.add(future)
        if ended % step == 0 or ended == tally.total:
            print(f"{ended:,} of {tally.total:,} runs have ended: {tally}", file=console.file, flush=True)

    wait_for_all(futures, timeout, also=count)
