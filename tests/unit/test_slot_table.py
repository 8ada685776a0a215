"""The table of running calls that a child writes and its supervisor reads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.runs.run_ids import new_run_id
from task_workers.supervisor.slot_table import SlotTable, TableReader, open_table


@pytest.fixture
def fd() -> Iterator[int]:
    made = open_table(4)
    yield made
    os.close(made)


def test_a_running_call_can_be_read_until_it_is_cleared(fd: int) -> None:
    table, reader = SlotTable(fd), TableReader(fd)
    run_id, place = new_run_id(), table.take_place()
    assert reader.rows() == []
    before = time.monotonic()
    table.note(place, run_id)
    (row,) = reader.rows()
    assert row.run_id == run_id
    assert before <= row.started <= time.monotonic()
    assert (row.deadline, row.retry_seconds, row.thread) == (0.0, None, threading.get_ident())
    assert reader.runs(run_id)
    table.clear(place)
    assert reader.rows() == []


def test_a_deadline_belongs_to_one_call(fd: int) -> None:
    table, reader = SlotTable(fd), TableReader(fd)
    place = table.take_place()
    table.note(place, new_run_id())
    before = time.monotonic()
    table.note_deadline(place, 5.0, 0.25)
    (row,) = reader.rows()
    assert before + 5.0 <= row.deadline <= time.monotonic() + 5.0
    assert row.retry_seconds == 0.25
    table.note_deadline(place, 5.0, None)
    assert reader.rows()[0].retry_seconds is None
    table.note_deadline(place, 5.0, 0.0)  # a retry at once is not none
    assert reader.rows()[0].retry_seconds == 0.0
    table.clear(place)
    table.note(place, new_run_id())
    assert (reader.rows()[0].deadline, reader.rows()[0].retry_seconds) == (0.0, None)


def test_places_are_given_back_and_a_full_table_hinders_nobody(fd: int) -> None:
    table, reader = SlotTable(fd), TableReader(fd)
    places = [table.take_place() for _ in range(5)]
    assert sorted(places) == [-1, 0, 1, 2, 3]
    for place in places:
        table.note(place, new_run_id())
        table.note_deadline(place, 1.0, None)
    assert len(reader.rows()) == 4
    for place in places:
        table.clear(place)
        table.free_place(place)
    assert reader.rows() == []
    assert sorted(table.take_place() for _ in range(4)) == [0, 1, 2, 3]


def test_the_pulse_tells_when_the_child_was_awake_and_when_the_server_answered(fd: int) -> None:
    reader, before = TableReader(fd), time.monotonic()
    table = SlotTable(fd)
    table.note(table.take_place(), new_run_id())
    assert all(before <= moment <= time.monotonic() for moment in reader.pulse())
    later = time.monotonic()
    table.pulse(answered=before)
    assert reader.pulse().answered == before
    assert later <= reader.pulse().awake <= time.monotonic()
    assert len(reader.rows()) == 1  # the pulse is in nobody's way


def test_ended_calls_are_counted_also_those_without_a_place(fd: int) -> None:
    counted: list[int] = []
    table = SlotTable(fd, counted.append)
    for place in (table.take_place(), -1):
        table.note(place, new_run_id())
        table.clear(place)
    assert counted == [1, 2]


def test_the_table_outlives_its_writer(fd: int) -> None:
    reader, run_id = TableReader(fd), new_run_id()
    child = os.fork()
    if not child:
        table = SlotTable(fd)
        table.note(table.take_place(), run_id)
        os._exit(0)
    os.waitpid(child, 0)
    assert [row.run_id for row in reader.rows()] == [run_id]
    reader.close()
    assert reader.rows() == []
