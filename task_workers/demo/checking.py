"""Whether the numbers add up: what came back, what the store counted, and a plain loop over a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from brokers.messages import Status
from orchestrator import PrefectFuture, Task
from orchestrator.client.fleet import Fleet
from task_workers.demo.stdlib_metrics import Handles, Numbers, Package, join, measure, notify, rank

SAMPLE: Final = 100
NOTICE_SECONDS: Final = 30.0


class Check(NamedTuple):
    """Something that must be true."""

    what: str
    is_true: bool


class Findings:
    """What the demo found out.

    Args:
        fleet: whose store counted.
        handles: what the flow submitted.

    Attributes:
        failed: path -> future of the files that failed.
    """

    def __init__(self, fleet: Fleet, handles: Handles) -> None:
        self._handles = handles
        self._counts = fleet.broker.figures.ended()
        self.files = handles.files
        self.failed = {path: future for path, future in handles.files.items() if not future.state.is_completed()}
        self.calls = len(self.files) + len(handles.packages) + 2
        everything: list[PrefectFuture[Any]] = [*self.files.values(), *handles.packages, handles.ranking]
        records = fleet.broker.records.read([future.run_id for future in everything])
        self.redelivered = sum(record.take_overs > 0 for record in records)
        self.started_again = sum(record.crashes > 0 for record in records)

    @property
    def packages(self) -> list[Package]:
        """Every package."""
        return [future.result() for future in self._handles.packages]

    def checks(self) -> Iterator[Check]:
        """Everything that must be true, one after the other."""
        files, good = len(self.files), len(self.files) - len(self.failed)
        ranking, total = self._handles.ranking.result(), sum((p.numbers for p in self.packages), Numbers())
        yield Check(
            f"each of {self.calls:,} calls has ended, and was completed once by the count of the store",
            self._ended(measure) == {Status.COMPLETED: good, Status.FAILED: len(self.failed)}
            and self._ended(join) == {Status.COMPLETED: len(self._handles.packages)}
            and self._ended(rank) == self._ended(notify) == {Status.COMPLETED: 1},
        )
        yield Check(
            f"{len(self.failed)} files that do not parse failed with a SyntaxError or ValueError, after two attempts",
            all(_failed_twice(future) for future in self.failed.values()),
        )
        yield Check(
            f"{total.files:,} files with numbers and {total.broken} without are the {files:,} that were submitted",
            (total.files, total.broken) == (good, len(self.failed)),
        )
        measured = (future.result() for path, future in self.files.items() if path not in self.failed)
        yield Check(
            "the sum of the packages is the sum of the files, and the worker's sum",
            sum(measured, Numbers(broken=len(self.failed))) == total == ranking.total,
        )
        sample = list(self.files)[:: max(1, files // SAMPLE)]
        yield Check(
            f"a plain loop over a sample of {len(sample)} files finds the same numbers",
            all(_measured_here(path) == _measured_there(self.files[path]) for path in sample),
        )

    def _ended(self, task: Task[..., Any]) -> dict[bytes, int]:
        ended = Counter({status: n for (key, status), n in self._counts.items() if key == task.task_key})
        return {status: n for status, n in ended.items() if n}


def notice_of(handles: Handles) -> str:
    """What the notification left behind, found by nothing but the id of its run."""
    path = PrefectFuture[str](str(handles.notice.task_run_id)).result(timeout=NOTICE_SECONDS)
    return Path(path).read_text("utf-8")


def _failed_twice(future: PrefectFuture[Numbers]) -> bool:
    state = future.state
    return state.is_failed() and state.run_count >= 2 and isinstance(state.error(), SyntaxError | ValueError)


def _measured_here(path: str) -> Numbers | type[BaseException]:
    try:
        return measure.fn(path)
    except Exception as error:
        return type(error)


def _measured_there(future: PrefectFuture[Numbers]) -> Numbers | type[BaseException]:
    found = future.result(raise_on_failure=False)
    return type(found) if isinstance(found, BaseException) else found
