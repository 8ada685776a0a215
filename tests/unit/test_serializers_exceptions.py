"""Exceptions on their way from a worker to whoever asked."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from orchestrator import task
from orchestrator.errors import RemoteError, RemoteTraceback, RunFailed, SerializationError, TaskTimeout
from orchestrator.serializers import PayloadLimits, pack_exception, pack_value, unpack_exception, unpack_value

LIMITS = PayloadLimits()


class OddError(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.lock = object()


class SilentError(ValueError):
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"no {self.name}"


class Outer:
    class InnerError(KeyError):
        pass


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class OwnGroup(ExceptionGroup[Exception]):
    def derive(self, excs: Any) -> Any:
        return OwnGroup(self.message, excs)


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as caught:
        return caught


def back(exc: BaseException) -> BaseException:
    return unpack_exception(pack_exception(raised(exc), LIMITS))


BUILTIN = [
    ValueError(),
    ValueError("a", 1, None),
    KeyError("tea"),
    OSError("text"),
    FileNotFoundError(2, "No such file", "/a"),
    OSError(1, "x", "a", None, "b"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    SyntaxError("bad", ("f.py", 1, 2, "x = ", 1, 3)),
    StopIteration(3),
    ImportError("gone", name="mod", path="/p"),
    ZeroDivisionError("division by zero"),
    TimeoutError("late"),
    AttributeError("no x", name="x", obj=1),
]


@pytest.mark.parametrize("exc", BUILTIN, ids=repr)
def test_builtin_exceptions_come_back_as_themselves(exc: Exception) -> None:
    arrived = back(exc)
    assert type(arrived) is type(exc)
    assert arrived.args == exc.args
    assert str(arrived) == str(exc)
    for name in ("errno", "filename", "filename2", "name", "path", "value", "lineno", "start", "reason"):
        assert getattr(arrived, name, None) == getattr(exc, name, None)


def test_an_init_of_its_own_does_not_run_and_its_attributes_come_along() -> None:
    arrived = back(OddError(3, detail="odd"))
    assert type(arrived) is OddError
    assert arrived.args == ("3: odd",)
    assert vars(arrived) == {"code": 3, "detail": "odd"}  # the object() cannot travel
    assert str(back(SilentError("tea"))) == "no tea"


def test_nested_classes_are_found() -> None:
    assert type(back(Outer.InnerError("x"))) is Outer.InnerError


def test_our_own_errors_come_back() -> None:
    arrived = back(TaskTimeout())
    assert type(arrived) is TaskTimeout
    assert str(arrived) == str(TaskTimeout())
    assert str(back(RunFailed("no", state=None))) == "no"
    assert str(back(RemoteError("a.B", "c", "d"))) == "a.B: c"


def test_what_cannot_be_packed_is_told() -> None:
    exc = back(ValueError(object, 1, print))
    assert exc.args == (repr(object), 1, repr(print))


def test_the_remote_traceback_prints() -> None:
    def deep() -> None:
        raise ValueError("the reason")

    try:
        try:
            deep()
        except ValueError as cause:
            raise KeyError("the rest") from cause
    except KeyError as exc:
        arrived = unpack_exception(pack_exception(exc, LIMITS))
    assert isinstance(arrived.__cause__, RemoteTraceback)
    printed = "".join(traceback.format_exception(arrived))
    for text in ("in deep", "the reason", "direct cause", "the rest"):
        assert text in printed


def test_a_traceback_begins_in_the_users_code() -> None:
    @task
    def fails() -> None:
        raise ValueError("here")

    state = fails(return_state=True)
    assert "orchestrator/execution/task_steps.py" in "".join(traceback.format_exception(state.data))
    text = str(unpack_exception(pack_exception(state.data)).__cause__)
    assert "in fails" in text
    assert "orchestrator/" not in text.replace(str(Path(__file__).parents[2]), "")


def test_a_long_traceback_keeps_its_end() -> None:
    arrived = back(ValueError("\u00e4" * 100_000 + "END"))
    text = str(arrived.__cause__)
    assert len(text.encode()) <= 65_536 + 1
    assert text.rstrip().endswith("END")


def test_a_class_that_is_not_loaded_arrives_as_a_remote_error() -> None:
    cls = type("GoneError", (Exception,), {"__module__": "gone.away"})
    arrived = back(cls("text"))
    assert isinstance(arrived, RemoteError)
    assert (arrived.type_name, arrived.message) == ("gone.away.GoneError", "text")
    assert "GoneError: text" in arrived.traceback
    assert "gone" not in sys.modules


def test_a_class_inside_a_function_arrives_as_a_remote_error() -> None:
    class LocalError(Exception):
        pass

    assert isinstance(back(LocalError()), RemoteError)


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_is_no_exception_arrives_as_a_remote_error(exc: BaseException) -> None:
    arrived = back(exc)
    assert isinstance(arrived, RemoteError)
    assert arrived.type_name == type(exc).__name__


def test_notes_come_along() -> None:
    exc = ValueError()
    exc.add_note("first")
    exc.add_note("second \udcff")
    assert back(exc).__notes__ == ["first", "second \udcff"]


def test_groups_come_with_their_members() -> None:
    inner = ExceptionGroup("inner", [OddError(1, detail="d")])
    arrived = back(ExceptionGroup("outer", [ValueError("v"), inner, KeyError("k")]))
    assert isinstance(arrived, ExceptionGroup)
    assert arrived.message == "outer"
    assert [type(member) for member in arrived.exceptions] == [ValueError, ExceptionGroup, KeyError]
    assert arrived.subgroup(OddError) is not None
    own = back(OwnGroup("own", [ValueError()]))
    assert type(own) is OwnGroup
    assert isinstance(own.split(ValueError)[0], OwnGroup)


def test_groups_with_members_that_are_no_exceptions() -> None:
    arrived = back(BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()]))
    assert isinstance(arrived, ExceptionGroup)
    assert [type(member) for member in arrived.exceptions] == [RemoteError, ValueError]
    assert "BaseExceptionGroup" in arrived.__notes__[0]


def test_deep_and_wide_groups_end_somewhere() -> None:
    exc: Exception = ValueError()
    for _ in range(200):
        exc = ExceptionGroup("g", [exc])
    assert isinstance(back(exc), ExceptionGroup)
    assert isinstance(back(ExceptionGroup("g", [ValueError()] * 1_000)), ExceptionGroup)


def test_exceptions_that_hold_exceptions_twice_do_not_grow_without_end() -> None:
    exc: Exception = ValueError("innermost")
    for _ in range(40):
        exc, inner = KeyError("wrapped", exc), exc
        exc.inner = inner  # type: ignore[attr-defined]
    assert len(pack_exception(exc, LIMITS)) < 1_000_000
    assert isinstance(back(KeyError(ValueError(1))).args[0], ValueError)


def test_hostile_exceptions_are_still_reported() -> None:
    assert type(back(BrokenError())) is BrokenError
    assert isinstance(back(ValueError(BrokenError())), ValueError)

    class Worse(Exception):
        @property
        def args(self) -> Any:  # type: ignore[override]
            raise RuntimeError

    assert isinstance(back(Worse()), RemoteError)


def test_a_large_argument_is_told_and_the_exception_stays_small() -> None:
    exc = back(ValueError("x" * 10_000_000))
    assert len(exc.args[0]) < 5_000
    small = PayloadLimits(max_bytes=100)
    assert isinstance(unpack_exception(pack_exception(ValueError("x" * 1_000), small)), RemoteError)


def test_a_cycle_of_causes_ends() -> None:
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    assert str(back(a)) == "a"


def test_a_recursion_error_comes_back() -> None:
    def forever() -> None:
        forever()

    with pytest.raises(RecursionError) as caught:
        forever()
    assert type(unpack_exception(pack_exception(caught.value, LIMITS))) is RecursionError


def test_exceptions_travel_as_values_too() -> None:
    values = [ValueError(1, (2,)), SilentError("tea"), ExceptionGroup("g", [KeyError("k")])]
    arrived = unpack_value(pack_value(values, context=tuple), context=tuple)
    assert [type(value) for value in arrived] == [ValueError, SilentError, ExceptionGroup]
    assert arrived[0].args == (1, (2,))
    assert arrived[0].__cause__ is None


def test_text_with_lone_surrogates_does_not_hurt() -> None:
    assert back(ValueError("\udcff")).args == ("\udcff",)
    arrived = unpack_value(pack_value([ValueError("\udcff")], context=tuple), context=tuple)
    assert arrived[0].args == ("\udcff",)


def test_other_bytes_are_no_exception() -> None:
    for body in (b"", b"\x01\xc0", pack_value([1], context=tuple), b"\x02{}"):
        with pytest.raises(SerializationError):
            unpack_exception(body)


@pytest.mark.parametrize("count", [1, 3])
def test_passing_through_several_hands_keeps_the_first_traceback(count: int) -> None:
    exc = raised(ValueError("first"))
    for _ in range(count):
        exc = raised(unpack_exception(pack_exception(exc, LIMITS)))
    assert "".join(traceback.format_exception(exc)).count("in raised") == count + 1


def test_a_long_text_of_an_error_is_cut_without_quotes_around_it() -> None:
    back = unpack_exception(pack_exception(ValueError("x" * 300_000)))
    assert str(back).startswith("xxx")
    assert str(back).endswith("xxx... (300,000 characters, cut here)")
