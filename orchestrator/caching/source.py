"""The text, the code and the surrounding constants of a function, which cache keys are made from."""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from orchestrator.caching.hashing import stable_hash

_sources: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


def source_of(fn: Callable[..., Any]) -> str | None:
    """The text that stands for a function: its source, else its compiled code, else ``None``. Read once per function.

    >>> source_of(lambda: 1) is not None
    True
    """
    try:
        return _sources[fn]
    except (KeyError, TypeError):
        source = _read_source(fn)
    with contextlib.suppress(TypeError):  # not hashable or not weakly referable: read again next time
        _sources[fn] = source
    return source


def _read_source(fn: Callable[..., Any]) -> str | None:
    candidates = (fn, type(fn)) if not inspect.isroutine(fn) else (fn,)
    for candidate in candidates:
        try:
            return inspect.getsource(candidate)
        except (TypeError, OSError):
            continue
    code = code_of(fn)
    return None if code is None else stable_hash(code)


_CONSTANT: Final = (type(None), bool, int, float, complex, str, bytes)


def plain_values_around(fn: Callable[..., Any]) -> dict[str, Any]:
    """The plain values that a function takes from a closure or from the names of its module, by name.

    >>> def scale(x, _factors=()): return x * FACTOR
    >>> scale.__globals__["FACTOR"] = 5
    >>> plain_values_around(scale)
    {'FACTOR': 5}
    """
    inner: Any = inspect.unwrap(fn) if inspect.isroutine(fn) else type(fn).__call__
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is None:
        return {}
    read, written = _names_in(code)
    names = inner.__globals__
    found = {name: names[name] for name in read - written if name in names and _is_constant(names[name])}
    for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a name that is not bound yet
            if name not in written and _is_constant(cell.cell_contents):
                found[name] = cell.cell_contents
    return found


@functools.lru_cache(maxsize=1024)
def _names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The global names that code reads, and the outer names that it assigns, in the functions inside it too."""
    read: set[str] = set()
    written: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"):
            written.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_read, inner_written = _names_in(constant)
            read |= inner_read
            written |= inner_written
    return frozenset(read), frozenset(written)


def _is_constant(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_constant, value))
    return type(value) in _CONSTANT


def code_of(fn: Any) -> CodeType | None:
    """The compiled code of a function; ``None`` where it has none."""
    fn = inspect.unwrap(fn) if callable(fn) else fn
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    return code if isinstance(code, CodeType) else None
