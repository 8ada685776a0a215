"""The URL table: which broker a URL means, and how one is made. A broker of another kind adds a line to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from brokers.private_server import EmbeddedServer, default_home
from brokers.redis.broker import RedisBroker
from brokers.redis.health import acl_rules
from brokers.redis.transport.connection import Wires
from brokers.urls import ServerAddress, engine_of, parse_url

if TYPE_CHECKING:
    from brokers.base import Broker


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What a broker is made with.

    Attributes:
        broker_url: the broker; ``None`` for the store alone.
        redis_url: the store; ``None`` for the broker's own, and where there is none, the private server.
        home: directory of the private server; ``None`` for :func:`brokers.private_server.default_home`.
        namespace: keeps several applications on one server apart.
        result_ttl_seconds: how long the store keeps runs that it ends by itself.
        queue_limit: how many calls a queue may hold; 0 for no limit.
        map_blocks: whether calls of a map, and calls sent at once, are kept together; workers of older versions do not
            run such calls.
        command_timeout_seconds: how long a reply may take.
        connect_timeout_seconds: how long a connection may take to open.
    """

    broker_url: str | None = None
    redis_url: str | None = None
    home: Path | None = None
    namespace: str = "orchestrator"
    result_ttl_seconds: float = 86_400
    queue_limit: int = 0
    map_blocks: bool = True
    command_timeout_seconds: float = 1.5
    connect_timeout_seconds: float = 0.5


def connect(options: BrokerOptions) -> Broker:
    """The broker that the URLs of ``options`` mean. Opens no connection: the first verb does.

    Raises:
        InvalidURL: a URL cannot be understood, or names no broker that is known here.

    >>> broker = connect(BrokerOptions("redis://localhost/0"))
    >>> broker.connected, broker.carrier is None, broker.private_server is None
    (False, True, True)
    """
    url = options.broker_url
    return _BY_ENGINE[engine_of(url) if url else "redis"](options)


def _redis(options: BrokerOptions) -> Broker:
    return _redis_broker(options, options.redis_url or options.broker_url)


def _celery(options: BrokerOptions) -> Broker:
    from brokers.celery.broker import CeleryBroker  # kombu, which only this engine needs, takes 0.1 s to import

    return CeleryBroker(
        _redis_broker(options, options.redis_url, external_carrier=True),
        options.namespace,
        str(options.broker_url),
        timeout_seconds=options.command_timeout_seconds,
        connect_timeout_seconds=options.connect_timeout_seconds,
    )


_BY_ENGINE: Final[Mapping[str, Callable[[BrokerOptions], Broker]]] = {
    "redis": _redis,  # redis:// rediss:// unix:// redis+sentinel:// and what else ``urls.KNOWN_SCHEMES`` says
    "celery": _celery,  # celery+<what kombu speaks>://
}


def _redis_broker(options: BrokerOptions, url: str | None, external_carrier: bool = False) -> RedisBroker:
    private_server = None if url else EmbeddedServer(options.home or default_home())
    wires = Wires(
        _locator(url, private_server),
        command_timeout_seconds=options.command_timeout_seconds,
        connect_timeout_seconds=options.connect_timeout_seconds,
    )
    return RedisBroker(
        wires,
        options.namespace,
        result_ttl_seconds=options.result_ttl_seconds,
        queue_limit=options.queue_limit,
        map_blocks=options.map_blocks,
        external_carrier=external_carrier,
        private_server=private_server,
    )


def _locator(url: str | None, private_server: EmbeddedServer | None) -> Callable[[], ServerAddress]:
    if private_server is not None:
        return lambda: parse_url(private_server.ensure())
    address = parse_url(str(url))
    return lambda: address


__all__ = ["BrokerOptions", "acl_rules", "connect"]
