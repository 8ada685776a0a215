"""The keywords that editors and mypy see of ``@task`` and ``@flow`` are the fields of their options."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest

from orchestrator import Flow, Task, flow, task
from orchestrator.runnables.flow_options import FlowOptions
from orchestrator.runnables.options import RunnableOptions, TaskOptions, names_of
from orchestrator.runnables.runnable import Runnable


@pytest.mark.parametrize(
    ("decorator", "options", "beside"),
    [(task, TaskOptions, {"cache_isolation"}), (type(flow).__call__, FlowOptions, set())],
)
def test_the_keywords_of_a_decorator_are_its_options(
    decorator: Any, options: type[RunnableOptions], beside: set[str]
) -> None:
    keywords = inspect.signature(typing.get_overloads(decorator)[-1]).parameters.keys() - {"self", "ignored"}
    assert keywords - beside == names_of(options)
    assert all(name in decorator.__doc__ for name in keywords)


def test_tasks_and_flows_share_one_base() -> None:
    shared = ("with_options", "on_completion", "on_failure", "on_running", "__get__", "name", "retries", "tags")
    for kind in (Task, Flow):
        assert issubclass(kind, Runnable)
        assert not [name for name in shared if name in vars(kind)]
