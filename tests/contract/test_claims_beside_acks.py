"""What a trip has claimed is not dropped when something else of it fails: the call would wait to be given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from brokers.errors import BrokerUnavailable
from brokers.messages import NotSettled, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.queue_reader import RedisQueueReader
from brokers.redis.scripts import load
from tests.support.carriage import ROUTES, Calls, assert_nothing_left
from tests.support.cut_connections import Cut


@pytest.fixture
def reader(broker: RedisBroker) -> Iterator[RedisQueueReader]:
    with closing(broker.deliveries.reader("worker", ROUTES, 1.0)) as made:
        made.prepare()
        yield made


def test_calls_come_though_the_ends_that_went_along_could_not_be_stored(
    calls: Calls, broker: RedisBroker, reader: RedisQueueReader, cut: Cut
) -> None:
    first = calls.submit()
    behind, other = calls.submit(after=(first,)), calls.submit()  # such an end needs a second trip
    (delivery,) = reader.take(1)[0]
    cut.at(load("complete").sha, times=2)
    with pytest.raises(NotSettled, match="answer") as caught:
        reader.take(10, [calls.ack(delivery)])
    assert [one.run_id for one in caught.value.deliveries] == [other]
    assert calls.status(behind) == Status.PARKED
    taken, refused = reader.take(10, [calls.ack(one) for one in (delivery, *caught.value.deliveries)])
    assert refused == []
    assert all(calls.end(one) for one in taken)
    assert [one.run_id for one in taken] + calls.run_all() == [behind]
    assert_nothing_left(broker)


def test_calls_come_though_the_server_could_not_be_taught_how_to_store_ends(
    calls: Calls, broker: RedisBroker, reader: RedisQueueReader, cut: Cut
) -> None:
    calls.submit()
    (delivery,) = reader.take(1)[0]
    other = calls.submit()
    calls.command("SCRIPT", "FLUSH")
    calls.command("SCRIPT", "LOAD", load("fetch").text)
    cut.at("EVAL")
    with pytest.raises(NotSettled) as caught:
        reader.take(10, [calls.ack(delivery)])
    assert [one.run_id for one in caught.value.deliveries] == [other]
    acks = [calls.ack(one) for one in (delivery, *caught.value.deliveries)]
    assert reader.take(10, acks) == ([], [])  # over another connection
    assert_nothing_left(broker)


def test_an_error_is_what_it_was_where_no_calls_come(calls: Calls, reader: RedisQueueReader, cut: Cut) -> None:
    first = calls.submit()
    calls.submit(after=(first,))
    (delivery,) = reader.take(1)[0]
    cut.at(load("complete").sha, times=2)
    with pytest.raises(BrokerUnavailable):
        reader.take(10, [calls.ack(delivery)])


@pytest.mark.parametrize("reply_only", [False, True])
def test_a_claim_that_could_not_be_looked_up_is_looked_up_later(
    calls: Calls, broker: RedisBroker, reader: RedisQueueReader, cut: Cut, reply_only: bool
) -> None:
    run_ids = [calls.submit(), calls.submit()]
    cut.at(load("fetch").sha, reply_only=reply_only)
    with pytest.raises(BrokerUnavailable):
        reader.wait(1)
    taken = reader.wait(10)
    assert all(calls.end(one) for one in taken)
    assert [one.run_id for one in taken] + calls.run_all() == run_ids
    assert_nothing_left(broker)


def test_a_range_whose_claim_could_not_be_looked_up_is_looked_up_later(
    calls: Calls, broker: RedisBroker, reader: RedisQueueReader, cut: Cut
) -> None:
    run_ids = calls.submit_map(6)
    cut.at(load("fetch").sha)
    with pytest.raises(BrokerUnavailable):
        reader.wait(10)
    taken = reader.wait(10)
    assert [one.run_id for one in taken] == run_ids
    assert all(calls.end(one) for one in taken)
    assert_nothing_left(broker)


def test_a_range_whose_calls_were_lost_on_the_way_is_given_back_as_it_was(
    calls: Calls, broker: RedisBroker, reader: RedisQueueReader, cut: Cut
) -> None:
    run_ids = calls.submit_map(6)
    cut.at(load("fetch").sha, reply_only=True)
    with pytest.raises(BrokerUnavailable):
        reader.wait(4)
    assert sorted(one.run_id for one in reader.wait(10)) == sorted(run_ids[4:])
    held = broker.deliveries.pending("worker", ROUTES)
    assert sorted(held.values()) == sorted(run_ids)
