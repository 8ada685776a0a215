"""One connection of a process to the broker that carries the calls: sends fail within their time, or are confirmed.

kombu and Celery retry for as long as 19 seconds when a broker is away, and a send without confirmation may be lost. A
publisher opens its connection when it is needed, gives each send a deadline, and on RabbitMQ waits for the broker's
confirmation of all messages of a send at once instead of one after the other.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from kombu import Connection, Producer

from brokers.deadline import within
from brokers.errors import BrokerError, BrokerRefused, BrokerUnavailable
from brokers.owned_lock import OwnedLock
from brokers.urls import masked

from .messages import Message
from .topology import Topology, is_amqp, kombu_url

log = logging.getLogger("orchestrator.publisher")
CONFIRM_TOGETHER: Final = 200  # messages on their way before their confirmations are waited for


class _Confirmations:
    """Counts what the broker has confirmed on one channel (RabbitMQ's publisher confirms)."""

    def __init__(self, channel: Any) -> None:
        self.published = 0
        self._open: set[int] = set()
        self.refused = 0
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)

    def note(self) -> None:
        """One more is on its way."""
        self.published += 1
        self._open.add(self.published)

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        if multiple:
            self._open = {tag for tag in self._open if tag > delivery_tag}
        else:
            self._open.discard(delivery_tag)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        before = len(self._open)
        self._on_ack(delivery_tag, multiple)
        self.refused += before - len(self._open)

    @property
    def open(self) -> int:
        """How many are on their way."""
        return len(self._open)


class Publisher:
    """Publishes messages; for any thread, one at a time.

    Args:
        url: the broker, ``celery+amqp://...`` or another kombu URL after ``celery+``.
        topology: its queues.
        timeout_seconds: how long a send may take, connecting included.
        connect_timeout_seconds: how long connecting may take.
    """

    def __init__(
        self, url: str, topology: Topology, *, timeout_seconds: float = 1.5, connect_timeout_seconds: float = 0.5
    ) -> None:
        self._url, self._topology = url, topology
        self._timeout, self._connect_timeout = timeout_seconds, connect_timeout_seconds
        self._turn = OwnedLock()
        self._pid = os.getpid()
        self._connection: Any = None
        self._producer: Any = None
        self._confirmations: _Confirmations | None = None
        _import_transport(url)

    @property
    def where(self) -> str:
        """The broker in messages for people."""
        return masked(self._url)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish all of these; returns when the broker has taken them.

        Raises:
            BrokerUnavailable: it does not answer in time; some of the messages may have arrived.
            BrokerRefused: it answers, and says no (rights, a queue of another kind).
        """
        self._in_turn(partial(self._publish_again_if_lost, messages))

    def check(self) -> None:
        """Make sure that there is a connection, before anything is written down that will need it.

        Raises:
            BrokerUnavailable, BrokerRefused: see :meth:`publish`.
        """
        self._in_turn(self._open)

    def close(self) -> None:
        """Close the connection; it opens again when it is needed."""
        self._turn.run(self._drop, -1)

    # -- inside --------------------------------------------------------------------------------------------------

    def _in_turn(self, work: Callable[[float], None]) -> None:
        """Do the work, which takes a deadline; whoever queues behind a dead broker fails in time too."""
        deadline = within(self._timeout)
        if self._pid != os.getpid():  # forked: the connection is the parent's, and must not be closed in its name
            self._turn, self._pid = OwnedLock(), os.getpid()
            self._connection = self._producer = self._confirmations = None

        def work_and_translate() -> None:
            try:
                work(deadline)
            except Exception as error:
                self._drop()
                raise self._translated(error) from error
            except BaseException:  # interrupted in the middle of a frame, or of a confirmation
                self._drop()
                raise

        if not self._turn.run(work_and_translate, max(0.0, deadline - time.monotonic())):
            raise BrokerUnavailable(f"{self.where} does not answer: others wait for it too")

    def _publish_again_if_lost(self, messages: Sequence[Message], deadline: float) -> None:
        fresh = self._connection is None
        try:
            return self._publish(messages, deadline)
        except Exception as error:
            if fresh or time.monotonic() >= deadline or not self._is_lost(error):
                raise
        self._drop()  # it was made long ago and may have been cut since; a message that comes twice is harmless
        self._publish(messages, deadline)

    def _publish(self, messages: Sequence[Message], deadline: float) -> None:
        self._open(deadline)
        for message in messages:
            queue = self._topology.queue(self._topology.name_of_route(message.route))
            headers = message.headers()
            self._producer.publish(
                message.body(),
                exchange="",
                routing_key=queue.name,
                declare=[queue],
                headers=headers,
                serializer="json",
                delivery_mode=2,
                correlation_id=headers["id"],
                timeout=_left(deadline),
                retry=False,
            )
            if self._confirmations is not None:
                self._confirmations.note()
                if self._confirmations.open >= CONFIRM_TOGETHER:
                    self._wait_for_confirmations(deadline)
        self._wait_for_confirmations(deadline)

    def _wait_for_confirmations(self, deadline: float) -> None:
        confirmations = self._confirmations
        if confirmations is None:
            return
        while confirmations.open:
            self._connection.drain_events(timeout=_left(deadline))
        if confirmations.refused:
            raise BrokerRefused(f"{self.where} refused {confirmations.refused} messages (a queue's limit?)")

    def _open(self, deadline: float) -> None:
        if self._connection is not None and self._connection.connected:
            return
        self._drop()
        seconds = min(self._connect_timeout, _left(deadline))
        self._connection = connection_to(self._url, seconds, self._timeout)
        self._connection.ensure_connection(
            max_retries=1, interval_start=0, interval_step=0, timeout=seconds, reraise_as_library_errors=False
        )
        channel = self._connection.channel()
        self._confirmations = None
        if is_amqp(self._url):
            self._topology.queue(self._topology.dead_name)(channel).declare()  # before any message could be dead
            self._confirmations = _Confirmations(channel)
        self._producer = Producer(channel, auto_declare=False)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._producer = self._confirmations = None
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=0.1)  # close() would wait for a broker that does not answer

    def _is_lost(self, error: Exception) -> bool:
        return not isinstance(error, BrokerError | TimeoutError)

    def _translated(self, error: Exception) -> BrokerError:
        if isinstance(error, BrokerError):
            return error
        refused = _refusal(error)
        if refused is not None:
            return BrokerRefused(f"{self.where}: {refused}")
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return BrokerUnavailable(
            f"{self.where} does not answer ({reason}). Is ORCHESTRATOR_BROKER_URL right, is it up?"
        )


def connection_to(url: str, connect_timeout_seconds: float, timeout_seconds: float) -> Any:
    """A kombu connection with short timeouts, not open yet."""
    if is_amqp(url):
        options = {"read_timeout": timeout_seconds, "write_timeout": timeout_seconds}
    elif kombu_url(url).startswith(("redis", "rediss", "sentinel", "valkey")):
        options = {"socket_timeout": timeout_seconds, "socket_connect_timeout": connect_timeout_seconds}
    else:
        options = {}
    return Connection(kombu_url(url), connect_timeout=connect_timeout_seconds, transport_options=options, heartbeat=0)


def _import_transport(url: str) -> None:
    """Now, not in the thread that publishes first: a process that is forked meanwhile could never import it again."""
    with suppress(Exception):  # what is wrong with the URL is for whoever connects
        connection_to(url, 1.0, 1.0)


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())


def _refusal(error: Exception) -> str | None:
    """What an AMQP broker says when it answers with a no: 403 access refused, 406 precondition failed and the like."""
    code = getattr(error, "reply_code", None)
    text = str(getattr(error, "reply_text", "") or error)
    if code == 406:
        return f"{text}. A queue of this name exists with other properties: delete it, or use another namespace"
    return f"{code} {text}" if code in (402, 403, 404, 405, 530) else None
