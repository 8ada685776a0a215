"""Runs inside arguments and results."""

from __future__ import annotations

import dataclasses
from collections import defaultdict, deque
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from orchestrator.errors import SerializationError, UpstreamTaskError
from orchestrator.futures import PrefectFuture
from orchestrator.serializers import (
    Dependency,
    Handle,
    KeyRing,
    Packing,
    known_types,
    pack_call,
    pack_value,
    register_replacement,
    set_handle_factory,
    set_key_ring,
    unpack_call,
    unpack_value,
)


class Future(Dependency):
    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class Allowing:
    def __init__(self, future: Future) -> None:
        self.future = future


class Ended:
    """Like a state: stands for a value, or for an error."""

    def __init__(self, value: Any) -> None:
        self.value = value


def of_ended(ended: Ended, packing: Packing) -> object:
    if isinstance(ended.value, Exception):
        raise ended.value
    return ended.value


register_replacement(Allowing, lambda allowing, packing: packing.upstream(allowing.future.run_id, True))
register_replacement(Ended, of_ended)


@known_types.learn
@dataclasses.dataclass(frozen=True)
class Box:
    inside: Any


@dataclasses.dataclass(frozen=True)
class StrangeBox:
    inside: Any


@known_types.learn
class Crate(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    inside: Any


class Plain:
    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def __eq__(self, other: object) -> bool:
        return type(other) is Plain and self.inside == other.inside

    __hash__ = None  # type: ignore[assignment]


def context() -> tuple[str, ...]:
    return ("call",)


@pytest.fixture
def with_key() -> Any:
    set_key_ring(lambda: KeyRing([b"k" * 32]))
    yield
    set_key_ring(lambda: None)


WRAPPINGS = [
    lambda x: x,
    lambda x: [x],
    lambda x: {"k": x},
    lambda x: {x: "v"},
    lambda x: (x,),
    lambda x: {x},
    lambda x: frozenset([x]),
    lambda x: deque([x]),
    lambda x: defaultdict(list, k=x),
    Box,
    lambda x: Crate(inside=x),
    lambda x: Crate.model_construct(inside=[Box((x,))]),
    lambda x: [{"k": (Box([Crate(inside={"deep": x})]),)}],
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_a_future_is_replaced_by_its_result_wherever_it_is(wrap: Any) -> None:
    packed = pack_call((), {"x": wrap(Future("r1"))}, context=context)
    assert packed.upstreams == [("r1", False)]
    _, kwargs = unpack_call(packed.body, context=context, upstream_values={"r1": 42})
    assert kwargs == {"x": wrap(42)}


@pytest.mark.usefixtures("with_key")
@pytest.mark.parametrize("wrap", [Plain, StrangeBox, lambda x: Plain(StrangeBox([x])), lambda x: {"k": [Plain(x)]}])
def test_a_future_inside_a_pickle_is_found_too(wrap: Any) -> None:
    packed = pack_call((wrap(Future("r1")),), {}, context=context)
    assert packed.upstreams == [("r1", False)]
    assert unpack_call(packed.body, context=context, upstream_values={"r1": (4, 2)})[0] == [wrap((4, 2))]


@pytest.mark.usefixtures("with_key")
def test_a_future_that_a_function_closes_over_is_found_too() -> None:
    future = Future("r1")
    packed = pack_call((lambda: future,), {}, context=context)
    assert packed.upstreams == [("r1", False)]
    assert unpack_call(packed.body, context=context, upstream_values={"r1": 42})[0][0]() == 42


def test_each_run_is_noted_once_and_in_order() -> None:
    args = [Future("b"), [Future("a"), Future("b")], (Future("c"),)]
    assert pack_call(args, {}, context=context).upstreams == [("b", False), ("a", False), ("c", False)]


def test_a_failure_is_allowed_only_if_every_mention_allows_it() -> None:
    allowed, strict = Allowing(Future("r")), Future("r")
    assert pack_call([allowed, allowed], {}, context=context).upstreams == [("r", True)]
    assert pack_call([allowed, strict], {}, context=context).upstreams == [("r", False)]
    assert pack_call([strict, allowed], {}, context=context).upstreams == [("r", False)]


def test_notes_do_not_leak_into_the_next_call() -> None:
    assert pack_call([Future("r")], {}, context=context).upstreams
    assert pack_call([1], {}, context=context).upstreams is None
    assert pack_call([(1,)], {}, context=context).upstreams is None


def test_a_replacement_may_be_anything_that_can_be_packed() -> None:
    args = [Ended(value) for value in (1, 2**80, (1, 2), Box(1), Ended(Ended("x")), Future("r"))]
    packed = pack_call(args, {}, context=context)
    assert packed.upstreams == [("r", False)]
    arrived, _ = unpack_call(packed.body, context=context, upstream_values={"r": "result"})
    assert arrived == [1, 2**80, (1, 2), Box(1), "x", "result"]


def test_an_error_of_ours_in_a_replacement_reaches_the_caller_as_it_is() -> None:
    with pytest.raises(UpstreamTaskError, match="no luck"):
        pack_call([[Ended(UpstreamTaskError("no luck"))]], {}, context=context)


def test_a_replacement_that_returns_itself_is_an_error() -> None:
    ended = Ended(None)
    ended.value = ended
    with pytest.raises(SerializationError, match="contains itself"):
        pack_call([ended], {}, context=context)


def test_a_subclass_made_later_is_replaced_too() -> None:
    class Special(Future):
        pass

    assert pack_call([Special("r")], {}, context=context).upstreams == [("r", False)]


def test_packing_inside_packing_keeps_the_two_apart() -> None:
    class Nosy:
        pass

    inner = []

    def replace(nosy: Nosy, packing: Packing) -> object:
        inner.append(pack_call([Future("inner")], {}, context=context))
        return 1

    register_replacement(Nosy, replace)
    outer = pack_call([Future("outer"), Nosy()], {}, context=context)
    assert outer.upstreams == [("outer", False)]
    assert inner[0].upstreams == [("inner", False)]


def test_a_missing_result_is_an_error_that_names_the_run() -> None:
    packed = pack_call([Future("r1")], {}, context=context)
    with pytest.raises(SerializationError, match="r1"):
        unpack_call(packed.body, context=context, upstream_values={})


@pytest.mark.usefixtures("with_key")
def test_a_future_in_a_result_becomes_a_handle() -> None:
    set_handle_factory(Handle)
    body = pack_value([Future("r1"), Plain(Future("r2")), Allowing(Future("r3"))], context=context)
    first, plain, third = unpack_value(body, context=context)
    assert [first, plain.inside, third] == [Handle("r1"), Handle("r2"), Handle("r3")]
    set_handle_factory(lambda run_id: ("future", run_id))
    try:
        assert unpack_value(body, context=context)[0] == ("future", "r1")
    finally:
        set_handle_factory(PrefectFuture)  # as importing orchestrator.submission.send sets it


def test_an_upstream_in_a_result_is_refused() -> None:
    call = pack_call([Future("r1")], {}, context=context)
    with pytest.raises(SerializationError):
        unpack_value(call.body, context=context)
