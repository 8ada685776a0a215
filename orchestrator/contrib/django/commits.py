"""Calls that are sent after the commit."""

from __future__ import annotations

from functools import partial
from typing import ParamSpec, TypeVar

from orchestrator.tasks import Task

P = ParamSpec("P")
R = TypeVar("R")


def delay_on_commit(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """``task.delay(*args, **kwargs)`` once the transaction around this line has been committed; at once without one.

    A call that is sent inside the transaction may start before the rows are there to be read, and is not taken back
    with them. Nothing is sent when the transaction is rolled back, so there is no future to return.
    In a coroutine (an async view) no transaction can be around this line, so the call is sent at once, which holds the
    event loop for one round trip. ``await adelay_on_commit(...)`` does not, and knows the transaction of the sync code
    around it.

    For another database than the default one, and for options of the call, use Django's own
    ``transaction.on_commit(partial(task.delay, ...), using="other")``.

    Raises:
        ParameterBindError: the arguments do not fit. Raised here; the rest (``BrokerUnavailable``) is raised by the
            commit: the rows are written then, the call is not sent.
    """
    from django.core.exceptions import SynchronousOnlyOperation
    from django.db import transaction

    task.arguments(args, dict(kwargs))
    send = partial(task.delay, *args, **kwargs)
    try:
        transaction.on_commit(send)
    except SynchronousOnlyOperation:  # Django refuses connections here, so there is no transaction
        send()


async def adelay_on_commit(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """:func:`delay_on_commit` for async views, in the thread of their sync code; never blocks the event loop."""
    from asgiref.sync import sync_to_async

    await sync_to_async(delay_on_commit)(task, *args, **kwargs)
