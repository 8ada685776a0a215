"""The application context of Flask around tasks."""

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
        app: the application; or a factory; or the import path of either, as ``"shop:app"`` or ``"shop:create_app"``,
            so that the modules need not import each other. It is loaded at the first call, once per process.
    """
    load = _ApplicationLoader(app)

    def wrap(fn: Callable[P, R]) -> Callable[P, R]:
        wrapped: Callable[P, R] = _wrapped(fn, load)
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


def _wrapped(fn: Any, load: Callable[[], Flask]) -> Any:
    if inspect.iscoroutinefunction(fn):

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with load().app_context():
                return await fn(*args, **kwargs)

        return functools.wraps(fn)(run_async)
    if inspect.isgeneratorfunction(fn):

        def run_generator(*args: Any, **kwargs: Any) -> Any:
            with load().app_context():
                yield from fn(*args, **kwargs)

        return functools.wraps(fn)(run_generator)
    if inspect.isasyncgenfunction(fn):
        raise TypeError(f"{fn!r} is an async generator: return a list from a coroutine instead")

    def run(*args: Any, **kwargs: Any) -> Any:
        with load().app_context():
            return fn(*args, **kwargs)

    return functools.wraps(fn)(run)


class _ApplicationLoader:
    """Imports or creates an application once."""

    def __init__(self, app: Application) -> None:
        self._source = app
        self._app: Flask | None = app if isinstance(app, Flask) else None
        self._lock = threading.Lock()

    def __call__(self) -> Flask:
        if self._app is None:
            with self._lock:
                if self._app is None:
                    self._app = _load(self._source)
        return self._app


def _load(source: Any) -> Flask:
    if isinstance(source, str):
        module, _, name = source.partition(":")
        source = getattr(import_module(module), name or "app")
    app = source if isinstance(source, Flask) else source()
    if not isinstance(app, Flask):
        raise TypeError(f"{source!r} returned {app!r}, which is not a Flask application")
    return app
