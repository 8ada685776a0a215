"""Ids of calls that a thread sends one after another: side by side, as long as nothing comes between them."""

from __future__ import annotations

import threading

from brokers.block_ids import MOST_IN_BLOCK, member_ids
from orchestrator.client.open_block import OpenBlock

FRAME, OTHER = object(), object()


def block_of(run_ids: list[str]) -> str:
    assert run_ids == member_ids(run_ids[0][:32], len(run_ids))
    return run_ids[0][:32]


def test_the_first_call_has_a_record_and_those_that_follow_are_a_block() -> None:
    opened = OpenBlock(lambda: 0)
    first, *others = [opened.next_id(FRAME) for _ in range(20)]
    assert first[14] == "7"
    assert others[0][14] == "8"
    block_of(others)


def test_a_block_ends_with_the_trip_that_takes_it() -> None:
    trips = [0]
    opened = OpenBlock(lambda: trips[0])
    opened.next_id(FRAME)
    before = [opened.next_id(FRAME) for _ in range(5)]
    trips[0] += 1
    after = [opened.next_id(FRAME) for _ in range(5)]
    assert block_of(before) != block_of(after)


def test_a_full_block_is_followed_by_another() -> None:
    opened = OpenBlock(lambda: 0)
    opened.next_id(FRAME)
    ids = [opened.next_id(FRAME) for _ in range(MOST_IN_BLOCK + 3)]
    assert block_of(ids[:MOST_IN_BLOCK]) != block_of(ids[MOST_IN_BLOCK:])


def test_calls_of_two_frames_in_turn_have_records() -> None:
    opened = OpenBlock(lambda: 0)
    assert {opened.next_id(frame)[14] for _ in range(5) for frame in (FRAME, OTHER)} == {"7"}


def test_nothing_comes_into_a_block_that_was_closed() -> None:
    opened = OpenBlock(lambda: 0)
    opened.next_id(FRAME)
    before = opened.next_id(FRAME)
    opened.close()
    assert opened.next_id(FRAME)[14] == "7"
    assert opened.next_id(FRAME)[:32] != before[:32]


def test_each_thread_has_its_own() -> None:
    opened = OpenBlock(lambda: 0)
    found: list[list[str]] = []

    def take() -> None:
        opened.next_id(FRAME)
        found.append([opened.next_id(FRAME) for _ in range(50)])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({block_of(ids) for ids in found}) == 8
