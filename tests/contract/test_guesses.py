"""Guesses of passwords: counted before their answers are known, and slowed down wherever they are made."""

from __future__ import annotations

import threading

from brokers.base import Broker
from brokers.facets.guesses import Pace
from brokers.redis.broker import RedisBroker

HOUR_MS = 3_600_000
PACE = Pace(2, 60_000, 200_000)


def test_after_the_free_ones_a_guess_waits_and_is_not_counted(any_broker: Broker) -> None:
    guesses = any_broker.guesses
    assert [guesses.begin({"a": PACE}, HOUR_MS) for _ in range(2)] == [0, 0]
    waits = [guesses.begin({"a": PACE}, HOUR_MS) for _ in range(3)]
    assert all(30_000 < wait <= 60_000 for wait in waits), waits
    assert guesses.begin({"b": PACE}, HOUR_MS) == 0


def test_one_that_must_wait_holds_up_all_that_is_guessed_with_it(any_broker: Broker) -> None:
    guesses = any_broker.guesses
    for _ in range(2):
        guesses.begin({"address": PACE}, HOUR_MS)
    for _ in range(5):
        assert guesses.begin({"address": PACE, "name": PACE}, HOUR_MS) > 0
    assert guesses.begin({"name": PACE}, HOUR_MS) == 0, "what was not tried is not counted"


def test_whoever_knew_the_answer_begins_anew(any_broker: Broker) -> None:
    guesses = any_broker.guesses
    for _ in range(2):
        guesses.begin({"a": PACE}, HOUR_MS)
    guesses.forget(["a", "unheard of"])
    guesses.forget([])
    assert guesses.begin({"a": PACE}, HOUR_MS) == 0


def test_whoever_knew_one_answer_has_not_known_the_others(any_broker: Broker) -> None:
    guesses, free = any_broker.guesses, Pace(1000, 0, 0)
    for name in ("x", "y", "y"):
        assert guesses.begin({"a": PACE._replace(free=3), f"{name} at a": free}, HOUR_MS) == 0
    assert guesses.begin({"a": PACE._replace(free=3)}, HOUR_MS) > 0
    guesses.forget([], {"x at a": "a", "never heard of": "a"})
    assert guesses.begin({"a": PACE}, HOUR_MS) > 0, "two are left"
    assert guesses.begin({"a": PACE._replace(free=3)}, HOUR_MS) == 0
    guesses.forget([], {"y at a": "a"})
    guesses.forget([], {"y at a": "a"})
    assert guesses.begin({"a": PACE}, HOUR_MS) == 0, "one is left"
    assert guesses.begin({"a": PACE}, HOUR_MS) > 0


def test_many_at_once_are_no_more_than_the_free_ones(any_broker: Broker) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(any_broker.guesses.begin({"a": PACE}, HOUR_MS))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found)[:3] == [0, 0, sorted(found)[2]]
    assert sum(1 for wait in found if wait == 0) == 2


def test_what_is_damaged_counts_anew_and_nothing_stays(broker: RedisBroker) -> None:
    key = broker.keys.guesses("a")
    broker.wires.commands([("SET", key, b"nonsense")])
    assert broker.guesses.begin({"a": PACE}, HOUR_MS) == 0
    broker.wires.commands([("HSET", key, "n", "99", "at", "x")])
    assert broker.guesses.begin({"a": PACE}, HOUR_MS) >= 0
    (ttl,) = broker.wires.commands([("PTTL", key)])
    assert 0 < ttl <= HOUR_MS
