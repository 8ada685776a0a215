"""What arrives equals what was sent, or the sender gets an error: one table of the kinds of values that people pass.

Each goes as an argument and as a result, with a key (where pickles may travel) and without (where they may not).
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import math
import operator
import pathlib
import re
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pandas as pd
import pydantic
import pydantic.dataclasses
import pytest
from pydantic import BaseModel, Field, PrivateAttr, RootModel, SecretStr, computed_field, field_validator

from orchestrator.errors import SerializationError
from orchestrator.serializers import KeyRing, pack_call, pack_value, set_key_ring, unpack_call, unpack_value

T = TypeVar("T")


@dataclasses.dataclass
class Person:
    first: str
    nick: str = dataclasses.field(default="", init=False)

    def __post_init__(self) -> None:
        self.nick = self.first[:1]
        self.full = f"{self.first} Lee"


@dataclasses.dataclass
class Employee(Person):
    boss: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: Any
    y: Any = dataclasses.field(default=0, compare=False)


class WithSlots:
    __slots__ = ("hidden",)


@dataclasses.dataclass
class Slotted(WithSlots):
    a: int


@dataclasses.dataclass
class Measured:
    """A field that is a property over another attribute."""

    celsius: float

    @property  # type: ignore[no-redef]
    def celsius(self) -> float:
        return self._kelvin - 273

    @celsius.setter
    def celsius(self, value: float) -> None:
        self._kelvin = value + 273


@dataclasses.dataclass
class Box(Generic[T]):
    inside: T


@dataclasses.dataclass
class OwnState:
    a: int

    def __getstate__(self) -> dict[str, Any]:
        return {"a": self.a}


@pydantic.dataclasses.dataclass
class Checked:
    a: int

    @field_validator("a")
    @classmethod
    def doubled(cls, value: int) -> int:
        return value * 2


class Price(BaseModel):
    gross: float

    @field_validator("gross")
    @classmethod
    def with_tax(cls, net: float) -> float:
        return net * 1.2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        return f"{self.gross:.2f}"


class Wrapped(BaseModel):
    """A validator that takes one form only, and makes another."""

    at: dt.date

    @pydantic.model_validator(mode="before")
    @classmethod
    def from_text(cls, data: Any) -> Any:
        return {"at": dt.date.fromisoformat(data["at"])}


class Session(BaseModel):
    user: str
    password: SecretStr = SecretStr("x")
    _token: str = PrivateAttr(default="")
    _lock: Any = PrivateAttr(default=None)


class Computed(BaseModel):
    a: int
    _double: int = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._double = self.a * 2


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str
    friends: list[Animal] = Field(default_factory=list)


class Cat(Animal):
    kind: Literal["cat"] = "cat"


class Bird(Animal):
    kind: Literal["bird"] = "bird"


class Zoo(BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    pet: Cat | Bird = Field(discriminator="kind")


class Page(BaseModel, Generic[T]):
    items: list[T]


class Aliased(BaseModel):
    number: int = Field(alias="orderNumber")


class Frozen(BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, strict=True)
    a: tuple[int, ...] = ()


class Names(RootModel[list[str]]):
    pass


@attrs.define
class Attrs:
    a: int


class Plain:
    def __init__(self, a: Any) -> None:
        self.a = a

    def __eq__(self, other: object) -> bool:
        return type(other) is Plain and other.a == self.a

    __hash__ = None  # type: ignore[assignment]


class Pair(NamedTuple):
    left: Any
    right: Any = 7


class SubPair(Pair):
    pass


class Color(enum.Enum):
    RED = object()
    GREEN = "green"
    LIME = "green"  # noqa: PIE796


class Op(enum.Enum):
    ADD = functools.partial(operator.add)
    POINT = Point(1)
    PLUS = enum.member(lambda: 1) if hasattr(enum, "member") else 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    TEA = "tea"


class Right(enum.IntFlag):
    READ = 1
    WRITE = 2


class Way(enum.Flag):
    UP = enum.auto()
    DOWN = enum.auto()


class Shouted(str):
    __slots__ = ("loud",)
    loud: bool


class Meters(float):
    unit = "m"


class Money(int):
    def __new__(cls, cents: int) -> Money:
        return super().__new__(cls, cents * 100)


class Coded(str):
    def __reduce__(self) -> Any:
        return Coded, (str(self),)


class Basket(list[Any]):
    def __init__(self, owner: str, *items: Any) -> None:
        super().__init__(items)
        self.owner = owner


class Bag(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return key


class Late(dict[Any, Any]):
    def __init__(self, needed: Any) -> None:
        super().__init__(a=needed)


class Grouped(collections.defaultdict[Any, Any]):
    """Its factory is neither in the dict nor in its attributes."""


class Shown(dict[str, Any]):
    """What it shows is not what it holds."""

    def __getitem__(self, key: str) -> Any:
        return f"shown {dict.__getitem__(self, key)}"

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(dict.keys(self), reverse=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shown) and dict(dict.items(self)) == dict(dict.items(other))

    __hash__ = None  # type: ignore[assignment]


class Quantity(np.ndarray[Any, Any]):
    """An array with a unit."""

    unit: str


class Gram(np.float64):
    """A number with a class of its own."""


def quantity(**attributes: Any) -> Any:
    return with_attributes(np.array([1.5, 2.0]).view(Quantity), **attributes)


class Failure(Exception):
    def __init__(self, code: int, *, why: str = "") -> None:
        super().__init__(f"{code}")
        self.code = code
        self.why = why


def noted(error: BaseException, **attributes: Any) -> BaseException:
    error.add_note("x" * 5_000)
    vars(error).update(attributes)
    return error


def with_attributes(value: Any, **attributes: Any) -> Any:
    for name, attribute in attributes.items():
        object.__setattr__(value, name, attribute)
    return value


def local_dataclass() -> Any:
    @dataclasses.dataclass
    class Local:
        a: int

    return Local(1)


def local_enum() -> Any:
    class Local(enum.Enum):
        A = 1

    return Local.A


def local_namedtuple() -> Any:
    return collections.namedtuple("Inner", "a b")(1, 2)


def local_model() -> Any:
    return pydantic.create_model("LocalModel", a=(int, 1))()


def page_of_local_models() -> Any:
    local = local_model()
    return Page[type(local)](items=[local])  # type: ignore[misc]


def local_str() -> Any:
    return type("LocalStr", (str,), {})("x")


def local_error() -> Any:
    return type("LocalError", (Exception,), {})("x")


def half_made() -> Any:
    return Price.model_construct(_fields_set={"other"})


def session(**private: Any) -> Session:
    made = Session(user="ann")
    for name, value in private.items():
        setattr(made, name, value)
    return made


def deleted(value: Any, name: str) -> Any:
    delattr(value, name)
    return value


def structured() -> Any:
    return np.array([(1, 2.0)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True))


DAY = dt.datetime(2026, 10, 25, 2, 30)
BERLIN = ZoneInfo("Europe/Berlin")

KINDS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "numbers": lambda: [True, 0, -1, 2**64, -(2**63) - 1, 1.5, -0.0, math.inf, 1j, decimal.Decimal("1.10")],
    "nan": lambda: float("nan"),
    "decimal nan": lambda: decimal.Decimal("NaN"),
    "fraction": lambda: fractions.Fraction(2**70, 3),
    "texts": lambda: ["", "ü", "\udcff", "\0", "x" * 100_000],
    "bytes": lambda: [b"", b"\xc4\xc5", bytes(range(256))],
    "bytearray": lambda: bytearray(b"a"),
    "bytearray in a list": lambda: [bytearray(b"a")],
    "bytearray in a dict in a tuple": lambda: ({"k": [1, {"x": bytearray(b"a")}]},),
    "bytearray in a dataclass": lambda: Point(bytearray(b"a"), [bytearray(b"b")]),
    "bytearray in a model": lambda: Zoo(pet=Cat(name="c"), more=[bytearray(b"x")]),  # type: ignore[call-arg]
    "bytearray in a subclass of dict": lambda: Bag(a=bytearray(b"x")),
    "memoryview": lambda: [memoryview(b"abc"), {"v": memoryview(bytearray(b"abc"))}],
    "memoryview of numbers": lambda: memoryview(array.array("i", [1, 2])),
    "memoryview of two dimensions": lambda: memoryview(bytes(range(6))).cast("B", (2, 3)),
    "memoryview in an object": lambda: Plain(memoryview(b"abc")),
    "array.array": lambda: array.array("d", [1.5]),
    "keys": lambda: {1: 1, "1": 2, (1, "a"): 3, frozenset({1}): 4, None: 5, b"x": 6, Point(1): 7, Word.TEA: 8},
    "nested": lambda: {"a": [(1, [2, {3}], frozenset({(4,)})), {"b": {"c": ()}}]},
    "int keys in order": lambda: dict.fromkeys([3, 1, 2]),
    "OrderedDict": lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
    "Counter": lambda: collections.Counter("tea"),
    "deque": lambda: collections.deque([1, 2], maxlen=2),
    "ChainMap": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "UserDict": lambda: collections.UserDict(a=1),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "defaultdict without a factory": lambda: collections.defaultdict(None, a=1),
    "defaultdict with a function": lambda: collections.defaultdict(threading.get_ident, a=1),
    "defaultdict with a lambda": lambda: {"x": [collections.defaultdict(lambda: 5, a=1)]},
    "subclass of defaultdict": lambda: Grouped(list, a=[1]),
    "subclass of dict that shows other values": lambda: Shown(a=1, b=2),
    "subclass of a numpy array": quantity,
    "subclass of a numpy array with attributes": lambda: quantity(unit="m"),
    "subclass of a numpy scalar": lambda: [Gram(1.5)],
    "mappingproxy": lambda: types.MappingProxyType({"a": 1}),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=[1]),
    "range, slice": lambda: [range(1, 9, 2), slice(1, None, 2)],
    "Ellipsis": lambda: ...,
    "generator": lambda: (x for x in range(3)),
    "lambda": lambda: lambda x: x,
    "function": lambda: math.sqrt,
    "class": lambda: Point,
    "module": lambda: math,
    "partial": lambda: functools.partial(pow, 2),
    "lock": lambda: threading.Lock(),
    "lock inside": lambda: {"a": [Point(threading.Lock())]},
    "open text file": lambda: open(__file__),  # noqa: SIM115
    "open binary file": lambda: open(__file__, "rb"),  # noqa: SIM115
    "StringIO": lambda: io.StringIO("abc"),
    "dates": lambda: [dt.date(2026, 1, 1), dt.time(1, 2, 3, 4), dt.timedelta(-1, 2, 3), DAY, DAY.replace(fold=1)],
    "zones": lambda: [DAY.replace(tzinfo=zone, fold=1) for zone in (BERLIN, dt.UTC, ZoneInfo("UTC"))],
    "zone by itself": lambda: [BERLIN, ZoneInfo("UTC"), dt.UTC, dt.timezone(dt.timedelta(hours=1))],
    "offset in microseconds": lambda: DAY.replace(tzinfo=dt.timezone(dt.timedelta(microseconds=5))),
    "zone with a name of its own": lambda: DAY.replace(tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
    "time with a zone": lambda: dt.time(1, tzinfo=ZoneInfo("UTC")),
    "zone of a file": lambda: DAY.replace(tzinfo=ZoneInfo.no_cache("Europe/Berlin")),
    "subclass of datetime": lambda: pd.Timestamp("2026-01-01", tz="UTC"),
    "paths": lambda: [pathlib.Path("a/b"), pathlib.PurePosixPath("/x"), pathlib.PureWindowsPath("c:\\x")],
    "UUID": lambda: uuid.UUID(int=7),
    "address": lambda: ipaddress.ip_address("::1"),
    "pattern": lambda: [re.compile("a+", re.I), re.compile(b"x")],
    "match": lambda: re.match("a", "a"),
    "dataclass": lambda: Person("Ann"),
    "dataclass, changed after": lambda: with_attributes(Person("Ann"), full="other", added=[1]),
    "dataclass without a field": lambda: deleted(Point(1, 2) and Employee("Ann"), "boss"),
    "dataclass of a dataclass": lambda: Employee("Ann", boss=Employee("Bob")),
    "dataclass, frozen, slots": lambda: Point(Point(1), {"p": Point(2)}),
    "dataclass over slots": lambda: with_attributes(Slotted(1), hidden=[2]),
    "dataclass with a property": lambda: Measured(20),
    "dataclass, generic": lambda: Box[int](1),
    "dataclass with its own state": lambda: OwnState(1),
    "dataclass of pydantic": lambda: Checked(4),
    "dataclass in a function": local_dataclass,
    "dataclass with a lambda": lambda: Point(lambda: 1),
    "model": lambda: Price(gross=100),
    "model in a list": lambda: [{"p": Price(gross=100)}],
    "model with a before validator": lambda: Wrapped.model_validate({"at": "2026-01-01"}),
    "model_construct": lambda: Price.model_construct(gross="odd"),
    "model_construct without the fields": half_made,
    "model with private attributes": lambda: session(_token="T-1"),
    "model with a lock": lambda: session(_lock=threading.Lock()),
    "model with model_post_init": lambda: with_attributes(Computed(a=1), a=5),
    "model of a subclass": lambda: [Dog(name="rex", breed="pug", friends=[Dog(name="y", breed="z")])],
    "model, generic": lambda: [Page[int](items=[1]), Page[Price](items=[Price(gross=1)]), Page(items=["x"])],
    "model, generic of generics": lambda: Page[Page[int | None]](items=[Page[int | None](items=[1, None])]),
    "model, generic of lists": lambda: Page[dict[str, list[int]]](items=[{"a": [1]}]),
    "model, generic of a local class": page_of_local_models,
    "model with extra fields": lambda: Zoo(pet=Bird(name="b"), more={"x": (1,)}),  # type: ignore[call-arg]
    "model with an alias": lambda: Aliased(orderNumber=1),
    "model, frozen and strict": lambda: Frozen(a=(1,)),
    "model, RootModel": lambda: Names(["a"]),
    "model in a function": local_model,
    "secret": lambda: [SecretStr("a"), pydantic.SecretBytes(b"b")],
    "secret, generic": lambda: pydantic.Secret[int](5),
    "attrs": lambda: Attrs(1),
    "object": lambda: Plain([1]),
    "named tuple": lambda: [Pair(1), Pair((2,), Pair(3))],
    "named tuple, subclass": lambda: with_attributes(SubPair(1), extra="x"),
    "named tuple in a function": local_namedtuple,
    "enum by an unpicklable value": lambda: [Color.RED, Color.LIME],
    "enum by a function": lambda: [Op.ADD, Op.POINT, Op.PLUS],
    "enums": lambda: [Level.LOW, Word.TEA, Right.READ | Right.WRITE, Right(8), Way.UP | Way.DOWN, Way(0)],
    "enum in a function": local_enum,
    "subclass of str": lambda: with_attributes(Shouted("a"), loud=True),
    "subclasses of numbers": lambda: [Meters(1.5), Money(3)],
    "subclass of str with its own reduce": lambda: Coded("a"),
    "subclasses of containers": lambda: [Basket("me", 1, 2), Bag(a=1), Late(3)],
    "subclass of bytearray": lambda: type("B", (bytearray,), {})(b"x"),
    "subclass in a function": local_str,
    "exceptions": lambda: [ValueError("x", 1), OSError(2, "no", "f"), UnicodeDecodeError("a", b"", 0, 1, "r")],
    "exception with attributes": lambda: noted(Failure(3, why="w"), more=[1, (2,)]),
    "exception with a lock": lambda: noted(Failure(3), lock=threading.Lock()),
    "exception with a large argument": lambda: ValueError("x" * 300_000),
    "exception with many arguments": lambda: ValueError(*range(150)),
    "exception group": lambda: ExceptionGroup("g", [ValueError(n) for n in range(120)]),
    "exception in a function": local_error,
    "exception that is none": lambda: [SystemExit(3), KeyboardInterrupt()],
    "numpy scalars": lambda: [np.float32(1.5), np.int8(-3), np.str_("ü"), np.datetime64("2026-01", "M")],
    "numpy scalars in zeros": lambda: [np.bytes_(b"a\0"), np.str_("a\0")],
    "numpy arrays": lambda: [np.arange(6, dtype=">i2").reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.array(5)],
    "numpy strides": lambda: np.arange(10)[::3],
    "numpy text": lambda: [np.array(["a", "bc"]), np.array([b"x"])],
    "numpy objects": lambda: np.array([1, "x", None], dtype=object),
    "numpy strings": lambda: np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
    "numpy structured": lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "numpy aligned": structured,
    "numpy metadata": lambda: np.array([1], dtype=np.dtype("i4", metadata={"unit": "m"})),
    "numpy masked": lambda: np.ma.array([1, 2], mask=[0, 1]),
    "numpy dtype": lambda: np.dtype("i4"),
    "numpy void": lambda: np.zeros(1, dtype=[("a", "i4")])[0],
    "pandas numbers": lambda: pd.DataFrame({"a": [1, 2], "b": [1.5, math.nan]}),
    "pandas numbered columns": lambda: pd.DataFrame([[1, 2]]),
    "pandas mixed columns": lambda: pd.DataFrame({0: [1], "a": [2]}),
    "pandas text": lambda: pd.DataFrame({"a": ["x", None]}),
    "pandas objects": lambda: pd.DataFrame({"a": pd.Series(["x", None], dtype=object)}),
    "pandas None and nan": lambda: pd.DataFrame({"a": pd.Series([None, math.nan, "x"], dtype=object)}),
    "pandas lists": lambda: pd.DataFrame({"a": pd.Series([[1], [2, 3]], dtype=object)}),
    "pandas tuples": lambda: pd.DataFrame({"a": pd.Series([(1,), (2,)], dtype=object)}),
    "pandas dicts": lambda: pd.DataFrame({"a": pd.Series([{"a": 1}, {"b": 2}], dtype=object)}),
    "pandas dates": lambda: pd.DataFrame({"a": pd.Series([dt.date(2026, 1, 1)], dtype=object)}),
    "pandas categories": lambda: pd.DataFrame({"a": pd.Categorical(["x"], categories=["y", "x"], ordered=True)}),
    "pandas zones": lambda: pd.DataFrame({"a": pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin")}),
    "pandas frequency": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026-01-01", periods=2, freq="D")),
    "pandas nullable": lambda: pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "pandas levels": lambda: pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("a", 1)], names=["x", "y"])),
    "pandas sparse": lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
    "pandas flags": lambda: pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    "pandas attrs": lambda: with_attributes(pd.DataFrame({"a": [1]}), _attrs={"unit": "m"}),
    "pandas empty": lambda: pd.DataFrame(),
    "pandas series": lambda: pd.Series([1.5], name=("a", 1), index=pd.date_range("2026-01-01", periods=1, freq="D")),
    "pandas series of sets": lambda: pd.Series([{1}], dtype=object),
    "pandas index": lambda: pd.Index([1, 2], name="n"),
}  # fmt: skip


def polars_kinds() -> dict[str, Callable[[], Any]]:
    try:
        import polars as pl
    except ImportError:
        return {}
    return {
        "polars": lambda: pl.DataFrame({"a": [1, None], "b": ["x", "y"]}),
        "polars nested": lambda: pl.DataFrame({"a": [[1], [2]], "s": [{"x": 1}, {"x": None}]}),
        "polars categories": lambda: pl.DataFrame({"a": ["x"]}, schema={"a": pl.Enum(["x", "z"])}),
        "polars series": lambda: pl.Series("n", [1.5]),
        "polars objects": lambda: pl.DataFrame({"o": pl.Series([Plain(1)], dtype=pl.Object)}),
        "polars series of objects": lambda: pl.Series("o", [Plain(1)], dtype=pl.Object),
    }


KINDS |= polars_kinds()

REFUSED_ALWAYS = {
    "subclass of a numpy array with attributes",
    "subclass of a numpy scalar",
    "generator",
    "lock",
    "lock inside",
    "open text file",
    "open binary file",
    "match",
    "model with a lock",
    "exception with a lock",
    "polars objects",
    "polars series of objects",
}
NEEDS_A_KEY = {
    "subclass of a numpy array",
    "subclass of defaultdict",
    "mappingproxy",
    "ChainMap",
    "Ellipsis",
    "SimpleNamespace",
    "StringIO",
    "UserDict",
    "address",
    "array.array",
    "attrs",
    "class",
    "dataclass in a function",
    "dataclass with a lambda",
    "dataclass with its own state",
    "defaultdict with a function",
    "defaultdict with a lambda",
    "enum in a function",
    "exception in a function",
    "exception that is none",
    "function",
    "lambda",
    "memoryview in an object",
    "model in a function",
    "module",
    "named tuple in a function",
    "numpy aligned",
    "numpy dtype",
    "numpy masked",
    "numpy metadata",
    "numpy objects",
    "numpy scalars in zeros",
    "numpy strings",
    "numpy void",
    "object",
    "partial",
    "secret, generic",
    "subclass in a function",
    "subclass of bytearray",
    "subclass of datetime",
    "subclass of str with its own reduce",
    "model, generic of a local class",
}


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, and with the same attributes, all the way down."""
    if type(one) is not type(other):
        return type(one).__qualname__ == type(other).__qualname__ and "<locals>" in type(one).__qualname__
    if isinstance(one, enum.Flag):
        return bool(one == other)  # one with bits that have no name is another object each time, before Python 3.11.4
    if isinstance(one, enum.Enum | type | types.ModuleType | threading.Thread):
        return one is other or "<locals>" in str(one)
    if isinstance(one, types.FunctionType):
        return one.__code__.co_code == other.__code__.co_code
    library = type(one).__module__.partition(".")[0]
    if library == "pandas":
        return same_pandas(one, other)
    if library == "polars":
        return one.equals(other) and repr(one) == repr(other)
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.dtype.metadata == other.dtype.metadata
            and one.shape == other.shape
            and (not one.dtype.names or one.dtype.isalignedstruct == other.dtype.isalignedstruct)
            and repr(one) == repr(other)
        )
    if isinstance(one, functools.partial):
        return same((one.func, one.args, one.keywords), (other.func, other.args, other.keywords))
    if isinstance(one, memoryview):
        return one == other and (one.readonly, one.format, one.shape) == (other.readonly, other.format, other.shape)
    if not same_attributes(one, other):
        return False
    if dataclasses.is_dataclass(one):
        return True
    if isinstance(one, BaseException):
        return same(one.args, other.args) and str(one) == str(other)
    if isinstance(one, BaseModel):
        return one == other and one.model_fields_set == other.model_fields_set
    if isinstance(one, collections.defaultdict) and not same(one.default_factory, other.default_factory):
        return False
    if isinstance(one, collections.deque) and one.maxlen != other.maxlen:
        return False
    if isinstance(one, dt.datetime | dt.time):
        return repr(one) == repr(other) and same(one.tzinfo, other.tzinfo)
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, list(one.items()), list(other.items())))
    if isinstance(one, list | tuple | collections.deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, io.StringIO):
        return one.getvalue() == other.getvalue()
    return one == other or repr(one) == repr(other)


def same_attributes(one: Any, other: Any) -> bool:
    left = {name: value for name, value in getattr(one, "__dict__", {}).items() if name != "__orig_class__"}
    right = {name: value for name, value in getattr(other, "__dict__", {}).items() if name != "__orig_class__"}
    if isinstance(one, BaseModel):
        left |= {"private": one.__pydantic_private__}
        right |= {"private": other.__pydantic_private__}
    for base in type(one).__mro__ if type(one).__module__ == __name__ else ():
        for name in getattr(base, "__slots__", ()) if isinstance(getattr(base, "__slots__", ()), tuple) else ():
            if not name.startswith("__"):
                left[name], right[name] = getattr(one, name, None), getattr(other, name, None)
    return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)


def same_pandas(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_index_type=True, check_column_type=True)
        values = same(list(one.itertuples(name=None)), list(other.itertuples(name=None)))
        return (
            values
            and same(list(one.columns), list(other.columns))
            and one.flags == other.flags
            and one.attrs == other.attrs
        )
    if isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=True)
        return same(one.name, other.name) and same(list(one), list(other))
    return one is other or (bool(np.all(one == other)) and repr(one) == repr(other))


def context() -> tuple[str, ...]:
    return ("call", "1", "shop.order")


def as_result(value: Any) -> Any:
    return unpack_value(pack_value(value, context=context), context=context)


def as_argument(value: Any) -> Any:
    packed = pack_call([0, value], {"k": value}, context=context)
    args, kwargs = unpack_call(packed.body, context=context, upstream_values={})
    assert same(args[1], kwargs["k"])
    return args[1]


@pytest.fixture(params=["without a key", "with a key"])
def key(request: pytest.FixtureRequest) -> Iterator[bool]:
    given = request.param == "with a key"
    set_key_ring((lambda: KeyRing([b"k" * 32])) if given else (lambda: None))
    yield given
    set_key_ring(lambda: None)


@pytest.mark.parametrize("way", [as_argument, as_result])
@pytest.mark.parametrize("kind", KINDS)
def test_what_arrives_equals_what_was_sent_or_the_sender_gets_an_error(kind: str, way: Any, key: bool) -> None:
    value = KINDS[kind]()
    may_be_refused = kind in REFUSED_ALWAYS or (not key and (kind in NEEDS_A_KEY or kind.startswith("pandas")))
    try:
        arrived = way(value)
    except SerializationError as refusal:
        told = str(refusal)
        if isinstance(value, io.IOBase):
            value.close()
    else:
        assert kind not in REFUSED_ALWAYS
        assert same(value, arrived), f"{value!r} arrived as {arrived!r}"
        return
    assert may_be_refused, told
    assert "cannot be packed" in told
    assert key or kind in REFUSED_ALWAYS or "ORCHESTRATOR_SECRET_KEY" in told
