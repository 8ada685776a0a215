"""Arguments against signatures, and what a map makes of its arguments."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.errors import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    ParameterTypeError,
    ReservedArgumentError,
)
from orchestrator.futures import PrefectFuture
from orchestrator.runnables.binding import Signature, allow_failure, is_mapped, mapped_arguments, unmapped
from orchestrator.runs.run_ids import new_run_id


def plain(a: int, b: int = 2) -> None: ...
def only_positional(a: int, /, b: int) -> None: ...
def only_named(*, a: int, b: int = 2) -> None: ...
def anything(*args: int, **kwargs: int) -> None: ...


class Model(BaseModel):
    number: int


GOOD: list[tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    (plain, (1,), {}, {"a": 1, "b": 2}),
    (plain, (1, 3), {}, {"a": 1, "b": 3}),
    (plain, (), {"b": 3, "a": 1}, {"a": 1, "b": 3}),
    (only_positional, (1,), {"b": 2}, {"a": 1, "b": 2}),
    (only_named, (), {"a": 1}, {"a": 1, "b": 2}),
    (anything, (1, 2), {"x": 3}, {"args": (1, 2), "kwargs": {"x": 3}}),
    (anything, (), {}, {"args": (), "kwargs": {}}),
]


@pytest.mark.parametrize(("fn", "args", "kwargs", "parameters"), GOOD)
def test_a_call_that_fits(fn: Any, args: Any, kwargs: Any, parameters: Any) -> None:
    signature = Signature(fn)
    signature.check(args, kwargs)
    assert signature.parameters(args, kwargs) == parameters


@pytest.mark.parametrize(
    ("fn", "args", "kwargs"),
    [
        (plain, (), {}),
        (plain, (1, 2, 3), {}),
        (plain, (1,), {"a": 1}),
        (plain, (1,), {"c": 1}),
        (only_positional, (), {"a": 1, "b": 2}),
        (only_named, (1,), {}),
        (only_named, (), {"b": 1}),
    ],
)
def test_a_call_that_does_not_fit(fn: Any, args: Any, kwargs: Any) -> None:
    with pytest.raises(ParameterBindError, match=fn.__name__):
        Signature(fn).check(args, kwargs)


def test_the_first_parameter_can_be_bound_already() -> None:
    signature = Signature(plain, skip_first=True)
    signature.check((5,), {})
    with pytest.raises(ParameterBindError):
        signature.check((1, 2), {})


@pytest.mark.parametrize("name", ["return_state", "wait_for"])
def test_names_that_mean_something_else(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def f(a, {name}=None): ...", scope)
    with pytest.raises(ReservedArgumentError, match=name):
        Signature(scope["f"])


def typed(count: int, model: Model | None = None, anything: Any = None, *rest: int) -> None: ...


def test_values_become_what_their_annotations_say() -> None:
    args, kwargs = Signature(typed).validated(("3",), {"model": {"number": "4"}})
    assert list(args) == [3, Model(number=4)]
    assert kwargs == {}


@pytest.mark.parametrize(
    ("args", "told"), [(("three",), "'count'"), ((None,), "'count'"), ((1, {"number": "x"}), "'model'")]
)
def test_values_that_cannot_become_so(args: Any, told: str) -> None:
    with pytest.raises(ParameterTypeError, match=told):
        Signature(typed).validated(args, {})


def test_handles_are_not_checked() -> None:
    future: PrefectFuture[int] = PrefectFuture(new_run_id())
    for value in (future, [future], {"x": (future,)}, allow_failure(future)):
        args, _ = Signature(typed).validated((value,), {})
        assert args[0] is value


def unreadable(a: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_annotations_that_cannot_be_read_are_not_checked() -> None:
    assert list(Signature(unreadable).validated(("x",), {})[0]) == ["x"]


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        ([1], True),
        ((1,), True),
        ({1: 2}, True),
        (range(3), True),
        (iter([1]), True),
        ("text", False),
        (b"bytes", False),
        (bytearray(b"x"), False),
        (7, False),
        (None, False),
        (io.StringIO("a\nb"), False),
        (Model(number=1), False),
        (unmapped([1]), False),
        (allow_failure([1]), False),
    ],
)
def test_what_a_map_goes_through(value: Any, mapped: bool) -> None:
    assert is_mapped(value) is mapped


def rows(fn: Any, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
    made = mapped_arguments(Signature(fn), args, kwargs)
    listed = [(tuple(row), named) for row, named in made]
    assert len(listed) == len(made)
    assert [(tuple(row), named) for row, named in made] == listed  # as often as it is asked
    return listed


def test_the_rows_of_a_map() -> None:
    assert rows(plain, [1, 2]) == [((1,), {}), ((2,), {})]
    assert rows(plain, [1, 2], b=3) == [((1,), {"b": 3}), ((2,), {"b": 3})]
    assert rows(plain, 1, b=(3, 4)) == [((1,), {"b": 3}), ((1,), {"b": 4})]
    assert rows(only_named, a=[1, 2], b=unmapped([9])) == [((), {"a": 1, "b": [9]}), ((), {"a": 2, "b": [9]})]
    assert rows(plain, (n for n in (1, 2)), "text") == [((1, "text"), {}), ((2, "text"), {})]
    assert rows(plain, []) == []


def test_maps_that_are_none() -> None:
    with pytest.raises(MappingMissingIterable):
        rows(plain, 1, b="text")
    with pytest.raises(MappingLengthMismatch, match=r"#1 has 2.*b has 0"):
        rows(plain, [1, 2], b=[])
    with pytest.raises(ParameterBindError):
        rows(plain, [1], c=[1])
