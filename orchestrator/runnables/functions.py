"""What is known of a callable that becomes a task or a flow: its kind, its name, whether it is async."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def unwrapped(fn: Any) -> tuple[str, Any]:
    """How a function is bound in a class body, and the plain function.

    >>> unwrapped(staticmethod(len))[0], unwrapped(classmethod(len))[0], unwrapped(len)[0]
    ('staticmethod', 'classmethod', 'method')
    """
    if isinstance(fn, staticmethod):
        return "staticmethod", fn.__func__
    if isinstance(fn, classmethod):
        return "classmethod", fn.__func__
    return "method", fn


def name_of(fn: Callable[..., Any]) -> str:
    """Its name for people: a partial's is that of its function, that of a callable object is its class's.

    >>> name_of(functools.partial(sorted, reverse=True))
    'sorted'
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", type(fn).__name__))


def qualified_name_of(fn: Callable[..., Any]) -> tuple[str, str]:
    """Its module and its qualified name; those of the function in a partial, or of a callable object's class."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return getattr(named, "__module__", None) or "unknown", named.__qualname__


@functools.cache
def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:32]


def digest_of_file(fn: Callable[..., Any]) -> str:
    """A digest of the file that a function is written in; empty where there is none."""
    try:
        return _digest(inspect.getsourcefile(inspect.unwrap(fn)) or "")
    except (TypeError, OSError):
        return ""


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine or an async generator; also of objects with such a ``__call__``."""
    if isinstance(is_async_object := getattr(fn, "isasync", None), bool):  # a flow that becomes a task
        return is_async_object
    function = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else type(fn).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
