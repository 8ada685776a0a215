"""Handles on runs, and what is done with many of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.client.completion import DoneAndNotDone, as_completed, wait
from orchestrator.client.future import PrefectFuture
from orchestrator.client.future_list import PrefectFutureList
from orchestrator.client.local_future import LocalFuture
from orchestrator.runs.nested_values import replace_nested
from orchestrator.runs.stored_result import StoredResult, set_loader
from orchestrator.states import settle_states

# Pickles, reprs and documentation name the place that users import from; pickles of 0.1 do, too.
for _public in (DoneAndNotDone, LocalFuture, PrefectFuture, PrefectFutureList):
    _public.__module__ = __name__


def _load(stored: StoredResult) -> Any:
    from orchestrator.result_storage.files import load  # blocks and file systems, which most programs do without

    return load(stored)


set_loader(_load)


def resolve_futures_to_states(value: Any) -> Any:
    """Replace every future inside a value (lists, dicts, dataclasses, models; any depth) by its final state.

    Follows Prefect 3 (``prefect.futures.resolve_futures_to_states``).
    """
    return _replace_futures(value, lambda future: _waited(future).state)


def resolve_futures_to_results(value: Any) -> Any:
    """Replace every future inside a value (any depth) by its result, or raise its error."""
    return _replace_futures(value, lambda future: future.result())


def _waited(future: PrefectFuture[Any]) -> PrefectFuture[Any]:
    future.wait()
    return future


def _replace_futures(value: Any, replace: Callable[[PrefectFuture[Any]], Any]) -> Any:
    return replace_nested(value, lambda part: replace(part) if isinstance(part, PrefectFuture) else part)


__all__ = [
    "DoneAndNotDone",
    "LocalFuture",
    "PrefectFuture",
    "PrefectFutureList",
    "as_completed",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "settle_states",
    "wait",
]
