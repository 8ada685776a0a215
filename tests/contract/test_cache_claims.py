"""Who computes a cache key: one run at a time, however many find out at once that the one before has died."""

from __future__ import annotations

from brokers.redis.broker import RedisBroker


def test_the_first_holds_the_claim_and_the_others_are_told_who(broker: RedisBroker) -> None:
    assert broker.cache.lock("key", "a", 60) == "a"
    assert broker.cache.lock("key", "b", 60) == "a"
    assert broker.cache.lock("key", "a", 60) == "a"


def test_of_two_that_find_a_dead_holder_one_takes_over(broker: RedisBroker) -> None:
    broker.cache.lock("key", "dead", 60)
    for run_id in ("b", "c"):  # both have been told "dead" before either of them acts
        broker.cache.unlock("key", "dead")
        assert broker.cache.lock("key", run_id, 60) == "b"


def test_one_that_lost_its_claim_does_not_give_up_the_next_ones(broker: RedisBroker) -> None:
    broker.cache.lock("key", "late", 60)
    broker.cache.unlock("key", "late")
    broker.cache.lock("key", "next", 60)
    broker.cache.unlock("key", "late")
    assert broker.cache.lock("key", "third", 60) == "next"
