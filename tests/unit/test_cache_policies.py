from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import task
from orchestrator.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    CompoundCachePolicy,
    Inputs,
    source_of,
    stable_hash,
    task_input_hash,
)
from orchestrator.errors import CacheKeyError


def first(x: int) -> int:
    return x


def second(x: int) -> int:
    return x + 1


@dataclass
class Context:
    """What the engine hands in."""

    task: Any
    run_id: str = "run"
    flow_run_id: str | None = None
    parent_task_run_id: str | None = None


def context(fn: Callable[..., Any] = first, key: str = "tests.first", **ids: Any) -> Context:
    return Context(SimpleNamespace(fn=fn, task_key=key), **ids)


def key(policy: CachePolicy, ctx: Any = None, inputs: Any = None, flow_parameters: Any = None) -> str | None:
    return policy.compute_key(ctx or context(), inputs if inputs is not None else {"x": 1}, flow_parameters or {})


def test_inputs_are_the_same_when_their_content_is() -> None:
    assert key(INPUTS, inputs={"x": {"a": 1, "b": 2}}) == key(INPUTS, inputs={"x": {"b": 2, "a": 1}})
    assert key(INPUTS, inputs={"x": 1}) != key(INPUTS, inputs={"x": 2})
    assert key(INPUTS, inputs={}) is None


def test_two_tasks_with_equal_inputs_do_not_share_results() -> None:
    assert key(INPUTS, context(key="a")) != key(INPUTS, context(key="b"))


def test_an_argument_can_be_left_out() -> None:
    policy = INPUTS - "debug"
    assert key(policy, inputs={"x": 1, "debug": True}) == key(policy, inputs={"x": 1, "debug": False})
    assert Inputs() == INPUTS, "the policy it was made from is unchanged"
    whole = DEFAULT - "debug"
    assert key(whole, inputs={"x": 1, "debug": True}) == key(whole, inputs={"x": 1, "debug": False})
    assert TASK_SOURCE - "debug" is TASK_SOURCE


def test_the_source_of_the_task_counts() -> None:
    assert key(TASK_SOURCE, context(first)) != key(TASK_SOURCE, context(second))
    assert key(TASK_SOURCE, context(first)) == key(TASK_SOURCE, context(first, key="other"))


def test_a_function_without_a_source_file_counts_by_its_code() -> None:
    made: dict[str, Any] = {}
    exec("def one(): return 1\ndef same(): return 1\ndef other(): return 2", made)
    assert source_of(made["one"]) is not None
    assert source_of(made["one"]) != source_of(made["other"])


def test_flow_parameters_count_when_there_are_any() -> None:
    assert key(FLOW_PARAMETERS) is None
    assert key(FLOW_PARAMETERS, flow_parameters={"a": 1}) != key(FLOW_PARAMETERS, flow_parameters={"a": 2})


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"flow_run_id": "flow", "parent_task_run_id": "parent"}, "flow"),
        ({"parent_task_run_id": "parent"}, "parent"),
        ({}, "run"),
    ],
)
def test_the_run_id_is_the_flows_else_the_parents_else_its_own(ids: dict[str, str], expected: str) -> None:
    assert key(RUN_ID, context(**ids)) == expected


def test_no_cache_never_makes_a_key_and_adds_nothing() -> None:
    assert NONE is NO_CACHE
    assert key(NO_CACHE) is None
    assert (NO_CACHE + INPUTS) is INPUTS
    assert (INPUTS + NO_CACHE) is INPUTS
    assert (DEFAULT + NO_CACHE) is DEFAULT


def test_a_sum_depends_on_every_part_and_not_on_their_order() -> None:
    one, other = INPUTS + RUN_ID, RUN_ID + INPUTS
    assert key(one) == key(other)
    assert key(one, context(run_id="a")) != key(one, context(run_id="b"))
    assert key(one, inputs={"x": 1}) != key(one, inputs={"x": 2})
    assert key(FLOW_PARAMETERS + Inputs(), inputs={}) is None


def test_sums_are_flat_and_hold_inputs_once() -> None:
    policy = (INPUTS - "a") + (INPUTS - "b" + RUN_ID)
    assert isinstance(policy, CompoundCachePolicy)
    assert policy.policies == (Inputs(["a", "b"]), RUN_ID)


def test_a_cache_key_function_gets_context_and_parameters() -> None:
    seen: list[Any] = []
    policy = CachePolicy.from_cache_key_fn(lambda ctx, parameters: seen.append((ctx, parameters)) or "mine")
    ctx = context()
    assert policy.compute_key(ctx, {"x": 1}, {}) == "mine"
    assert seen == [(ctx, {"x": 1})]
    with pytest.raises(TypeError, match="cache_key_fn"):
        CacheKeyFnPolicy("no function")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cache_key_fn"):
        key(CacheKeyFnPolicy(lambda ctx, parameters: 3))  # type: ignore[arg-type,return-value]


def test_a_lock_as_argument_is_an_error_that_names_it() -> None:
    with pytest.raises(CacheKeyError, match=r"'guard'.*INPUTS - \"guard\".*NO_CACHE"):
        key(INPUTS, inputs={"x": 1, "guard": threading.Lock()})
    assert key(INPUTS - "guard", inputs={"x": 1, "guard": threading.Lock()}) is not None


def test_task_input_hash_covers_the_task_its_code_and_its_arguments() -> None:
    base = task_input_hash(context(), {"x": 1})
    assert base == task_input_hash(context(), {"x": 1})
    others = [
        task_input_hash(context(), {"x": 2}),
        task_input_hash(context(second), {"x": 1}),
        task_input_hash(context(key="other"), {"x": 1}),
    ]
    assert base not in others
    assert task_input_hash(context(), {"x": threading.Lock()}) is None


def test_configuring_makes_another_policy() -> None:
    policy = DEFAULT.configure(isolation="serializable", lock="mine")
    assert (policy.isolation, policy.lock, DEFAULT.isolation) == ("serializable", "mine", None)
    assert INPUTS.configure(isolation_level="READ_COMMITTED").isolation == "read_committed"
    assert (INPUTS.configure(isolation="serializable") + RUN_ID).isolation == "serializable"
    assert (INPUTS.configure(isolation="serializable") - "x").isolation == "serializable"
    assert (policy + FLOW_PARAMETERS).isolation == "serializable"


@pytest.mark.parametrize(
    ("change", "named"), [({"isolation": "chaos"}, "isolation"), ({"key_storage": "/x"}, "key_storage")]
)
def test_a_bad_configuration_is_named(change: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        INPUTS.configure(**change)  # type: ignore[arg-type]


def test_policies_that_disagree_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="isolation"):
        INPUTS.configure(isolation="serializable") + RUN_ID.configure(isolation="read_committed")


def test_only_names_can_be_subtracted() -> None:
    for policy in (INPUTS, TASK_SOURCE, DEFAULT):
        with pytest.raises(TypeError, match="name of an argument"):
            policy - 3  # type: ignore[operator]


def test_users_can_write_policies_as_classes_or_dataclasses() -> None:
    @dataclass
    class Per(CachePolicy):
        field: str

        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str:
            return stable_hash(inputs[self.field])

    assert key(Per("x")) == stable_hash(1)
    assert key(Per("x") + RUN_ID, context(run_id="a")) != key(Per("x") + RUN_ID, context(run_id="b"))
    assert Per("x").configure(isolation="serializable").isolation == "serializable"


@pytest.mark.parametrize("policy", [INPUTS - "x", DEFAULT, NO_CACHE, RUN_ID.configure(isolation="serializable")])
def test_policies_can_be_pickled(policy: CachePolicy) -> None:
    assert pickle.loads(pickle.dumps(policy)) == policy


FACTOR = 5
counted = 0


def by_factor(x: int) -> int:
    return sum(x * FACTOR for _ in range(1))


def counting(x: int) -> int:
    global counted
    counted += 1
    return x


def scaler(n: Any) -> Callable[[int], int]:
    def scale(x: int) -> int:
        return x * n  # type: ignore[no-any-return]

    return scale


def test_the_source_of_a_task_counts_with_the_values_that_it_closes_over() -> None:
    assert key(TASK_SOURCE, context(scaler(2))) == key(TASK_SOURCE, context(scaler(2)))
    assert key(TASK_SOURCE, context(scaler(2))) != key(TASK_SOURCE, context(scaler(3)))
    listed, other = task(scaler([2])), task(scaler([3]))
    assert key(TASK_SOURCE, Context(listed)) != key(TASK_SOURCE, Context(other))


def test_the_source_of_a_task_counts_with_the_constants_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(TASK_SOURCE, context(by_factor))
    assert key(TASK_SOURCE, context(by_factor)) == before
    monkeypatch.setitem(globals(), "FACTOR", 6)
    assert key(TASK_SOURCE, context(by_factor)) != before


def test_what_a_task_itself_assigns_is_no_part_of_its_source() -> None:
    def counter() -> Callable[[int], int]:
        calls = 0

        def count(x: int) -> int:
            nonlocal calls
            calls += 1
            return x

        return count

    for fn in (counting, counter()):
        before = key(TASK_SOURCE, context(fn))
        fn(1)
        assert key(TASK_SOURCE, context(fn)) == before


def test_a_task_with_nothing_around_it_keeps_the_key_it_had() -> None:
    assert key(TASK_SOURCE) == stable_hash("source", source_of(first))


def test_a_policy_that_does_not_say_how_to_compute_a_key_cannot_be_made() -> None:
    class Keyless(CachePolicy):
        pass

    with pytest.raises(TypeError, match="compute_key"):
        Keyless()  # type: ignore[abstract]
