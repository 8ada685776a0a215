"""What goes in comes out, with its type, at any depth."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretBytes, SecretStr

from orchestrator.errors import SerializationError
from orchestrator.serializers import (
    KeyRing,
    PayloadLimits,
    known_types,
    pack_call,
    pack_value,
    set_key_ring,
    unpack_call,
    unpack_value,
)


def context() -> tuple[str, ...]:
    return ("call", "1", "shop.order")


@known_types.learn
class Colour(enum.Enum):
    RED = "red"
    BLUE = ("blue", 2)


@known_types.learn
class Level(enum.IntEnum):
    LOW = 1


@known_types.learn
class Word(enum.StrEnum):
    TEA = "tea"


@known_types.learn
class Right(enum.Flag):
    READ = 1
    WRITE = 2


@known_types.learn
class Pair(NamedTuple):
    left: Any
    right: Any = 7


@known_types.learn
@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: Any
    y: Any = 0


@known_types.learn
@dataclasses.dataclass
class Noisy:
    value: Any
    seen: list[str] = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.seen.append("post_init")


@known_types.learn
class Order(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int = Field(alias="orderNumber", default=0)
    note: Any = None

    @cached_property
    def twice(self) -> int:
        return self.number * 2


@known_types.learn
class Numbers(RootModel[list[int]]):
    pass


@known_types.learn
class Name(str):
    pass


@known_types.learn
class Basket(list[Any]):
    pass


@known_types.learn
class Ratio(float):
    pass


@known_types.learn
class Big(int):
    pass


@known_types.learn
class Bag(dict[Any, Any]):
    pass


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down; NaN equals itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(a, b) and same(x, y) for (a, x), (b, y) in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, list | tuple | deque):
        return len(left) == len(right) and all(map(same, left, right))
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, BaseModel):
        return same(left.__dict__, right.__dict__)
    if isinstance(left, datetime | time):
        return (left.isoformat(), left.fold) == (right.isoformat(), right.fold)
    return bool(left == right)


# In whole seconds: CPython's fromisoformat takes an offset of some microseconds for UTC.
fixed_offsets = st.integers(-80_000, 80_000).map(lambda seconds: timezone(timedelta(seconds=seconds)))
zones = st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("UTC"), UTC]) | fixed_offsets
paths = st.sampled_from(["a", "/b/c", "ü/\udcff", ".", "C:\\d"])

hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    st.text(st.characters()),  # with surrogates
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.dates(),
    st.times(timezones=st.none() | fixed_offsets),
    st.datetimes(timezones=st.none() | zones, allow_imaginary=True),
    st.datetimes(timezones=zones).map(lambda moment: moment.replace(fold=1)),
    st.timedeltas(),
    paths.map(Path),
    paths.map(PurePosixPath),
    paths.map(PureWindowsPath),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.sampled_from([*Colour, *Level, *Word, Right.READ | Right.WRITE, Name("n"), Ratio(0.5), Big(2**70), Big(3)]),
)
keys = st.recursive(
    hashables,
    lambda inside: st.one_of(
        st.lists(inside, max_size=3).map(tuple),
        st.frozensets(inside, max_size=3),
        st.builds(Pair, inside, inside),
        st.builds(Point, inside, inside),
    ),
    max_leaves=5,
)
values = st.recursive(
    st.one_of(
        keys,
        st.floats(),
        st.decimals(),
        st.just(slice(1, None, 2)),
    ),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.lists(inside, max_size=4).map(tuple),
        st.lists(inside, max_size=4).map(Basket),
        st.lists(inside, max_size=4).map(lambda items: deque(items, 9)),
        st.sets(keys, max_size=4),
        st.dictionaries(keys, inside, max_size=4),
        st.dictionaries(keys, inside, max_size=4).map(OrderedDict),
        st.dictionaries(keys, inside, max_size=4).map(Bag),
        st.dictionaries(keys, inside, max_size=4).map(lambda items: defaultdict(list, items)),
        st.builds(Point, inside, inside),
        st.builds(Pair, inside, inside),
        st.builds(Noisy, inside),
        st.builds(Order, orderNumber=st.integers(), note=inside, more=inside),
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=3), st.dictionaries(st.text(), values, max_size=3))
def test_arguments_arrive_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    packed = pack_call(args, kwargs, context=context)
    assert packed.upstreams is None
    arrived_args, arrived_kwargs = unpack_call(packed.body, context=context, upstream_values={})
    assert same(args, arrived_args)
    assert same(kwargs, arrived_kwargs)


@given(values)
def test_results_arrive_as_they_were(value: Any) -> None:
    limits = PayloadLimits(compress_above_bytes=64)
    arrived = unpack_value(pack_value(value, context=context, limits=limits), context=context)
    assert same(value, arrived)


def back(value: Any) -> Any:
    return unpack_value(pack_value(value, context=context), context=context)


@pytest.mark.parametrize(
    "value",
    [
        Counter("tea"),
        defaultdict(None, {1: 2}),
        Numbers([1, 2]),
        SecretStr("hush"),
        SecretBytes(b"hush"),
        uuid.UUID("0b1f6d1e-6c7a-4d0c-9c9b-3a1f2f4f5a6b"),
        2**64,
        -(2**63) - 1,
        2**64 - 1,
        "lone \udcff surrogate",
        {("a", 1): {frozenset({1})}},
        time(1, 2, 3, tzinfo=ZoneInfo("Europe/Berlin")),
        (),
        [[]],
    ],
    ids=repr,
)
def test_odd_ones_out(value: Any) -> None:
    arrived = back(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_a_bytearray_passed_as_an_argument_or_returned_stays_one() -> None:
    packed = pack_call((bytearray(b"a"),), {"b": bytearray(b"b"), "c": 1}, context=context)
    args, kwargs = unpack_call(packed.body, context=context, upstream_values={})
    assert args == [bytearray(b"a")]
    assert type(args[0]) is type(kwargs["b"]) is type(back(bytearray(b"x"))) is bytearray


def test_a_zone_comes_back_with_its_key_and_the_second_of_two_equal_hours() -> None:
    moment = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    arrived = back(moment)
    assert arrived.tzinfo.key == "Europe/Berlin"
    assert arrived.utcoffset() == timedelta(hours=1)


def test_a_zone_without_a_name_needs_pickle() -> None:
    from dateutil.tz import gettz  # type: ignore[import-untyped]

    moment = datetime(2026, 1, 1, tzinfo=gettz("Europe/Berlin"))
    with pytest.raises(SerializationError, match="ORCHESTRATOR_SECRET_KEY"):
        pack_value(moment, context=context)


def test_post_init_does_not_run_on_arrival() -> None:
    assert back(Noisy(1)).seen == ["post_init"]


def test_a_model_remembers_which_fields_were_given() -> None:
    arrived = back(Order(orderNumber=3))
    assert arrived == Order(orderNumber=3)
    assert arrived.model_fields_set == {"number"}
    assert back(Order.model_validate({"orderNumber": 3, "extra": [1]})).extra == [1]


def test_a_cached_property_does_not_travel() -> None:
    order = Order(orderNumber=3)
    assert order.twice == 6
    assert "twice" not in back(order).__dict__


def test_attributes_of_a_subclass_of_list_come_along() -> None:
    basket = Basket([1])
    basket.owner = ("me",)  # type: ignore[attr-defined]
    assert back(basket).owner == ("me",)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="int16").reshape(2, 3),
        np.asfortranarray(np.ones((2, 3))),
        np.array([], dtype="float32"),
        np.array(5),
        np.array(["a", "bc"]),
        np.array(["2026-01-01"], dtype="datetime64[ns]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=str,
)
def test_numpy_arrays(array: Any) -> None:
    arrived = back([array])[0]
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert np.array_equal(arrived, array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(1.5),
        np.int8(-3),
        np.bool_(True),
        np.str_("ü"),
        np.str_(""),
        np.bytes_(b"x"),
        np.datetime64("2026-01-01"),
        np.complex64(1j),
    ],
    ids=repr,
)
def test_numpy_scalars(scalar: Any) -> None:
    arrived = back((scalar,))[0]
    assert arrived == scalar
    assert type(arrived) is type(scalar)


@pytest.fixture
def with_key() -> Any:
    set_key_ring(lambda: KeyRing([b"k" * 32]))
    yield
    set_key_ring(lambda: None)


@pytest.mark.usefixtures("with_key")
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=["i", "j"]),
        pd.DataFrame({"a": [object, 1]}),
        pd.DataFrame(),
    ],
    ids=["typed", "objects", "empty"],
)
def test_pandas_frames(frame: Any) -> None:
    pd.testing.assert_frame_equal(back({"frame": frame})["frame"], frame)


@pytest.mark.usefixtures("with_key")
@pytest.mark.parametrize("name", [None, "n", ("a", 1)])
def test_pandas_series(name: Any) -> None:
    series = pd.Series([1.5, 2], index=pd.date_range("2026-01-01", periods=2, freq="D"), name=name)
    pd.testing.assert_series_equal(back(series), series, check_freq=False)


def test_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert back(frame).equals(frame)
    series = back(polars.Series("name", [1, 2]))
    assert (series.name, series.to_list()) == ("name", [1, 2])


@dataclasses.dataclass
class Stranger:
    a: Any
    inside: Any = None


class StrangeModel(BaseModel):
    a: int


class StrangeEnum(enum.Enum):
    A = 1


class StrangeList(list[int]):
    pass


def test_what_nobody_has_named_comes_back_by_its_name_when_there_is_no_key() -> None:
    value = [Stranger(1, Stranger(2)), StrangeModel(a=3), StrangeEnum.A, StrangeList([4])]
    assert same(back(value), value)


@pytest.mark.usefixtures("with_key")
def test_what_nobody_has_named_is_signed_when_there_is_a_key_so_that_readers_may_import_it() -> None:
    value = [Stranger(1, Stranger(2)), StrangeModel(a=3), StrangeEnum.A, StrangeList([4])]
    body = pack_value(value, context=context)
    assert body[0] & 0x80
    assert unpack_value(body, context=context) == value


@pytest.mark.usefixtures("with_key")
def test_functions_and_classes_made_on_the_spot_are_pickled() -> None:
    offset = 5

    class Local:
        value = 3

    add, cls = back((lambda x: x + offset, Local))
    assert add(1) == 6
    assert cls.value == 3
