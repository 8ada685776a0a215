"""Which classes come back as themselves, and what happens when they change."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import Callable, Iterator
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestrator.errors import SerializationError
from orchestrator.serializers import KeyRing, known_types, pack_value, set_key_ring, unpack_value

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]


def context() -> tuple[str, ...]:
    return ("result",)


def back(value: Any) -> Any:
    return unpack_value(pack_value(value, context=context), context=context)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_types, "_classes", dict(known_types._classes))


class Size(enum.Enum):
    BIG = 1


class Shade(enum.Enum):
    DARK = "dark"


@dataclasses.dataclass
class Part:
    size: Size


@dataclasses.dataclass
class Whole:
    parts: list[Part]
    parent: Optional[Whole] = None  # noqa: UP045


class Item(BaseModel):
    part: Part
    shade: Shade = Shade.DARK


class Spot(NamedTuple):
    whole: Whole


class Options(TypedDict, total=False):
    spot: Spot


T = TypeVar("T")
B = TypeVar("B", bound=Item)


@dataclasses.dataclass
class Holder(Generic[T]):
    held: T


UserId = NewType("UserId", Item)


def knows(*classes: type) -> bool:
    return all(known_types.is_known(cls) for cls in classes)


def whole(a: Whole) -> None: ...
def item(a: Item | None) -> None: ...
def union(a: Union[int, Item]) -> None: ...  # noqa: UP007
def annotated(a: Annotated[Item, "meta"]) -> None: ...
def listed(a: dict[str, list[tuple[Item, ...]]]) -> None: ...
def typed_dict(a: Options) -> None: ...
def literal(a: Literal[Shade.DARK]) -> None: ...
def called(a: Callable[[Item], None]) -> None: ...
def returned() -> Iterator[Item]: ...  # type: ignore[empty-body]
def generic(a: Holder[Item]) -> None: ...
def bounded(a: B) -> B: ...  # type: ignore[empty-body]
def new_type(a: UserId) -> None: ...
def variadic(*a: Item, **k: Whole) -> None: ...
def half_resolvable(a: Nothing, b: Item) -> None: ...


class Holds:
    def method(self, a: Item) -> None: ...

    @classmethod
    def class_method(cls, a: Item) -> None: ...

    @staticmethod
    def static_method(a: Item) -> None: ...

    def __call__(self, a: Item) -> None: ...


@functools.wraps(item)
def wrapper(*args: Any) -> None: ...


@pytest.mark.parametrize(
    ("fn", "classes"),
    [
        (whole, [Whole, Part, Size]),
        (item, [Item, Part, Size, Shade]),
        (union, [Item]),
        (annotated, [Item]),
        (listed, [Item]),
        (typed_dict, [Spot, Whole, Size]),
        (literal, [Shade]),
        (called, [Item]),
        (returned, [Item]),
        (generic, [Holder, Item]),
        (bounded, [Item]),
        (new_type, [Item]),
        (variadic, [Item, Whole]),
        (half_resolvable, [Item]),
        (Holds().method, [Item]),
        (Holds.class_method, [Item]),
        (Holds.static_method, [Item]),
        (Holds(), [Item]),
        (functools.partial(item, None), [Item]),
        (wrapper, [Item]),
    ],
)
def test_annotations_are_followed(fn: Any, classes: list[type]) -> None:
    known_types._classes.clear()
    known_types.learn_from_callable(fn)
    assert knows(*classes)


@pytest.mark.parametrize("fn", [print, len, int, lambda x: x, functools.partial(max, 1), type("X", (), {})])
def test_functions_without_annotations_teach_nothing_and_raise_nothing(fn: Any) -> None:
    known_types.learn_from_callable(fn)


def test_a_class_inside_the_function_that_closes_over_it_is_found() -> None:
    @dataclasses.dataclass
    class Inner:
        a: int

    def use(inner: Inner) -> Inner:
        return Inner(inner.a)

    known_types.learn_from_callable(use)
    assert back(Inner(1)) == Inner(1)


def test_plain_classes_are_not_learned() -> None:
    known_types.learn(Holds)
    assert not knows(Holds)


def version_of(*fields: Any, name: str = "Versioned") -> Any:
    cls = dataclasses.make_dataclass(name, fields)
    cls.__module__ = __name__
    cls.__qualname__ = name
    return cls


def sent_to(old: Any, new: Any) -> Any:
    """Written by a process that knows ``old``, read by one that knows ``new``."""
    known_types.learn(type(old))
    body = pack_value(old, context=context)
    known_types.learn(new)
    return unpack_value(body, context=context)


def test_new_fields_get_their_defaults() -> None:
    fields: list[Any] = [("a", int), ("b", int, 5), ("c", list, dataclasses.field(default_factory=list))]
    new = version_of(*fields)
    assert sent_to(version_of(("a", int))(1), new) == new(1, 5, [])


def test_fields_that_are_gone_are_ignored() -> None:
    new = version_of(("a", int))
    assert sent_to(version_of(("a", int), ("b", int))(1, 2), new) == new(1)


def test_a_new_field_without_default_is_simply_absent() -> None:
    arrived = sent_to(version_of(("a", int))(1), version_of(("a", int), ("b", int)))
    assert arrived.a == 1
    assert not hasattr(arrived, "b")


def test_a_dataclass_that_became_a_model_gets_the_defaults_of_its_new_fields() -> None:
    class Versioned(BaseModel):
        a: int
        b: int = 2

    Versioned.__module__, Versioned.__qualname__ = __name__, "Versioned"
    assert sent_to(version_of(("a", int))(1), Versioned) == Versioned(a=1)


def test_a_pydantic_dataclass_gets_the_defaults_of_its_new_fields() -> None:
    import pydantic.dataclasses

    fields: list[Any] = [
        ("a", int),
        ("b", int, Field(5, gt=1)),
        ("c", list, Field(default_factory=list)),
        ("d", int, Field()),
    ]
    new: Any = pydantic.dataclasses.dataclass(version_of(*fields[:3]))
    assert sent_to(version_of(("a", int))(1), new) == new(1, 5, [])
    required = version_of(fields[3], ("a", int, 0))
    arrived = sent_to(version_of(("a", int))(1), pydantic.dataclasses.dataclass(required))
    assert "d" not in vars(arrived)


def test_named_tuples_may_grow_at_the_end_and_shrink() -> None:
    def named(*fields: str, **defaults: Any) -> Any:
        from collections import namedtuple

        return namedtuple("Grown", fields, defaults=list(defaults.values()), module=__name__)

    two, three = named("a", "b"), named("a", "b", "c", c=3)
    assert sent_to(two(1, 2), three) == three(1, 2, 3)
    assert sent_to(three(1, 2, 3), two) == two(1, 2)
    with pytest.raises(SerializationError, match="'c'"):
        sent_to(two(1, 2), named("a", "b", "c"))


def test_an_enum_member_that_is_gone_is_an_error_that_names_it() -> None:
    def grades(**members: int) -> Any:
        return getattr(enum, "Enum")("Grade", members, module=__name__)  # noqa: B009 - mypy wants one name per enum

    with pytest.raises(SerializationError, match="Grade"):
        sent_to(grades(A=1, B=2).B, grades(A=1))


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, validate_by_alias=True)
    number: int = Field(alias="orderNumber")
    inner: Strict | None = None

    @field_validator("number")
    @classmethod
    def positive(cls, number: int) -> int:
        if number < 0:
            raise ValueError("must be positive")
        return number


def test_models_come_back_by_field_name_also_when_they_have_aliases() -> None:
    known_types.learn(Strict)
    model = Strict(orderNumber=1, inner=Strict(orderNumber=2))
    assert back(model) == model


def model(**fields: Any) -> Any:
    made = pydantic.create_model("Changed", **fields)
    made.__module__, made.__qualname__ = __name__, "Changed"
    return made


def test_a_model_whose_fields_changed_is_validated_by_the_readers_class() -> None:
    old, new = model(a=(int, ...), gone=(str, "x")), model(a=(int, ...), b=(list[int], Field(default_factory=list)))
    assert sent_to(old(a=1), new) == new(a=1, b=[])
    assert sent_to(model(a=(str, ...))(a="7"), model(a=(int, ...))).a == 7


def test_a_model_of_other_fields_that_refuses_says_so_without_showing_values() -> None:
    for old, told in (
        (model(a=(str, ...))(a="hidden"), "a: Input should be a valid integer"),
        (model()(), "a: Field required"),
    ):
        with pytest.raises(SerializationError, match=rf"Changed refuses the fields that were sent: {told}") as caught:
            sent_to(old, model(a=(int, ...)))
        assert "hidden" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_a_class_of_the_script_goes_by_the_name_that_workers_import_once_the_script_has_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cls = version_of(("a", int), name="OfScript")
    cls.__module__ = "__main__"
    monkeypatch.setitem(vars(sys.modules["__main__"]), "OfScript", cls)
    monkeypatch.setattr(known_types, "_script_is_imported", False)
    set_key_ring(lambda: KeyRing([b"k" * 32]))
    try:
        by_value = pack_value(cls(1), context=context)
        known_types.expect_script_at_workers("elsewhere")
        assert len(pack_value(cls(1), context=context)) == len(by_value)
        known_types.expect_script_at_workers("__main__")
        by_name = pack_value(cls(1), context=context)
        assert known_types.name_of(cls).encode() in by_name
        assert unpack_value(by_name, context=context) == cls(1)
    finally:
        set_key_ring(lambda: None)


def test_a_class_that_is_not_loaded_where_it_is_read_is_an_error_that_says_what_to_do() -> None:
    known_types.learn(Local := version_of(("a", int), name="Local"))
    body = pack_value(Local(1), context=context)
    known_types._classes.clear()
    with pytest.raises(SerializationError, match=rf"{__name__}:Local is not loaded here: import its module"):
        unpack_value(body, context=context)
