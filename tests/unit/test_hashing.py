from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.caching.hashing import stable_hash
from orchestrator.errors import CacheKeyError


class Colour(Enum):
    RED = 1
    BLUE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Order:
    id: int
    tags: set[str] = field(default_factory=set)


class Model(pydantic.BaseModel):
    id: int
    tags: set[str] = set()


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def adder(n: int) -> Callable[[int], int]:
    return lambda x: x + n


DIFFERENT: list[Any] = [
    None, True, False, 0, 1, 1.0, 1j, "1", b"1", bytearray(b"1"), "", [], (), {}, set(), frozenset(), ...,
    [1], (1,), {1}, {1: None}, [[1]], [1, 2], [2, 1], ["ab", "c"], ["a", "bc"], {"a": 1}, {"a": 2}, {"b": 1},
    10**5000, -(10**5000), float("nan"), float("inf"), Decimal("1"), Decimal("1.0"),
    datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), time(1), timedelta(1),
    UUID(int=1), Path("a"), Path("b"), Colour.RED, Colour.BLUE, Point(1, 2), (1, 2), Order(1), Order(2), Model(id=1),
    Model(id=2), Plain(1), Plain(2), Plain([1]), Slotted(1), Slotted(2), Plain, Order, len, str.upper, re.compile("a"),
    re.compile("a", re.I), adder(1), adder(2), partial(adder, 1), partial(adder, n=1), Plain(1).__init__, os,
    OrderedDict(a=1), memoryview(b"1"), ValueError("x"), ValueError("y"), "\ud800", range(3), range(4),
]  # fmt: skip


def test_values_of_different_type_or_content_have_different_hashes() -> None:
    assert len({stable_hash(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (set("abcdefgh"), set("hgfedcba")),
        (Order(1, {"x", "y", "z"}), Order(1, {"z", "y", "x"})),
        (Model(id=1, tags={"x", "y", "z"}), Model(id=1, tags={"z", "y", "x"})),
        (Plain({"a": 1, "b": {1, 2}}), Plain({"b": {2, 1}, "a": 1})),
        (defaultdict(list, a=[1]), defaultdict(list, a=[1])),
        (adder(3), adder(3)),
        ({1: "x", "1": "y"}, {"1": "y", 1: "x"}),
    ],
)
def test_order_and_identity_do_not_matter(one: Any, other: Any) -> None:
    assert stable_hash(one) == stable_hash(other)


KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    KEYS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.frozensets(KEYS),
    max_leaves=12,
)


@given(VALUES, st.integers(0, 1000))
def test_a_dict_filled_in_another_order_is_the_same(value: Any, seed: int) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            Random(seed).shuffle(items)
            return {key: shuffled(member) for key, member in items}
        if isinstance(value, list | tuple):
            return type(value)(map(shuffled, value))
        return value

    assert stable_hash(shuffled(value)) == stable_hash(value)


def test_the_hash_is_the_same_in_every_process() -> None:
    program = (
        "from orchestrator.caching.hashing import stable_hash\n"
        "from tests.unit.test_hashing import Order, Model, Plain, adder\n"
        "print(stable_hash({'b': {'x', 'y', 'z', 'w'}, 'a': Order(1, {'p', 'q', 'r'})}, Model(id=1), Plain({'m', 'n'}),"
        " adder(1)))"
    )
    root = str(Path(__file__).parents[2])
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(hashes) == 1


def test_a_value_that_contains_itself_can_be_hashed() -> None:
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [1]
    other.append(other)
    assert stable_hash(one) == stable_hash(other) != stable_hash([1, []])


@pytest.mark.parametrize("value", [threading.Lock(), [threading.Lock()], Plain(threading.Lock()), (x for x in "a")])
def test_what_has_no_content_is_refused(value: Any) -> None:
    with pytest.raises(CacheKeyError, match=r"lock|generator"):
        stable_hash(value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CacheKeyError, match="deeply"):
        stable_hash(deep)
    while deep:  # taken apart by hand: freeing it in one go is also a recursion
        deep = deep[0]


def test_arrays_and_frames_count_by_content() -> None:
    numpy = pytest.importorskip("numpy")
    grid = numpy.arange(6).reshape(2, 3)
    assert stable_hash(grid) == stable_hash(numpy.asfortranarray(grid))
    others = [grid.reshape(3, 2), grid.astype("float64"), grid + 1, numpy.array(["a", None], dtype=object)]
    assert len({stable_hash(each) for each in [grid, *others, numpy.int64(1), numpy.int32(1), 1]}) == 8
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert stable_hash(frame) == stable_hash(frame.copy())
    assert stable_hash(frame) != stable_hash(frame.rename(columns={"a": "c"}))
    assert stable_hash(frame["a"]) != stable_hash(frame["a"].astype("float64"))


class Named(list[int]):
    pass


class Private(pydantic.BaseModel):
    id: int = 1
    _token: str = ""


@dataclass
class Derived:
    id: int = 1


def with_attribute(value: Any, name: str, part: Any) -> Any:
    setattr(value, name, part)
    return value


@pytest.mark.parametrize(
    ("make", "name"), [(Named, "owner"), (Private, "_token"), (Derived, "more")], ids=["list", "model", "dataclass"]
)
def test_what_a_value_holds_beside_its_fields_counts(make: Any, name: str) -> None:
    one, same, other = (with_attribute(make(), name, part) for part in ("a", "a", "b"))
    assert stable_hash(one) == stable_hash(same) != stable_hash(other)
    assert stable_hash(make()) != stable_hash(one)
