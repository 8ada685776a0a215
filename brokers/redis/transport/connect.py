"""From an address to a connection: TCP, TLS, unix sockets, and the sentinels that know where the primary is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from redis import connection as redis_connections

from brokers.errors import AuthenticationFailed, BrokerError, BrokerRefused, BrokerUnavailable, TLSFailed
from brokers.urls import TLS_FILES, ServerAddress

from .protocol import Connection, Dialogue
from .translation import translate_opening

SENTINEL_SECONDS: Final = 0.5
SENTINELS_SECONDS: Final = 1.0  # for all of them together: a call must fail within 2 s


def name_of(address: ServerAddress) -> str:
    """The server for messages; never its password."""
    if address.service:
        return f"{address.service} (by its sentinels)"
    return address.path or f"{address.host}:{address.port}"


def connection_to(address: ServerAddress, options: dict[str, Any]) -> Connection:
    """A connection that is not open yet; ``options`` are redis-py's.

    Raises:
        TLSFailed: a file of the address's TLS options cannot be read.
    """
    options = {"db": address.db, "username": address.username, "password": address.password, **options}
    kinds: Any = redis_connections
    connection: Connection
    if address.path:
        connection = kinds.UnixDomainSocketConnection(path=address.path, **options)
    elif address.tls:
        options |= _tls_options(address)
        connection = kinds.SSLConnection(host=address.host, port=address.port, **options)
    else:
        connection = kinds.Connection(host=address.host, port=address.port, **options)
    return connection


def _tls_options(address: ServerAddress) -> dict[str, Any]:
    for name in TLS_FILES:
        if path := getattr(address, name):
            try:
                open(path, "rb").close()
            except OSError as error:
                raise TLSFailed(f"{path}: {error.strerror}. Set {name} in ORCHESTRATOR_REDIS_URL to a file.") from None
    names = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
    given = {name: value for name in names if (value := getattr(address, name)) is not None}
    return {**given, "ssl_password": address.ssl_password or ""}  # None: OpenSSL would ask at the terminal


def primary_of(address: ServerAddress, options: dict[str, Any], until: float) -> ServerAddress:
    """Where the primary is now, as the first sentinel says that answers.

    Raises:
        BrokerError: why the last one that was asked did not say it.
    """
    deadline = min(until, time.monotonic() + SENTINELS_SECONDS)
    error: BrokerError = BrokerUnavailable(f"no sentinel of {address.service} was asked")
    for host, port in address.sentinels:
        sentinel = replace(
            address,
            host=host,
            port=port,
            db=0,
            service=None,
            username=address.sentinel_username,
            password=address.sentinel_password,
        )
        try:
            found = _ask(sentinel, str(address.service), options, min(until, time.monotonic() + SENTINEL_SECONDS))
            return replace(address, host=found[0].decode(), port=int(found[1]), service=None)
        except BrokerError as refusal:
            error = refusal
        if time.monotonic() > deadline:
            break
    raise error


def greeting(address: ServerAddress, until: float, name: str | None) -> Callable[[Any], None]:
    """What redis-py is to do on a new connection: log in and choose the database, all before this moment.

    Its own greeting gives every read a new timeout, so that a server that trickles bytes would be waited for long.
    """
    commands: list[tuple[Any, ...]] = []
    if address.username or address.password:
        user = (address.username,) if address.username else ()
        commands.append(("AUTH", *user, address.password or ""))
    if name:
        commands.append(("CLIENT", "SETNAME", name))
    if address.db:
        commands.append(("SELECT", address.db))

    def greet(connection: Any) -> None:
        connection._parser.on_connect(connection)
        if not commands:
            return
        for reply in Dialogue(connection).exchange(commands, until):
            if isinstance(reply, Exception):
                raise reply

    return greet


def _ask(sentinel: ServerAddress, service: str, options: dict[str, Any], until: float) -> list[bytes]:
    where = f"the sentinel {name_of(sentinel)}"
    seconds = max(0.01, until - time.monotonic())
    quick = {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "redis_connect_func": greeting(sentinel, until, None),
    }
    connection = connection_to(sentinel, options | quick)
    try:
        connection.connect()
        (found,) = Dialogue(connection).exchange([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)], until)
        if isinstance(found, Exception):
            raise found
    except Exception as error:
        ours = translate_opening(error, sentinel, where)
        if isinstance(ours, AuthenticationFailed):
            ours = AuthenticationFailed(f"{ours} A sentinel's own are sentinel_username and sentinel_password.")
        raise ours from error
    finally:
        connection.disconnect()
    if not found:
        raise BrokerRefused(
            f"{where} knows no service {service!r}. Set the name after the last '/' of ORCHESTRATOR_REDIS_URL."
        )
    return list(found)
