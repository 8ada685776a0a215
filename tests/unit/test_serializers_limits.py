"""Sizes, depths, and how errors name what is wrong."""

from __future__ import annotations

import dataclasses
import os
import threading
from typing import Any

import pytest

from brokers.errors import PayloadTooLarge
from orchestrator.errors import SerializationError
from orchestrator.serializers import (
    PayloadLimits,
    known_types,
    pack_call,
    pack_value,
    register_serializer,
    serializer_names,
    set_key_ring,
    unpack_call,
    unpack_value,
)


def context() -> tuple[str, ...]:
    return ("call",)


@known_types.learn
@dataclasses.dataclass
class Node:
    next: Any = None


def test_small_bodies_are_not_compressed() -> None:
    assert pack_value("x" * 10_000, context=context)[0] == 1


def test_large_bodies_are_compressed_and_come_back() -> None:
    body = pack_call(["x" * 100_000], {}, context=context).body
    assert len(body) < 1_000
    assert unpack_call(body, context=context, upstream_values={})[0] == ["x" * 100_000]


def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    noise = os.urandom(50_000)
    body = pack_value(noise, context=context)
    assert body[0] == 1
    assert unpack_value(body, context=context) == noise


def test_above_the_hard_limit_the_error_names_both_sizes() -> None:
    limits = PayloadLimits(max_bytes=20_000)
    for pack in (
        lambda: pack_call(["x" * 30_000], {}, context=context, limits=limits),
        lambda: pack_value("x" * 30_000, context=context, limits=limits),
        lambda: pack_value("x" * 30_000, context=context, limits=limits, serializer="json"),
    ):
        with pytest.raises(PayloadTooLarge, match=r"30,0\d\d bytes .* 20,000 bytes"):
            pack()


def test_the_hard_limit_also_holds_below_the_compression_threshold() -> None:
    with pytest.raises(PayloadTooLarge):
        pack_value("x" * 100, context=context, limits=PayloadLimits(max_bytes=50))


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: {"k": x}, lambda x: (x,), Node])
def test_nesting_too_deep_is_refused_and_reasonable_nesting_is_not(wrap: Any) -> None:
    value: Any = 1
    for _ in range(50):
        value = wrap(value)
    assert unpack_value(pack_value(value, context=context), context=context) == value
    for _ in range(1_000):
        value = wrap(value)
    with pytest.raises(SerializationError, match="nested too deeply, or contains itself"):
        pack_value(value, context=context)


@pytest.mark.parametrize("levels", range(56, 72))
def test_whatever_can_be_packed_can_be_read(levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    try:
        body = pack_value(value, context=context)
    except SerializationError:
        assert levels > 60
    else:
        assert unpack_value(body, context=context) == value


def cyclic_list() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def cyclic_mixture() -> Any:
    value: list[Any] = []
    value.append(({"k": Node(value)},))
    return value


def cyclic_dataclass() -> Any:
    node = Node()
    node.next = node
    return node


@pytest.mark.parametrize("make", [cyclic_list, cyclic_mixture, cyclic_dataclass])
def test_cycles_are_refused_and_the_argument_is_named(make: Any) -> None:
    with pytest.raises(SerializationError, match=r"kwargs\['x'\].*contains itself"):
        pack_call([1], {"x": make()}, context=context)


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ([threading.Lock()], {}, r"args\[0\] \(_thread\.lock\)"),
        ([1, [2, {"k": threading.Lock()}]], {}, r"args\[1\]\[1\]\['k'\] \(_thread\.lock\)"),
        ([], {"name": Node((Node(threading.Lock()),))}, r"kwargs\['name'\]\.next\[0\]\.next \(_thread\.lock\)"),
        ([{threading.Lock(): 1}], {}, r"args\[0\] \(key .*lock"),
    ],
)
@pytest.mark.parametrize("with_key", [False, True])
def test_the_error_names_the_argument_the_path_and_the_type(args: Any, kwargs: Any, where: str, with_key: bool) -> None:
    from orchestrator.serializers import KeyRing

    set_key_ring(lambda: KeyRing([b"k" * 32]) if with_key else None)
    try:
        with pytest.raises(SerializationError, match=where) as caught:
            pack_call(args, kwargs, context=context)
        assert ("pickle" in str(caught.value)) or not with_key
        with pytest.raises(SerializationError, match="the result"):
            pack_value([*args, kwargs], context=context)
    finally:
        set_key_ring(lambda: None)


def test_an_error_leaves_nothing_behind() -> None:
    for _ in range(3):
        with pytest.raises(SerializationError):
            pack_call([1, (2, threading.Lock())], {}, context=context)
        assert unpack_call(pack_call([(1,)], {}, context=context).body, context=context, upstream_values={})[0] == [
            (1,)
        ]


def test_threads_do_not_get_in_each_others_way() -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for index in range(500):
            value = [number, (index, {"k": {index}})]
            arrived = unpack_value(pack_value(value, context=context), context=context)
            if arrived != value:
                wrong.append(arrived)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_arguments_may_be_any_sequence_and_mapping() -> None:
    from types import MappingProxyType

    body = pack_call((1, 2), MappingProxyType({"a": 3}), context=context).body
    assert unpack_call(body, context=context, upstream_values={}) == ([1, 2], {"a": 3})


def test_json_is_plain_json() -> None:
    import json
    from datetime import date

    from pydantic import BaseModel

    class Model(BaseModel):
        day: date

    value = {"a": (1, "ü"), "b": Model(day=date(2026, 1, 1)), "c": Node(Node()), "d": date(2026, 1, 2), "e": {1}}
    body = pack_value(value, context=context, serializer="json")
    expected = {"a": [1, "ü"], "b": {"day": "2026-01-01"}, "c": {"next": {"next": None}}, "d": "2026-01-02", "e": [1]}
    assert json.loads(body[1:]) == expected
    assert unpack_value(body, context=context) == expected
    with pytest.raises(SerializationError, match="json"):
        pack_value([threading.Lock()], context=context, serializer="json")


def test_pickle_as_a_serializer_needs_a_key_too() -> None:
    from orchestrator.serializers import KeyRing

    with pytest.raises(SerializationError, match="ORCHESTRATOR_SECRET_KEY"):
        pack_value({"a": 1}, context=context, serializer="pickle")
    set_key_ring(lambda: KeyRing([b"k" * 32]))
    try:
        body = pack_value({"a": (1,)}, context=context, serializer="pickle")
        assert unpack_value(body, context=context) == {"a": (1,)}
    finally:
        set_key_ring(lambda: None)


def test_a_serializer_is_added_with_one_line() -> None:
    register_serializer("shout", lambda value, packing: value.upper().encode(), lambda data, reading: data.decode(), 40)
    assert unpack_value(pack_value("tea", context=context, serializer="shout"), context=context) == "TEA"
    assert "shout" in serializer_names()
    for name, tag in (("shout", 41), ("other", 40), ("other", 0), ("other", 64)):
        with pytest.raises(ValueError, match="tag"):
            register_serializer(name, lambda value, packing: b"", lambda data, reading: None, tag)


def test_an_unknown_serializer_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="json, msgpack, pickle"):
        pack_value(1, context=context, serializer="yaml")
