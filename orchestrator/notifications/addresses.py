"""Which addresses a webhook may reach: public ones, unless it is allowed more.

A webhook's URL comes from people who may not reach the network that the worker is in. Without this rule one could make
a worker call a database, a router or a cloud's metadata service, and read its answer in an error. A name is judged by
the addresses that it has now, and the connection goes to an address that was judged: a name that changes in between
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from typing import Final, NamedTuple

from orchestrator.errors import NotificationError

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(NamedTuple):
    """One address that a host's name stands for, as :func:`socket.getaddrinfo` gives it."""

    family: int
    kind: int
    protocol: int
    sockaddr: tuple[str | int | bytes, ...]

    @property
    def address(self) -> str:
        """The IP address as text."""
        return str(self.sockaddr[0])


def is_public(address: str) -> bool:
    """Whether an IP address belongs to a host on the internet, also when IPv6 carries an IPv4 address.

    >>> [is_public(text) for text in ("93.184.216.34", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1")]
    [True, False, False, False]
    """
    inner = _inner(ipaddress.ip_address(address.partition("%")[0]))
    is_of_a_site = isinstance(inner, ipaddress.IPv6Address) and inner.is_site_local  # fec0::/10: private, says RFC 3879
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or is_of_a_site)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it does; else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def endpoints(host: str, port: int, seconds: float, *, allow_private: bool = False) -> list[Endpoint]:
    """The addresses of a host that may be connected to, in the order in which to try them.

    Args:
        seconds: how long the name's resolution may take.
        allow_private: take private, loopback, link-local and all other addresses, too.

    Raises:
        NotificationError: the name has no address, its resolution takes too long, or none of its addresses is public.
    """
    found = _resolved(host, port, seconds)
    allowed = [endpoint for endpoint in found if allow_private or is_public(endpoint.address)]
    if not allowed:
        raise NotificationError(
            f"{host} has the address {found[0].address}, which is not public: webhooks reach private, loopback and "
            "link-local addresses only with allow_private_urls=True"
        )
    return allowed


def _resolved(host: str, port: int, seconds: float) -> list[Endpoint]:
    """All addresses of a host. The resolver of the system has no timeout, so it is asked in a thread of its own."""
    with contextlib.suppress(OSError, UnicodeError):
        return _asked(host, port, socket.AI_NUMERICHOST)  # it is an address itself
    found: list[Endpoint] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(_asked(host, port))
        except (OSError, UnicodeError) as error:  # a label that is too long for DNS is a UnicodeError
            errors.append(error)

    thread = threading.Thread(target=ask, name="orchestrator-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        reason = getattr(errors[0], "strerror", None) or "it is no name"
        raise NotificationError(f"the name {host} has no address: {reason}", temporary=isinstance(errors[0], OSError))
    if not found:
        raise NotificationError(f"the name {host} was not resolved within {seconds:g} s", temporary=True)
    return found


def _asked(host: str, port: int, flags: int = 0) -> list[Endpoint]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [Endpoint(int(row[0]), int(row[1]), row[2], tuple(row[4])) for row in rows]
