"""Whether two functions do the same, so that it makes no difference which of them a worker runs.

Two that are written alike may still read other globals: in modules of one name, or in namespaces of ``exec``. A script
that is imported as well (``import jobs`` in ``python jobs.py``) defines everything twice, and both mean the same.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Final

from orchestrator.runnables.identity import cells_of, described_code, module_of, qualname_of

MAX_DEPTH: Final = 20  # of values in values that are compared part by part
_MISSING: Final = object()


class Identity:
    """What a task is made of; its copies with other options have it in common.

    Args:
        fn: the function.
        kind: whether it is a method, a class method or a static method.
        options: those it was made with.
    """

    __slots__ = ("_fn", "_kind", "_options")

    def __init__(self, fn: Any, kind: str, options: Any) -> None:
        self._fn, self._kind, self._options = fn, kind, options

    def same_as(self, other: Identity) -> bool:
        """Whether it makes no difference which of the two is run."""
        return _Comparison().alike(self, other)

    @property
    def parts(self) -> tuple[Any, ...]:
        """What is compared."""
        return self._kind, self._options, self._fn


def same_function(one: Any, other: Any) -> bool:
    """Whether two functions, partials or callable objects do the same: code, defaults, values held, globals read.

    >>> same_function(lambda x: x + 1, lambda x: x + 1), same_function(lambda x: x + 1, lambda x: x + 2)
    (True, False)
    """
    return _Comparison().alike(one, other)


class _Comparison:
    def __init__(self) -> None:
        self._open: set[tuple[int, int]] = set()  # pairs that are being compared: a recursive function is one

    def alike(self, one: Any, other: Any) -> bool:
        if one is other:
            return True
        pair = id(one), id(other)
        if pair in self._open:
            return True
        if len(self._open) > MAX_DEPTH:
            return False
        self._open.add(pair)
        try:
            return self._alike(one, other)
        finally:
            self._open.discard(pair)

    def _alike(self, one: Any, other: Any) -> bool:
        if isinstance(one, type) or isinstance(other, type):
            return _is_one_class(one, other)
        if not _is_one_class(type(one), type(other)):
            return _equal(one, other)
        if isinstance(one, types.FunctionType):
            return self._functions(one, other)
        if isinstance(one, types.MethodType):
            return self._all(((one.__func__, other.__func__), (one.__self__, other.__self__)))
        if isinstance(one, functools.partial):
            return self._all(((one.func, other.func), (one.args, other.args), (one.keywords, other.keywords)))
        if isinstance(one, Identity):
            return self._all(zip(one.parts, other.parts, strict=True))
        if isinstance(mark := getattr(one, "identity", None), Identity):  # a task that the code calls
            return self.alike(mark, other.identity)
        if type(one) in (list, tuple):
            return len(one) == len(other) and self._all(zip(one, other, strict=True))
        if type(one) is dict:
            return one.keys() == other.keys() and self._all((value, other[key]) for key, value in one.items())
        return _equal(one, other) or self._objects(one, other)

    def _all(self, pairs: Any) -> bool:
        return all(self.alike(one, other) for one, other in pairs)

    def _functions(self, one: types.FunctionType, other: types.FunctionType) -> bool:
        return (
            described_code(one.__code__) == described_code(other.__code__)
            and self._all(
                (
                    (one.__defaults__, other.__defaults__),
                    (one.__kwdefaults__, other.__kwdefaults__),
                    (cells_of(one), cells_of(other)),
                )
            )
            and self._globals(one, other)
        )

    def _globals(self, one: types.FunctionType, other: types.FunctionType) -> bool:
        mine, theirs = one.__globals__, other.__globals__
        if mine is theirs or _is_one_file(one, other):
            return True
        return self._all((mine.get(name, _MISSING), theirs.get(name, _MISSING)) for name in _names_in(one.__code__))

    def _objects(self, one: Any, other: Any) -> bool:
        """Callable objects, and what wraps functions (``functools.lru_cache``): by all that they hold."""
        if not callable(one) or not hasattr(one, "__dict__") or type(one).__flags__ & _HAS_ITEMS:
            return False
        held, theirs = ({name: held for name, held in vars(of).items() if name != "__module__"} for of in (one, other))
        return bool(held) and held.keys() == theirs.keys() and self._all((held[name], theirs[name]) for name in held)


_HAS_ITEMS: Final = sum(1 << bit for bit in range(24, 30))  # marks subclasses of int, list, tuple, bytes, str, dict


def _is_one_class(one: Any, other: Any) -> bool:
    """Whether they are one class, or one class of a script that is imported as well."""
    if one is other:
        return True
    if not (isinstance(one, type) and isinstance(other, type)) or one.__module__ == other.__module__:
        return False
    return module_of(one) == module_of(other) and qualname_of(one) == qualname_of(other)


def _is_one_file(one: types.FunctionType, other: types.FunctionType) -> bool:
    """Whether both were made from one file, which was imported again, or run as a script and imported."""
    file = one.__globals__.get("__file__")
    return (
        file is not None
        and file == other.__globals__.get("__file__")
        and one.__code__.co_filename == other.__code__.co_filename
        and not one.__code__.co_filename.startswith("<")
    )


def _names_in(code: types.CodeType) -> set[str]:
    """Names that code may look up among its globals, functions inside it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays, and whatever else cannot be compared
        return False


__all__ = ["Identity", "same_function"]
