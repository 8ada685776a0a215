"""Progress without a fleet: outside of runs, in direct calls, inline; and when it is written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, cast

import pytest

from orchestrator import progress, task
from orchestrator.errors import BrokerUnavailable
from orchestrator.futures import wait
from orchestrator.observability.log_shipper import MAX_LINE_CHARS, LogShipper
from orchestrator.observability.progress_notes import ProgressNotes, progress_at
from orchestrator.runs.current import current_attempt
from orchestrator.testing import inline, private_fleet


@task
def count_to(number: int) -> Any:
    for _ in range(number):
        progress.increment(total=number)
    attempt = current_attempt.get()
    assert attempt is not None
    return (attempt.progress.done, attempt.progress.total) if attempt.progress else None


@task(retries=1)
def count_and_fail(counts: list[float]) -> float:
    progress.increment(2)
    attempt = current_attempt.get()
    assert attempt is not None
    assert attempt.progress is not None
    counts.append(attempt.progress.done)
    if attempt.run_count == 1:
        raise OSError("once more")
    return counts[-1]


def test_outside_of_a_run_nothing_happens() -> None:
    progress.set(1, total=2, note="nobody hears it")
    progress.increment()
    assert current_attempt.get() is None


def test_a_direct_call_counts_for_itself() -> None:
    assert count_to(3) == (3, 3)


def test_an_attempt_begins_at_zero() -> None:
    counts: list[float] = []
    assert count_and_fail(counts) == 2
    assert counts == [2, 2]


def test_inline_runs_are_read_like_others() -> None:
    with inline():
        future = count_to.delay(4)
        seen = progress.of(future.run_id)
        assert seen is not None
        assert (seen.done, seen.total, seen.fraction) == (4, 4, 1.0)
        assert list(progress.of([future.run_id, "unknown"])) == [future.run_id]


def test_a_value_that_is_no_number_is_refused_where_it_is_said() -> None:
    with pytest.raises(TypeError, match="done='half' is not a number"):
        progress.set("half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total=inf is not finite"):
        progress.set(1, total=math.inf)


def test_a_fleet_with_keys_encrypts_it() -> None:
    with private_fleet(encryption_key="k" * 32, secret_key="a key") as fleet:
        future = say_something_private.delay()
        future.result(timeout=40)
        seen = progress.of(future.run_id)
        assert seen is not None
        assert seen.note == "patient Idamarie"
        (stored,) = fleet.broker.logs.read_progress([future.run_id])
        assert stored is not None
        assert b"Idamarie" not in stored[1]
        ticket, _ = stored
        assert fleet.logs.progress_of([future.run_id])
        (raw,) = fleet.broker.wires.commands([("HGET", fleet.broker.keys.record(future.run_id), "h")])
        assert raw.startswith(ticket.encode())
        assert b"Idamarie" not in raw


@task
def say_something_private() -> None:
    progress.set(1, note="patient Idamarie")


class Recorder:
    """Takes what would be written."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.away = False

    def note_progress(self, notes: Sequence[tuple[str, str, bytes]]) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.written.append([run_id for run_id, _, _ in notes])


def test_only_the_ends_of_runs_are_written_more_often_than_twice_a_second() -> None:
    recorder = Recorder()
    notes = ProgressNotes(cast(Any, recorder))
    for done in range(100):
        notes.note("a", "t", progress_at(done, None, None, 0))
        notes.note("b", "t", progress_at(done, None, None, 0))
        notes.write(ending=())
    assert recorder.written == [["a", "b"]]
    notes.write(ending=["b"])
    assert recorder.written == [["a", "b"], ["b"]]
    assert bool(notes), "the value of the other one waits for its time"
    notes.write(ending=None)
    assert recorder.written[-1] == ["a"]


def test_values_are_kept_while_the_server_is_away_and_newer_ones_win() -> None:
    recorder = Recorder()
    notes = ProgressNotes(cast(Any, recorder))
    recorder.away = True
    notes.note("a", "t", progress_at(1, None, None, 0))
    with pytest.raises(BrokerUnavailable):
        notes.write(None)
    recorder.away = False
    assert notes
    notes.write(None)
    assert recorder.written == [["a"]]
    assert not notes


@task
def says(done: float, note: Any = None, more: float = 0) -> None:
    progress.set(done, note=note)
    progress.increment(more)


ODD: list[tuple[float, Any, tuple[float, str]]] = [
    (1, os.fsdecode(b"caf\xe9.txt"), (1, "caf\\udce9.txt")),
    (2**70, "large", (float(2**70), "large")),
    (-(2**64), 5, (-float(2**64), "5")),
]


def test_odd_texts_and_large_numbers_are_made_fit_and_arrive() -> None:
    with private_fleet():
        futures = [says.submit(done, note) for done, note, _ in ODD]
        wait(futures, timeout=40)
        seen = [progress.of(future.run_id) for future in futures]
    assert [one and (one.done, one.note) for one in seen] == [told for *_, told in ODD]


def test_a_sum_beyond_all_numbers_is_refused_where_it_is_said() -> None:
    with pytest.raises(ValueError, match="done=inf is not finite"):
        says(1e308, more=1e308)


class FailsOnce:
    """A store whose client fails over a value, as no server would."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def _fail_once(self, given: Any) -> None:
        self.calls.append(given)
        if len(self.calls) == 1:
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")

    def note_progress(self, notes: Sequence[Any]) -> None:
        self._fail_once(notes)

    def append(self, lines: Any, keep: int) -> None:
        self._fail_once(lines)


def test_a_value_that_cannot_be_written_is_not_tried_for_ever() -> None:
    store = FailsOnce()
    notes = ProgressNotes(cast(Any, store))
    notes.note("bad", "t", progress_at(1, None, None, 0))
    notes.write(None)
    assert not notes
    notes.note("good", "t", progress_at(1, None, None, 0))
    notes.write(None)
    assert [given[0][0] for given in store.calls] == ["bad", "good"]


def test_lines_that_cannot_be_written_hold_up_no_others() -> None:
    store = FailsOnce()
    shipper = LogShipper(cast(Any, store), keep=10)
    for run_id in ("bad", "good"):
        shipper.add(run_id, "INFO", "x" * (MAX_LINE_CHARS + 5), 1.0)
        shipper.add(cast(Any, 5), "INFO", "a line of no run", 1.0)
        shipper.flush()
    assert [list(lines) for lines in store.calls] == [["bad"], ["good"]]
    assert b"(5 more characters were cut)" in store.calls[1]["good"][0]
