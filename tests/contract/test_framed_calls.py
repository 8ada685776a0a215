"""The calls of a map around one frame: sent as their envelopes would be, without an envelope for each."""

from __future__ import annotations

import pytest

from brokers.framed_calls import FramedCalls
from brokers.redis.blocks import in_blocks
from brokers.redis.broker import RedisBroker
from brokers.redis.runs import portions
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from tests.support.carriage import Calls


@pytest.mark.parametrize("count", [1, 3, 4, 127, 128, 129, 131, 132, 300])
def test_calls_around_a_frame_are_written_as_their_envelopes_are(calls: Calls, count: int) -> None:
    run_ids, bodies = new_map_run_ids(count), [b"%d" % number for number in range(count)]
    framed = FramedCalls(calls.envelope(reply_to="inbox"), run_ids, bodies)
    assert in_blocks(framed) == in_blocks(list(framed))
    assert [[*some] for some in portions(framed)] == [[*some] for some in portions(list(framed))]


def test_calls_around_a_frame_that_are_no_block_are_written_one_by_one(calls: Calls) -> None:
    run_ids = new_map_run_ids(130)
    small, large = [b"body"] * 130, [b"body"] * 60 + [b"x" * 5000] + [b"body"] * 69
    for ids, bodies in (
        (run_ids, large),  # too large for a block
        (run_ids[1:] + run_ids[:1], small),
        ([*run_ids[:5], *run_ids[6:], run_ids[5]], small),
        (run_ids[::-1], small),
        ([new_run_id() for _ in run_ids], small),
    ):
        framed = FramedCalls(calls.envelope(), ids, bodies)
        assert in_blocks(framed) == in_blocks(list(framed))
        assert [one for some in portions(framed) for one in some] == list(framed)


def test_large_calls_around_a_frame_are_divided(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(1000)
    framed = FramedCalls(calls.envelope(), run_ids, [b"x" * 3000] * 1000)
    assert len(list(portions(framed))) > 1
    assert broker.runs.submit(framed) == run_ids
    assert calls.command("KEYS", broker.keys.prefix + "b:*") == []


def test_a_map_around_a_frame_is_sent_and_sent_again(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(5000)  # more than one script takes
    framed = FramedCalls(calls.envelope(), run_ids, [b"body"] * 5000)
    assert broker.runs.submit(framed) == run_ids
    assert broker.runs.submit(framed[:200]) == run_ids[:200]
    assert broker.figures.submitted() == {("app.task", "q"): 5000}
    assert [one.run_id for one in calls.take(256)] == run_ids[:256]


def test_calls_around_a_frame_behave_as_a_sequence(calls: Calls) -> None:
    framed = FramedCalls(calls.envelope(), ["a", "b", "c"], [b"1", b"2", b"3"])
    assert [one.run_id for one in framed[1:]] == ["b", "c"]
    assert (framed[-1].body, framed[0].run_id, len(framed), "x" in framed) == (b"3", "a", 3, False)
    with pytest.raises(IndexError):
        framed[3]


def test_records_and_blocks_are_queued_in_the_order_in_which_they_are_sent(calls: Calls, broker: RedisBroker) -> None:
    first, second = new_map_run_ids(8), new_map_run_ids(5)
    alone = [new_run_id() for _ in range(3)]
    behind = calls.envelope(after=(first[0], second[4]))
    sent = [alone[0], *first, alone[1], *second, alone[2]]
    broker.runs.submit([*(calls.envelope(run_id) for run_id in sent), behind])
    assert [one.run_id for one in calls.take()] == sent
    assert calls.command("EXISTS", *(broker.keys.prefix + "b:" + ids[0][:32] for ids in (first, second))) == 2


def test_which_call_a_known_key_belongs_to_is_the_same_among_blocks(calls: Calls, broker: RedisBroker) -> None:
    keyed = calls.submit(i=["key", 60_000])
    first, second = new_map_run_ids(6), new_map_run_ids(4)
    again = calls.envelope(i=["key", 60_000])
    sent = [*map(calls.envelope, first), again, *map(calls.envelope, second), calls.envelope()]
    got = broker.runs.submit(sent)
    assert got == [*first, keyed, *second, sent[-1].run_id]
