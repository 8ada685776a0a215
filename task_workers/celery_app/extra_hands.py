"""Takes more messages while calls of this process wait for other calls.

A call that waits for its own calls must not keep them from running: on two slots, fifty tasks that each wait for five
others would wait for ever. Celery gives a process one message at a time, so while calls wait the process fetches others
by itself, each into a thread of its own, as many as there are waits, and no more once they are over. It looks first at
what its worker has received already and has no place for (``spare_messages``), then at the broker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

from kombu import Producer

from brokers.celery.broker import CarriedBroker
from brokers.celery.messages import MARK, calls_of
from brokers.celery.publisher import connection_to
from orchestrator.fleet import Fleet

log = logging.getLogger("orchestrator.worker")
WORTH_SECONDS: Final = 0.02  # most waits are shorter, and need no help
LOOK_SECONDS: Final = 0.02
PAUSE_SECONDS: Final = 0.5
PROPERTIES: Final = ("correlation_id", "reply_to", "priority")


class ExtraHands:
    """One thread that fetches, and a thread for each message that it fetched.

    Args:
        fleet: whose calls; its broker carries them.
        worker_id: of the worker that this process belongs to.
        queues: ours that are read.
        run: runs the calls of a message; it returns when none is left here.
    """

    def __init__(
        self, fleet: Fleet, worker_id: str, queues: Sequence[str], run: Callable[[Sequence[tuple[str, str]]], None]
    ) -> None:
        assert isinstance(fleet.broker, CarriedBroker)
        self._broker, self._settings = fleet.broker, fleet.settings
        self._queues = self._broker.topology.queues(queues)
        self._worker_id, self._run_calls = worker_id, run
        self._allowed = 0
        self._busy = 0
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def allow(self, count: int) -> None:
        """So many messages more than usual may be taken now."""
        with self._changed:
            self._allowed = count
            if count and self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="extra-hands", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- the thread that fetches -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._allowed > 0 or self._closed)
            if not self._still_wanted(WORTH_SECONDS):
                continue
            try:
                self._help()
            except Exception as error:  # whatever the transport raises; the unconfirmed messages come again
                log.warning("more messages cannot be taken at the moment: %s: %s", type(error).__name__, error)
                self._still_wanted(PAUSE_SECONDS)

    def _still_wanted(self, seconds: float) -> bool:
        with self._changed:
            return not self._changed.wait_for(lambda: self._allowed == 0 or self._closed, seconds)

    def _help(self) -> None:
        timeout = self._settings.command_timeout_seconds
        with connection_to(self._broker.url, self._settings.connect_timeout_seconds, timeout) as connection:
            channel = connection.channel()
            queues = [queue(channel) for queue in self._queues]
            for queue in queues:
                queue.declare()
            while (self._allowed or self._busy) and not self._closed:
                self._confirm_done(block=not self._take_one(queues))

    def _take_one(self, queues: Sequence[Any]) -> bool:
        if self._allowed <= self._busy:
            return False
        calls = self._broker.take_spare(self._worker_id)
        if calls is not None:
            self._begin(calls, None)
            return True
        for queue in queues:
            message = queue.get(accept=["json"])
            if message is None:
                continue
            if MARK in message.headers:
                self._begin(calls_of(message.payload[0]), message)
                return True
            _put_behind(message, queue)
        return False

    def _begin(self, calls: Sequence[tuple[str, str]], message: Any) -> None:
        with self._changed:
            self._busy += 1
        threading.Thread(target=self._work_off, args=(calls, message), name="extra-hand", daemon=True).start()

    def _confirm_done(self, block: bool) -> None:
        """Messages are confirmed by the thread that owns their channel."""
        while True:
            try:
                message, well = self._done.get(timeout=LOOK_SECONDS) if block else self._done.get_nowait()
            except Empty:
                return
            block = False
            if well:
                message.ack()
            else:
                message.reject(requeue=True)

    # -- the threads that run --------------------------------------------------------------------------------------

    def _work_off(self, calls: Sequence[tuple[str, str]], message: Any) -> None:
        well = False
        try:
            self._run_calls(calls)
            well = True
        except Exception as error:
            log.warning("a message is given back: %s: %s", type(error).__name__, error)
        finally:
            if message is not None:
                self._done.put((message, well))
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()


def _put_behind(message: Any, queue: Any) -> None:
    """Back into the queue: a call by name, from a Celery client, is for the pool.

    It is published anew, since RabbitMQ counts what is rejected as a failed delivery and soon gives the message up. On
    one channel the broker takes the copy before it drops the original.
    """
    properties = message.properties
    kept = {name: properties[name] for name in PROPERTIES if properties.get(name) is not None}
    if properties.get("expiration"):
        kept["expiration"] = int(properties["expiration"]) / 1000  # kombu gives milliseconds and takes seconds
    Producer(message.channel, auto_declare=False).publish(
        message.body,
        exchange="",
        routing_key=queue.name,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
        delivery_mode=2,
        retry=False,
        **kept,
    )
    message.ack()
    time.sleep(LOOK_SECONDS)  # the pool may have a place by now
