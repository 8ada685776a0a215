"""``celery_task``: a handle on a task that exists only in a Celery application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.contrib.celery.celery_app import CeleryApplication, application_for
from orchestrator.execution.inline import futures_in
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runnables.binding import Signature, mapped_arguments


def celery_task(task: Any, app: Any = None, queue: str | None = None, **options: Any) -> CeleryTask:
    """A handle on a task of an existing Celery application, whose code need not change.

    >>> from celery import Celery
    >>> charge = celery_task("shop.tasks.charge", app=Celery("shop", broker="memory://"), queue="payments")
    >>> charge
    <CeleryTask shop.tasks.charge>

    Args:
        task: its name, or the Celery task itself.
        app: the application; needed with a name. A bare ``Celery(broker=..., backend=...)`` will do.
        queue: the queue of its messages; unset: as the application routes them.
        options: further options of ``Celery.send_task`` for every call, such as ``serializer`` or ``priority``.

    Raises:
        TypeError: no application was given, or an option that is reserved.
    """
    name, app = (task, app) if isinstance(task, str) else (getattr(task, "name", None), app or task.app)
    if not isinstance(name, str) or not name:
        raise TypeError(f"celery_task({task!r}): give the name of a task, or a Celery task")
    if app is None:
        raise TypeError(f"celery_task({name!r}) needs app=, the Celery application that has the task")
    if queue is not None:
        options["queue"] = queue
    return CeleryTask(name, app, _checked(options))


class CeleryTask:
    """Sends a task of a Celery application as Celery does, and returns our futures. Made by :func:`celery_task`.

    The run is recorded in the store before its message is sent, under one id for both: ``future.task_run_id`` is
    Celery's task id. Every process can read its state, result and error, as with our own tasks.

    Attributes:
        name: the task's name.
        app: the Celery application.
        options: options of ``Celery.send_task``.
    """

    def __init__(self, name: str, app: Any, options: Mapping[str, Any]) -> None:
        self.name, self.app, self.options = name, app, dict(options)
        self._signature = _any_signature(name)

    @property
    def task_key(self) -> str:
        """The name under which its runs are recorded."""
        return self.name

    def with_options(self, **options: Any) -> CeleryTask:
        """A copy with some options of ``Celery.send_task`` changed."""
        return CeleryTask(self.name, self.app, {**self.options, **_checked(options)})

    def submit(self, *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
        """Send a call whose outcome is delivered to this process. Works inside and outside of flows.

        Args:
            return_state: wait, and return the final State.

        Returns:
            A :class:`~orchestrator.futures.PrefectFuture`.

        Raises:
            TypeError: futures among the arguments; see :meth:`delay` for the others.
        """
        future = self._send([(args, kwargs)], {}, watched=True)[0]
        if return_state:
            future.wait()
            return future.state
        return future

    def map(self, *args: Any, **kwargs: Any) -> PrefectFutureList[Any]:
        """One call, and one message, for each element: every iterable argument is zipped, other values are constant.

        Raises:
            MappingMissingIterable, MappingLengthMismatch: see :func:`orchestrator.runnables.binding.mapped_arguments`.
        """
        return self._send(list(mapped_arguments(self._signature, args, kwargs)), {}, watched=True)

    def delay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """Fire and forget: returns once the application's broker has the message.

        Raises:
            BrokerUnavailable: within 2 seconds, when the store or the application's broker does not answer. The run is
                withdrawn then; if its message arrived all the same, Celery runs it and its outcome is discarded.
            BrokerRefused: the broker rejected the message.
            SerializationError: the application's serializer cannot take the arguments.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> PrefectFuture[Any]:
        """:meth:`delay` with Celery's options: countdown, eta, expires, queue, priority, serializer, link, ..."""
        return self._send([(tuple(args), kwargs or {})], _checked(options), watched=False)[0]

    async def adelay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`delay` for event loops; the loop is not blocked."""
        return await asyncio.to_thread(self.delay, *args, **kwargs)

    async def asubmit(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`submit` for event loops; the loop is not blocked."""
        futures = await asyncio.to_thread(self._send, [(args, kwargs)], {}, True)
        return futures[0]

    def future(self, task_run_id: Any) -> PrefectFuture[Any]:
        """A future of a run that another process sent; that process may be gone.

        With report_ends() in the application's workers ``PrefectFuture(id)`` is enough. Without, this
        process watches the result backend from now on.
        """
        return self._application().future(str(task_run_id))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.name} belongs to a Celery application and cannot be run here: use submit() or delay()")

    def __repr__(self) -> str:
        return f"<CeleryTask {self.name}>"

    def _application(self) -> CeleryApplication:
        return application_for(self.app)

    def _send(
        self, rows: Sequence[tuple[Sequence[Any], Mapping[str, Any]]], options: Mapping[str, Any], watched: bool
    ) -> PrefectFutureList[Any]:
        for args, kwargs in rows:
            self._check_arguments(args, kwargs)
        return self._application().send(self.name, rows, {**self.options, **options}, watched)

    def _check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if "wait_for" in kwargs:
            raise TypeError(f"{self.name} is run by Celery, which cannot wait for other runs: omit wait_for")
        if futures_in((list(args), dict(kwargs))):
            raise TypeError(
                f"{self.name} is run by Celery, which knows nothing of futures: pass future.result(), or let a task of "
                f"yours take the future and return {self.name.rpartition('.')[2]}.submit(...).result()"
            )


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("task_id", "producer", "connection", "retry", "reply_to"):
        if name in options:
            raise TypeError(f"a call through celery_task() cannot take the option {name!r}: it is set by orchestrator")
    return dict(options)


def _any_signature(name: str) -> Signature:
    def anything(*args: Any, **kwargs: Any) -> None:
        """Accepts everything: Celery alone knows the task's parameters."""

    anything.__qualname__ = name
    return Signature(anything)
