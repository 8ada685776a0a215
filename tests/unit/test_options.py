"""Options are checked when a task is decorated, and the message names the option."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator import flow, tags, task
from orchestrator.cache_policies import INPUTS, NO_CACHE
from orchestrator.filesystems import LocalFileSystem
from orchestrator.runnables.options import TaskOptions, limit_of, rate_of
from orchestrator.testing import inline


def work(x: int = 0) -> int:
    """Does it."""
    return x


def hook(*args: Any) -> None: ...


GOOD: list[dict[str, Any]] = [
    {},
    {"retries": 0},
    {"retries": 3, "retry_delay_seconds": [1, 2.5, timedelta(seconds=3)]},
    {"retries": 3, "retry_delay_seconds": lambda retries: [retries]},
    {"timeout_seconds": 0.5, "hard_timeout_seconds": 2},
    {"queue": "a.b-c_9", "priority": "high"},
    {"rate_limit": "100/m"},
    {"rate_limit": 0.5},
    {"concurrency": 3},
    {"concurrency": ("database", 5)},
    {"result_ttl": timedelta(days=1)},
    {"tags": ["a", "b"], "on_failure": [hook], "on_completion": (hook,), "on_running": None},
    {"cache_policy": INPUTS, "cache_expiration": timedelta(days=1), "cache_isolation": "serializable"},
    {"task_run_name": "for {x}"},
    {"task_run_name": lambda: "name"},
    {"result_storage": None, "cache_result_in_memory": True, "viz_return_value": 3},
    {"log_prints": False},
]


@pytest.mark.parametrize("options", GOOD, ids=lambda options: ",".join(options) or "none")
def test_options_that_are_right(options: dict[str, Any]) -> None:
    made = task(**options)(work)
    with inline():  # the cache of a cached one is in memory
        assert made(3) == 3
    assert made.with_options(name="x").name == "x"


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"colour": "red"}, TypeError, "colour"),
    ({"retries": -1}, ValueError, "retries"),
    ({"retries": "3"}, TypeError, "retries"),
    ({"retries": True}, TypeError, "retries"),
    ({"retry_delay_seconds": -1}, ValueError, "retry_delay_seconds"),
    ({"retry_delay_seconds": "1"}, TypeError, "retry_delay_seconds"),
    ({"retry_delay_seconds": [1] * 51}, ValueError, "50"),
    ({"retries": 1, "retry_jitter_factor": -0.1}, ValueError, "retry_jitter_factor"),
    ({"retry_condition_fn": 3}, TypeError, "retry_condition_fn"),
    ({"timeout_seconds": -1}, ValueError, "timeout_seconds"),
    ({"timeout_seconds": "1"}, TypeError, "timeout_seconds"),
    ({"timeout_seconds": float("nan")}, ValueError, "timeout_seconds"),
    ({"timeout_seconds": 1e300}, ValueError, "timeout_seconds=1e\\+300 must be 100 years at most"),
    ({"hard_timeout_seconds": -1}, ValueError, "hard_timeout_seconds"),
    ({"hard_timeout_seconds": 1e300}, ValueError, "100 years"),
    ({"queue": ""}, ValueError, "queue"),
    ({"queue": "a b"}, ValueError, "queue"),
    ({"queue": "x" * 41}, ValueError, "queue"),
    ({"queue": "~mine"}, ValueError, "queue"),
    ({"priority": "urgent"}, ValueError, "priority"),
    ({"max_deliveries": 0}, ValueError, "max_deliveries"),
    ({"max_deliveries": 1.5}, ValueError, "max_deliveries"),
    ({"rate_limit": "fast"}, ValueError, "rate_limit"),
    ({"rate_limit": "0/s"}, ValueError, "rate_limit"),
    ({"rate_limit": -1}, ValueError, "rate_limit"),
    ({"rate_limit": 1e-300}, ValueError, "less than one call"),
    ({"concurrency": 0}, ValueError, "concurrency"),
    ({"concurrency": ("a",)}, ValueError, "concurrency"),
    ({"concurrency": ("a|b", 2)}, ValueError, "concurrency"),
    ({"result_ttl": 0}, ValueError, "result_ttl"),
    ({"result_ttl": 1e300}, ValueError, "result_ttl=1e\\+300 must be 100 years at most"),
    ({"tags": [5]}, TypeError, "tags=.5. must be a list of texts"),
    ({"on_failure": hook}, TypeError, "on_failure"),
    ({"on_running": ["hook"]}, TypeError, "on_running"),
    ({"cache_policy": "INPUTS"}, TypeError, "cache_policy"),
    ({"cache_key_fn": 3}, TypeError, "cache_key_fn"),
    ({"cache_expiration": 60}, TypeError, "cache_expiration"),
    ({"cache_isolation": "total"}, ValueError, "isolation"),
    ({"task_run_name": 3}, TypeError, "task_run_name"),
    ({"result_storage": 3}, TypeError, "result_storage=3"),
    ({"result_storage": " "}, TypeError, "result_storage=' '"),
    ({"result_storage": LocalFileSystem}, TypeError, "a file system such as"),
    ({"result_storage_key": 3}, TypeError, "result_storage_key=3"),
    ({"result_storage_key": " "}, ValueError, "result_storage_key is empty"),
    ({"result_serializer": "yaml"}, ValueError, "there is no such format, only json, msgpack, pickle"),
    ({"result_serializer": 3}, TypeError, "result_serializer=3"),
    ({"cache_result_in_memory": "no"}, TypeError, "cache_result_in_memory='no'"),
    ({"persist_result": "yes"}, TypeError, "persist_result='yes'"),
]


@pytest.mark.parametrize(("options", "kind", "told"), BAD, ids=[f"{told}-{n}" for n, (_, _, told) in enumerate(BAD)])
def test_options_that_are_wrong(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        task(**options)(work)
    if "cache_isolation" not in options:
        with pytest.raises(kind, match=told):
            task(work).with_options(**options)


@pytest.mark.parametrize("thing", [3, "work", None, object()])
def test_what_is_no_function(thing: Any) -> None:
    with pytest.raises(TypeError):
        task()(thing)


def test_a_task_of_a_task() -> None:
    with pytest.raises(TypeError, match="with_options"):
        task(task(work))


def test_names_and_descriptions_come_from_the_function() -> None:
    made = task(work)
    assert (made.name, made.description, made.fn) == ("work", "Does it.", work)
    assert made.task_key.endswith("test_options.work")
    named = task(name="n", description="d", tags={"t"})(work)
    assert (named.name, named.description, named.tags) == ("n", "d", frozenset({"t"}))


def test_a_key_function_wins_over_a_policy_and_no_cache_means_none() -> None:
    assert TaskOptions(cache_policy=NO_CACHE).caching is None
    assert TaskOptions(cache_policy=INPUTS).caching is INPUTS
    both = TaskOptions(cache_policy=INPUTS, cache_key_fn=lambda context, parameters: "key").caching
    assert both is not None
    assert both.compute_key(None, {}, {}) == "key"


@pytest.mark.parametrize(
    ("rate", "milliseconds"), [("10/s", 100), ("60/m", 1000), ("1/h", 3_600_000), (4, 250), (None, None)]
)
def test_rates(rate: Any, milliseconds: Any) -> None:
    assert rate_of(rate) == milliseconds


def test_limits() -> None:
    assert limit_of(None, "t") is None
    assert limit_of(2, "t") == ("t", 2)
    assert limit_of(["db", 2], "t") == ("db", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"result_storage": 3}, "result_storage=3"),
        ({"result_storage_key": ""}, "result_storage_key is empty"),
        ({"timeout_seconds": 1e300}, "100 years at most"),
    ],
)
def test_a_flow_has_the_same_options_of_results_and_times(options: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        flow(**options)(work)
    made = flow(result_storage="s3-bucket/results", result_serializer="compressed/json")(work)
    assert (made.result_storage, made.result_serializer) == ("s3-bucket/results", "compressed/json")


def test_tags_around_calls_are_texts_too() -> None:
    with pytest.raises(TypeError, match="must be texts"), tags("a", 5):  # type: ignore[arg-type]
        pass
