"""Calls that wait for the commit."""

from __future__ import annotations

from functools import partial
from typing import ParamSpec, TypeVar

from orchestrator.tasks import Task

P = ParamSpec("P")
R = TypeVar("R")


def delay_on_commit(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """``task.delay(*args, **kwargs)`` once the transaction around this line has been committed; at once without one.

    A call that is sent inside the transaction may start before the rows are there to be read, and is not taken back
    with them. Nothing is sent when the transaction is rolled back, so there is no handle to give: nothing is returned.
    For another database than the default one, and for options of the call, use Django's own
    ``transaction.on_commit(partial(task.delay, ...), using="other")``.

    Raises:
        ParameterBindError: the arguments do not fit. That is told here, the rest (``BrokerUnavailable``) by the commit:
            the rows are written then, the call is not sent.
    """
    from django.db import transaction

    task.arguments(args, dict(kwargs))
    transaction.on_commit(partial(task.delay, *args, **kwargs))
