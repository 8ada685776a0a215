"""The shared memory in which a child counts: what is written is read, and it has bounds."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from orchestrator.execution.verdicts import Retry, WaitForRun
from orchestrator.observability.metrics.cells import (
    DURATION,
    OTHER,
    SECONDS,
    SERIES,
    STARTED,
    SUCCEEDED,
    WAIT,
    CellReader,
    CellWriter,
    Figures,
    open_cells,
)
from orchestrator.observability.metrics.recording import PRIVATE, CallRecorder
from orchestrator.states import Cancelled, Completed, Failed
from tests.house.test_cost_of_a_call import function_calls


def attempt(task: str = "shop.sell", ticket: str = "mail:ds 1700000000000-0", isasync: bool = False) -> Any:
    return SimpleNamespace(
        task=SimpleNamespace(task_key=task, isasync=isasync), ticket=ticket, deliveries=1, counted_at=0
    )


def read(fd: int) -> Figures:
    figures: Figures = {}
    reader = CellReader(fd)
    reader.add_to(figures)
    reader.close()
    return figures


def test_what_is_counted_is_read_from_the_other_side() -> None:
    fd = open_cells()
    recorder = CallRecorder(fd)
    for verdict in (Completed(data=1), Failed(message="x"), Cancelled(), Retry(1.0, Failed(message="x"))):
        call = attempt()
        recorder.started(call, None, 0.0)
        recorder.ended(call, verdict, 0.02)
    call = attempt()
    recorder.started(call, None, 0.0)
    recorder.ended(call, WaitForRun("another"), 0.0)
    counted = read(fd)[("shop.sell", "mail")]
    os.close(fd)
    assert counted.numbers[:6] == [5.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    total, buckets = counted.histogram(DURATION)
    assert (round(total, 9), sum(buckets), buckets[SECONDS.index(0.025)]) == (0.08, 4.0, 4.0)
    assert counted.histogram(WAIT)[1][-1] == 5.0, "it was queued in 2023, longer ago than any bound"


def test_tasks_beyond_the_last_block_are_counted_together() -> None:
    fd = open_cells()
    writer = CellWriter(fd)
    for number in range(SERIES + 100):
        writer.cells[writer.block(f"shop.task_{number}", "mail") + STARTED] += 1.0
    figures = read(fd)
    os.close(fd)
    assert len(figures) == SERIES
    assert sum(counted.counter(STARTED) for counted in figures.values()) == SERIES + 100
    assert figures[OTHER].counter(STARTED) == 101


def test_names_that_do_not_fit_are_cut_and_harm_no_neighbour() -> None:
    fd = open_cells()
    writer = CellWriter(fd)
    long = writer.block("é" * 400, "mail")
    writer.cells[writer.block("shop.next", "mail") + SUCCEEDED] += 1.0
    writer.cells[long + SUCCEEDED] += 2.0
    figures = read(fd)
    os.close(fd)
    assert figures[("shop.next", "mail")].counter(SUCCEEDED) == 1.0
    assert sorted(counted.counter(SUCCEEDED) for counted in figures.values()) == [1.0, 2.0]
    assert [queue for _, queue in figures] == ["mail", "mail"]


def test_queues_of_processes_are_one_series() -> None:
    fd = open_cells()
    recorder = CallRecorder(fd)
    for process in ("a", "b"):
        recorder.started(attempt(ticket=f"~{process}:ds 1700000000000-0"), None, 0.0)
    figures = read(fd)
    os.close(fd)
    assert [(name, counted.counter(STARTED)) for name, counted in figures.items()] == [(("shop.sell", PRIVATE), 2.0)]


def test_counting_one_call_takes_few_function_calls() -> None:
    """A guard on cost that does not depend on the machine: about a microsecond when it was written."""
    fd = open_cells()
    recorder, call, verdict = CallRecorder(fd), attempt(), Completed(data=1)

    def count() -> None:
        recorder.started(call, None, 0.0)
        recorder.ended(call, verdict, 0.02)

    count()
    assert function_calls(count) <= 16
    os.close(fd)
