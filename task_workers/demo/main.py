"""The order of the demo: a private fleet, a worker, the flow, the checks, and everything gone again."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from orchestrator import PrefectFuture
from orchestrator.client.fleet import Fleet
from orchestrator.testing.throwaway import throwaway_fleet
from task_workers.demo import stdlib_metrics
from task_workers.demo.checking import Check, Findings, notice_of
from task_workers.demo.library import OURS, library_files, make_broken_file
from task_workers.demo.report import Report
from task_workers.demo.stdlib_metrics import Numbers, measure_library
from task_workers.demo.worker_process import WorkerProcess


def demo(kill_worker: bool, processes: int, limit: int | None) -> int:
    """The demo; returns its exit status. Nothing of it is left afterwards, also when it is interrupted."""
    report = Report()
    try:
        with (
            _ended_by_signals_like_ctrl_c(),
            tempfile.TemporaryDirectory(prefix="orchestrator-demo-") as folder,
            throwaway_fleet(task_runner="fleet", local_workers="never") as fleet,
            WorkerProcess(fleet, stdlib_metrics.__name__, processes, Path(folder) / "worker.log") as worker,
        ):
            return 0 if _run(report, fleet, worker, Path(folder), kill_worker, limit) else 1
    except KeyboardInterrupt:
        report.say("interrupted; the worker and the server have been stopped")
        return 130


def _run(
    report: Report, fleet: Fleet, worker: WorkerProcess, folder: Path, kill_worker: bool, limit: int | None
) -> bool:
    packages = library_files(limit) | {OURS: [make_broken_file(folder)]}
    report.beginning(packages, worker.children())

    def when_submitted(futures: list[PrefectFuture[Numbers]]) -> None:
        if kill_worker:
            worker.kill_one_half_way(futures)

    began = time.perf_counter()
    handles = measure_library(packages, str(folder), when_submitted)
    notice = notice_of(handles)
    seconds = time.perf_counter() - began

    killed = worker.killed
    found = Findings(fleet, handles)
    report.table(handles.ranking.result())
    report.failures(found)
    report.say(f"a notification was sent with .delay, and found by its id: {notice!r}")
    checks = list(found.checks())
    if kill_worker:
        report.murder(killed, found)
        checks.append(Check("a worker process was killed half-way", killed is not None))
    good = report.checks(checks)
    report.ending(found, seconds)
    return good


@contextmanager
def _ended_by_signals_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the blocks that we are in, as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
