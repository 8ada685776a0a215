from __future__ import annotations

import pickle
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.spans import LONGEST_SECONDS
from orchestrator.runnables.retries import RetryPolicy, exponential_backoff


@pytest.mark.parametrize(
    ("retries", "option", "waits"),
    [
        (0, None, []),
        (2, None, [0, 0]),
        (2, 5, [5, 5]),
        (2, timedelta(minutes=1), [60, 60]),
        (3, [1, 2], [1, 2, 2]),
        (1, [1, 2, 3], [1]),
        (2, [], [0, 0]),
        (4, exponential_backoff(10), [10, 20, 40, 80]),
        (2, lambda retries: [retries] * retries, [2, 2]),
    ],
)
def test_attempt_n_waits_its_delay_and_the_last_one_is_repeated(retries: int, option: Any, waits: list[float]) -> None:
    policy = RetryPolicy.from_options(retries, option)
    assert [policy.delay_before(n) for n in range(retries)] == waits
    assert [policy.allows(n) for n in range(retries + 2)] == [True] * retries + [False, False]


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"retries": -1}, ValueError, "retries"),
        ({"retries": 1.5}, TypeError, "retries"),
        ({"retries": True}, TypeError, "retries"),
        ({"retry_delay_seconds": "5"}, TypeError, "retry_delay_seconds"),
        ({"retry_delay_seconds": [1, "2"]}, TypeError, "retry_delay_seconds"),
        ({"retry_delay_seconds": -1}, ValueError, "retry_delay_seconds"),
        ({"retry_delay_seconds": [1, float("nan")]}, ValueError, "retry_delay_seconds"),
        ({"retry_delay_seconds": [float("inf")]}, ValueError, "retry_delay_seconds"),
        ({"retry_delay_seconds": [1] * 51}, ValueError, "retry_delay_seconds"),
        ({"retry_delay_seconds": lambda retries: 5}, TypeError, "retry_delay_seconds"),
        ({"retry_jitter_factor": -0.1}, ValueError, "retry_jitter_factor"),
        ({"retry_jitter_factor": "much"}, TypeError, "retry_jitter_factor"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        RetryPolicy.from_options(**options)


@given(
    delay=st.floats(0, 1e6),
    jitter=st.floats(0, 10),
    seed=st.integers(0, 2**32),
)
def test_jitter_stays_within_its_bounds(delay: float, jitter: float, seed: int) -> None:
    waited = RetryPolicy(1, (delay,), jitter).delay_before(0, Random(seed))
    assert 0 <= waited <= delay * (1 + jitter) * 1.000001


@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0, 3.0])
def test_jitter_spreads_without_changing_the_average_much(jitter: float) -> None:
    random, policy = Random(7), RetryPolicy(1, (100,), jitter)
    waits = [policy.delay_before(0, random) for _ in range(5000)]
    assert sum(waits) / len(waits) == pytest.approx(100, rel=0.06)
    assert max(waits) > 100 * (1 + 0.9 * jitter)
    assert len(set(waits)) > 4900


def test_backoff_never_makes_more_than_fifty_delays() -> None:
    assert len(exponential_backoff(1)(1000)) == 50
    assert RetryPolicy.from_options(50, exponential_backoff(60)).delay_before(49) == LONGEST_SECONDS


@pytest.mark.parametrize(("factor", "error"), [(-1, ValueError), ("2", TypeError), (float("inf"), ValueError)])
def test_a_bad_backoff_factor_is_refused(factor: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="backoff_factor"):
        exponential_backoff(factor)


def test_policies_and_backoffs_can_be_pickled() -> None:
    policy = RetryPolicy.from_options(2, exponential_backoff(1), 0.5)
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert pickle.loads(pickle.dumps(exponential_backoff(2)))(2) == [2, 4]
