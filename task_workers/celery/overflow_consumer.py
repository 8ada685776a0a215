"""Takes more messages while calls of this process wait for other calls.

A call that waits for its own calls must not keep them from running: on two slots, fifty tasks that each wait for five
others would wait for ever. Celery gives a process one message at a time, so while calls wait the process fetches others
by itself, each into a thread of its own, as many as there are waits, and no more once they are over. It looks first at
what its worker has received already and has no place for (``spare_messages``), then at the broker. Where neither has
any for a while, it claims a call that it waits for by itself, without the message: that may lie unread at a worker that
reads nothing just now, as one of the ``solo`` pool does. The message is passed over when it is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

from kombu import Producer

from brokers.celery.messages import MARK, calls_of
from brokers.messages import Named, Status, queue_of
from brokers.threads import unending
from orchestrator.client.fleet import Fleet
from orchestrator.slots.message_consumer import carrier_of

log = logging.getLogger("orchestrator.worker")
WORTH_SECONDS: Final = 0.02  # most waits are shorter, and need no help
POLL_SECONDS: Final = 0.02
PAUSE_SECONDS: Final = 0.5
CLAIM_SECONDS: Final = 0.5  # without a message, before calls are claimed that are waited for; and between two looks
MOST_LOOKED_AT: Final = 500
PROPERTIES: Final = ("correlation_id", "reply_to", "priority")


class OverflowConsumer:
    """One thread that fetches, and a thread for each message that it fetched.

    Args:
        fleet: whose calls; its broker carries them.
        worker_id: of the worker that this process belongs to.
        queues: ours that are read.
        run: runs the calls of a message; it returns when none is left here.
    """

    def __init__(
        self, fleet: Fleet, worker_id: str, queues: Sequence[str], run: Callable[[Sequence[Named]], None]
    ) -> None:
        self._fleet, self._carrier, self._queue_names = fleet, carrier_of(fleet), frozenset(queues)
        self._claim_at = 0.0
        self._queues = self._carrier.queues.queues(queues)
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
                self._thread = threading.Thread(target=unending(self._run), name="extra-hands", daemon=True)
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
        with self._carrier.queues.connection() as connection:
            channel = connection.channel()
            queues = [queue(channel) for queue in self._queues]
            for queue in queues:
                queue.declare()
            self._put_off_claims()
            while (self._allowed or self._busy) and not self._closed:
                self._confirm_done(block=not self._take_one(queues))

    def _take_one(self, queues: Sequence[Any]) -> bool:
        if self._allowed <= self._busy:
            return False
        calls = self._carrier.take_spare(self._worker_id)
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
        return self._claim_one()

    def _claim_one(self) -> bool:
        """Begin a call that this process waits for and that is still in a message, if there was no message for long."""
        if time.monotonic() < self._claim_at:
            return False
        self._put_off_claims()
        for row in self._fleet.broker.records.rows(self._fleet.open_futures.some_open(MOST_LOOKED_AT)):
            if row.status == Status.QUEUED and queue_of(row.ticket) in self._queue_names and row.ticket[0] == "@":
                self._begin([Named(row.run_id, row.ticket)], None)
                return True
        return False

    def _put_off_claims(self) -> None:
        self._claim_at = time.monotonic() + CLAIM_SECONDS

    def _begin(self, calls: Sequence[Named], message: Any) -> None:
        self._put_off_claims()
        with self._changed:
            self._busy += 1
        threading.Thread(target=self._run_all, args=(calls, message), name="extra-hand", daemon=True).start()

    def _confirm_done(self, block: bool) -> None:
        """Messages are confirmed by the thread that owns their channel."""
        while True:
            try:
                message, well = self._done.get(timeout=POLL_SECONDS) if block else self._done.get_nowait()
            except Empty:
                return
            block = False
            if well:
                message.ack()
            else:
                message.reject(requeue=True)

    # -- the threads that run --------------------------------------------------------------------------------------

    def _run_all(self, calls: Sequence[Named], message: Any) -> None:
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
    time.sleep(POLL_SECONDS)  # the pool may have a place by now
