"""Celery's consumer without what our application does not need, and the order in which queues are read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from celery.worker import consumer, state
from kombu.utils.scheduling import round_robin_cycle

log = logging.getLogger("orchestrator.worker")
OTHER_END_EVERY: Final = 8


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """The consumer of ``celery -A task_workers.celery``.

    Celery declares twenty-eight queues for delayed messages as soon as it sees a quorum queue. Delays are kept in the
    store, so this application leaves that step out.

    A quorum queue has no prefetch count for a whole channel, only one for each of its consumers, from when they begin.
    Celery leaves it at what the worker began with, so that ``pool_grow`` would add children that get nothing to do.
    Here the consumers begin anew whenever the count changes.
    """

    _qos: Any = None

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps but one."""

        default_steps: Final = [
            step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in str(step)
        ]

    @property
    def qos(self) -> Any:
        """kombu's keeper of the prefetch count."""
        return self._qos

    @qos.setter
    def qos(self, made: Any) -> None:
        self._qos = made
        one_for_all = getattr(self, "qos_global", None)  # Celery 5.6 lacks it: as if each consumer had its own
        if made is not None and not one_for_all and self.connection.transport.driver_type == "amqp":
            made.prev = made.value  # set a moment ago, for the consumers that begin now
            made.callback = partial(self._begin_anew, made.callback)

    def _begin_anew(self, set_count: Callable[..., Any], prefetch_count: int) -> None:
        set_count(prefetch_count=prefetch_count)
        self.task_consumer.cancel()
        self.task_consumer.consume()

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Celery's way to a new connection; with kombu 5.7 a lost Redis would end the worker here.

        The old connection gives back what it had not confirmed, and tasks that end later confirm their messages to it,
        for both of which it needs a part of itself that it has dropped already. The messages come again by themselves.
        """
        for request in {*state.reserved_requests, *state.active_requests}:
            request.acknowledged = True  # by the broker's new connection: this delivery is gone
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            log.debug("the lost connection could not be closed: %s", error)


class BestFirst(round_robin_cycle):  # type: ignore[misc]
    """The order in which kombu reads a Redis's queues: best priority first, every eighth time from the other end."""

    def __init__(self, it: Any = None) -> None:
        super().__init__(it)
        self._turn = 0

    def consume(self, n: int) -> list[Any]:
        """The next ``n`` queues."""
        self._turn += 1
        queues = sorted(self.items, key=_rank, reverse=self._turn % OTHER_END_EVERY == 0)
        return queues[:n]

    def rotate(self, last_used: Any) -> Any:
        """Nothing rotates."""
        return last_used


def _rank(queue: str) -> int:
    return 0 if queue.endswith(":high") else 2 if queue.endswith(":low") else 1
