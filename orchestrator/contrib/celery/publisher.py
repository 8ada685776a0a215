"""One connection of a process to the broker of a Celery application; every send has a deadline.

``Celery.send_task`` makes the message, with the application's serializer, routes and queues. Left to itself it waits up
to 19 seconds for an unreachable broker, and subscribes to a result backend that may be unreachable as well; here it
gets a connection with deadlines, and ``result_watcher`` watches the backend.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

from kombu.exceptions import EncodeError

from brokers.owned_lock import OwnedLock
from orchestrator.errors import BrokerError, BrokerRefused, BrokerUnavailable, SerializationError

HEADER: Final = "orchestrator_run"  # of a message: the namespace in whose store its run is kept


class Call(NamedTuple):
    """One message to send."""

    run_id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class Publisher:
    """Sends messages of one application. Thread-safe; one send at a time.

    Args:
        app: the application.
        namespace: the namespace of the store that keeps the runs.
        timeout_seconds: how long a send may take, connecting included.
        connect_timeout_seconds: how long connecting may take.
    """

    def __init__(self, app: Any, namespace: str, timeout_seconds: float, connect_timeout_seconds: float) -> None:
        self._app, self._namespace = app, namespace
        self._timeout, self._connect_timeout = timeout_seconds, connect_timeout_seconds
        self._turn = OwnedLock()
        self._pid = os.getpid()
        self._connection: Any = None
        self._channel: Any = None

    def check(self) -> None:
        """Check that the broker responds, before runs are recorded that need it.

        Raises:
            BrokerUnavailable: it does not respond.
        """
        self._guarded(self._renew_channel)

    def send(self, name: str, calls: Sequence[Call], options: Mapping[str, Any], sent: Callable[[str], None]) -> None:
        """Send all of these; ``sent(run_id)`` is called for each that the broker has accepted.

        A failed send is not repeated, since Celery might run the task twice.

        Raises:
            BrokerUnavailable: the broker did not respond in time; the message that was being sent may have arrived.
            SerializationError: the application's serializer cannot take the arguments.
        """

        def send_all(deadline: float) -> None:
            if self._channel is None:
                self._renew_channel(deadline)
            producer = self._app.amqp.Producer(self._channel, auto_declare=False)
            for call in calls:
                self._send(producer, name, call, dict(options), deadline)
                sent(call.run_id)
                deadline = time.monotonic() + self._timeout  # many calls may take longer; a broker that is away may not

        self._guarded(send_all)

    def revoke(self, run_ids: Sequence[str]) -> None:
        """Revoke these in the application's workers. Raises BrokerUnavailable."""
        self._guarded(
            lambda deadline: self._app.control.revoke(
                list(run_ids), connection=self._open(deadline), terminate=False, reply=False
            )
        )

    # -- inside --------------------------------------------------------------------------------------------------

    def _send(self, producer: Any, name: str, call: Call, options: dict[str, Any], deadline: float) -> None:
        headers = {**(options.pop("headers", None) or {}), HEADER: self._namespace}
        # What a worker reads of it is the header; the argument keeps this thread from subscribing to the backend.
        headers["ignore_result"] = options.pop("ignore_result", None)
        left = max(0.05, deadline - time.monotonic())
        if self._driver == "amqp":
            options |= {"timeout": left, "confirm_timeout": left}
        self._app.send_task(
            name,
            tuple(call.args),
            dict(call.kwargs),
            task_id=call.run_id,
            producer=producer,
            retry=False,
            headers=headers,
            ignore_result=True,
            **options,
        )

    def _guarded(self, do: Callable[[float], Any]) -> None:
        deadline = time.monotonic() + self._timeout
        if self._pid != os.getpid():  # forked: the connection is the parent's
            self._turn, self._pid = OwnedLock(), os.getpid()
            self._connection = self._channel = None
        if not self._turn.run(partial(self._do, do, deadline), self._timeout):
            raise BrokerUnavailable(f"{self.where} does not answer: other threads are waiting for it too")

    def _do(self, do: Callable[[float], Any], deadline: float) -> None:
        try:
            do(deadline)
        except EncodeError as error:
            raise SerializationError(
                f"the Celery application's serializer ({self._app.conf.task_serializer}) cannot take the arguments: "
                f"{error}"
            ) from error
        except (TypeError, ValueError, LookupError):  # the caller's: options, a queue that there is not
            raise
        except Exception as error:  # whatever the transport raises
            self._drop()
            raise self._translated(error) from error
        except BaseException:  # interrupted in the middle of a frame
            self._drop()
            raise

    def _translated(self, error: Exception) -> BrokerError:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if getattr(error, "reply_code", None):  # RabbitMQ's: access refused, a queue that has other arguments, ...
            return BrokerRefused(f"the Celery application's broker {self.where} refused the message: {text}")
        return BrokerUnavailable(f"the Celery application's broker {self.where} does not answer ({text})")

    @property
    def where(self) -> str:
        """The broker's URL for error messages; kombu hides the password."""
        return str(self._app.connection_for_write().as_uri())

    @cached_property
    def _driver(self) -> str:
        return str(self._app.connection_for_write().transport.driver_type)

    def _renew_channel(self, deadline: float) -> None:
        """Open a new channel: a round trip on RabbitMQ and on Redis, which shows whether the connection is alive."""
        try:
            channel = self._open(deadline).channel()
        except Exception:
            self._drop()
            if time.monotonic() >= deadline:
                raise
            channel = self._open(deadline).channel()
        old, self._channel = self._channel, channel
        if old is not None:
            with suppress(Exception):
                old.close()

    def _open(self, deadline: float) -> Any:
        if self._connection is not None and self._connection.connected:
            return self._connection
        self._drop()
        seconds = min(self._connect_timeout, max(0.05, deadline - time.monotonic()))
        connection = self._app.connection_for_write(
            connect_timeout=seconds, heartbeat=0, transport_options=self._transport_options(seconds)
        )
        self._connection = connection
        connection.ensure_connection(
            max_retries=1, interval_start=0, interval_step=0, timeout=seconds, reraise_as_library_errors=False
        )
        return connection

    def _transport_options(self, connect_seconds: float) -> dict[str, Any]:
        if self._driver == "amqp":
            waiting = max(0.1, self._timeout - connect_seconds)
            return {"read_timeout": waiting, "write_timeout": waiting, "confirm_publish": True}
        if self._driver == "redis":
            return {"socket_timeout": self._timeout, "socket_connect_timeout": connect_seconds}
        return {}

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=0.1)
