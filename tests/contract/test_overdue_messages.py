"""Calls that wait for a message which should have come long ago, where another broker carries them.

The store is real; the messages are kept here, so that they are lost.
"""

from __future__ import annotations

import pytest

from brokers.messages import AckKind
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from tests.support.carriage import assert_nothing_left
from tests.support.post import Post


@pytest.fixture
def post(wires: Wires, namespace: str) -> Post:
    return Post(RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True))


def awaited(post: Post, queue: str = "q") -> list[bytes]:
    return list(post.command("ZRANGE", f"{post.broker.keys.prefix}awaited:{queue}", 0, -1))


def test_what_is_awaited_by_an_old_number_is_sent_again_and_then_counts_as_new(post: Post) -> None:
    run_ids, named = post.send_map(60)
    single, other, late = post.envelope(), post.envelope(route="other:ds"), post.envelope()
    post.send([single, other])
    given, _ = post.overdue(0)
    post.send([late])
    post.complete(post.claim(named[:1]))
    assert post.overdue(0)[1] == [], "nobody knows yet how old they are"
    assert post.overdue(given) == (given + 1, ["q", "other"])
    assert post.publish_overdue(given) == 3, "two ranges and a call"
    assert post.publish_overdue(given) == 0, "that was a moment ago"
    assert post.overdue(given)[1] == ["other"]
    post.move_until(lambda: True)
    again = post.relayed()
    assert {one.key for one in again} == {single.run_id, *(one.key for one in named[1:])}
    assert sorted(post.finish(again)) == sorted([*run_ids[25:], single.run_id])
    assert post.finish(named) == [], "a message that was not lost after all"
    assert awaited(post) == [late.run_id.encode()]
    assert post.overdue(post.overdue(0)[0])[1] == ["q", "other"]


def test_no_more_are_sent_again_at_once_than_asked_for_the_oldest_first(post: Post) -> None:
    envelopes = [post.envelope() for _ in range(5)]
    post.send(envelopes)
    given, _ = post.overdue(0)
    assert [post.publish_overdue(given, most=2) for _ in range(4)] == [2, 2, 1, 0]
    post.move_until(lambda: True)
    assert sorted(one.key for one in post.relayed()) == sorted(envelope.run_id for envelope in envelopes)


def test_a_call_that_comes_back_is_awaited_anew(post: Post) -> None:
    post.send([post.envelope()])
    (run_id,) = awaited(post)
    given, _ = post.overdue(0)
    post.publish_overdue(given)
    post.move_until(lambda: True)
    (delivery,) = post.claim(post.relayed())
    assert awaited(post) == []
    post.broker.deliveries.complete("worker", [post.ack(delivery, AckKind.RETRY, delay_ms=1)])
    post.move_until(lambda: awaited(post))
    assert awaited(post) == [run_id]
    assert len(post.finish(post.relayed())) == 1
    assert_nothing_left(post.broker)


def test_who_waits_no_more_is_not_awaited(post: Post) -> None:
    run_ids, _ = post.send_map(30)
    cancelled, purged = post.envelope(), post.envelope()
    post.send([cancelled, purged])
    post.broker.runs.cancel([cancelled.run_id, *run_ids], "nobody wants it")
    assert awaited(post) == [purged.run_id.encode()]
    post.command("DEL", post.broker.keys.record(purged.run_id))  # an operator, or a server that evicts
    assert post.publish_overdue(post.overdue(0)[0]) == 0
    assert awaited(post) == []
