"""From an address to a connection: TCP, TLS, unix sockets, and the sentinels that know where the primary is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from redis import connection as redis_connections

from brokers.errors import AuthenticationFailed, BrokerError, BrokerRefused, BrokerUnavailable, TLSFailed
from brokers.urls import TLS_FILES, ServerAddress

from .translation import translate_opening

SENTINEL_SECONDS: Final = 0.5
SENTINELS_SECONDS: Final = 1.0  # for all of them together: a call must fail within 2 s


class Connection(Protocol):
    """What we use of redis-py's connection objects (which are not annotated)."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_commands(self, commands: Sequence[Sequence[Any]]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...
    def read_response(self, *, disable_decoding: bool, timeout: float) -> Any: ...


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


def primary_of(address: ServerAddress, options: dict[str, Any]) -> ServerAddress:
    """Where the primary is now, as the first sentinel says that answers.

    Raises:
        BrokerError: why the last one that was asked did not say it.
    """
    deadline = time.monotonic() + SENTINELS_SECONDS
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
            found = _ask(sentinel, str(address.service), options)
            return replace(address, host=found[0].decode(), port=int(found[1]), service=None)
        except BrokerError as said:
            error = said
        if time.monotonic() > deadline:
            break
    raise error


def _ask(sentinel: ServerAddress, service: str, options: dict[str, Any]) -> list[bytes]:
    where = f"the sentinel {name_of(sentinel)}"
    quick = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS, "client_name": None}
    connection = connection_to(sentinel, options | quick)
    try:
        connection.connect()
        question = connection.pack_commands([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)])
        connection.send_packed_command(question, check_health=False)
        found: list[bytes] | None = connection.read_response(disable_decoding=True, timeout=SENTINEL_SECONDS)
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
    return found
