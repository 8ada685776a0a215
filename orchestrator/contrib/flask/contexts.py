"""An application's context around tasks."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from flask import Flask

from orchestrator.tasks import task

P = ParamSpec("P")
R = TypeVar("R")
Application = Flask | Callable[[], Flask] | str


def with_app_context(app: Application) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function inside the context of a Flask application; goes below ``@task``.

    Args:
        app: the application; or a function that makes it; or where to find either, as ``"shop:app"`` or
            ``"shop:create_app"``, so that the modules need not import each other. It is found, or made, at the first
            call, once for each process.
    """
    find = _Finder(app)

    def wrap(fn: Callable[P, R]) -> Callable[P, R]:
        wrapped: Callable[P, R] = _wrapped(fn, find)
        return wrapped

    return wrap


def tasks_of(app: Application) -> Callable[..., Any]:
    """``task = tasks_of(app)``: a ``@task`` that runs in the application's context, see :func:`with_app_context`."""
    inside = with_app_context(app)

    def decorator(fn: Any = None, **options: Any) -> Any:
        if fn is None:
            return lambda later: task(inside(later), **options)
        return task(inside(fn), **options)

    return decorator


def _wrapped(fn: Any, find: Callable[[], Flask]) -> Any:
    if inspect.iscoroutinefunction(fn):

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with find().app_context():
                return await fn(*args, **kwargs)

        return functools.wraps(fn)(run_async)
    if inspect.isgeneratorfunction(fn):

        def run_generator(*args: Any, **kwargs: Any) -> Any:
            with find().app_context():
                yield from fn(*args, **kwargs)

        return functools.wraps(fn)(run_generator)
    if inspect.isasyncgenfunction(fn):
        raise TypeError(f"{fn!r} is an async generator: make a list in a coroutine instead")

    def run(*args: Any, **kwargs: Any) -> Any:
        with find().app_context():
            return fn(*args, **kwargs)

    return functools.wraps(fn)(run)


class _Finder:
    """Finds, or makes, an application once."""

    def __init__(self, app: Application) -> None:
        self._wanted = app
        self._found: Flask | None = app if isinstance(app, Flask) else None
        self._lock = threading.Lock()

    def __call__(self) -> Flask:
        if self._found is None:
            with self._lock:
                if self._found is None:
                    self._found = _application(self._wanted)
        return self._found


def _application(wanted: Any) -> Flask:
    if isinstance(wanted, str):
        module, _, name = wanted.partition(":")
        wanted = getattr(import_module(module), name or "app")
    app = wanted if isinstance(wanted, Flask) else wanted()
    if not isinstance(app, Flask):
        raise TypeError(f"{wanted!r} gave {app!r}, which is no Flask application")
    return app
