"""How often an address, or a name, may be guessed at: a few times at once, then ever more slowly, on all servers."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Final

from brokers.base import Broker
from brokers.facets.guesses import Pace

OF_AN_ADDRESS: Final = Pace(free=5, first_wait_ms=2_000, longest_wait_ms=300_000)
AT_A_NAME: Final = Pace(free=20, first_wait_ms=2_000, longest_wait_ms=30_000)
"""From wherever they come: so many machines guess slowly, and whoever has the name is not kept out for long."""
_NEVER_WAITS: Final = Pace(free=1 << 30, first_wait_ms=0, longest_wait_ms=0)
FORGOTTEN_AFTER_MS: Final = 3_600_000  # without a further guess


class LoginThrottle:
    """Counts wrong passwords by address and by name, in the store: a restart forgets none.

    From the sixth one on an address waits two seconds, then four, at most 300. Guesses at one name from many addresses
    wait from the 21st on, at most 30 s. Every method may be called from any thread, and may raise ``BrokerError``.

    Args:
        broker: of the fleet.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def begin(self, address: str, name: str = "") -> float:
        """Count a guess before it is looked at; for how many seconds it has to wait instead, 0.0: it need not.

        Args:
            address: from where.
            name: at whose password; empty: at the server's own.
        """
        paces = {
            _of_address(address): OF_AN_ADDRESS,
            _share(address, name): _NEVER_WAITS,
            _at_name(name): AT_A_NAME,
        }
        return self._broker.guesses.begin(paces, FORGOTTEN_AFTER_MS) / 1000

    def begin_change(self, user_id: str) -> float:
        """Count that somebody who has logged in gives the old password, right or wrong; seconds to wait, as above."""
        return self._broker.guesses.begin({f"u:{_hashed(user_id)}": OF_AN_ADDRESS}, FORGOTTEN_AFTER_MS) / 1000

    def succeeded(self, address: str, name: str = "") -> None:
        """It was right: the wrong guesses at this name were slips. Those at other names stay counted.

        Whoever has a password of their own would otherwise guess at others without a wait, between two log-ins.
        """
        self._broker.guesses.forget([_at_name(name)], {_share(address, name): _of_address(address)})


def _of_address(address: str) -> str:
    return f"a:{_hashed(network_of(address))}"


def _at_name(name: str) -> str:
    return f"n:{_hashed(name)}"


def _share(address: str, name: str) -> str:
    """The part of an address's guesses that were at one name."""
    return f"s:{_hashed(f'{network_of(address)} {name}')}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]  # whatever it is, and however long


def network_of(address: str) -> str:
    """Whose address it is: with IPv6 everybody has a whole /64 of them.

    >>> network_of("2001:db8::1") == network_of("2001:db8::2"), network_of("10.0.0.8"), network_of("::ffff:10.0.0.8")
    (True, '10.0.0.8', '10.0.0.8')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
