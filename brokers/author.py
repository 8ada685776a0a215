"""Who changes something, where nobody says: a person at a machine."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_acting: Final[ContextVar[str]] = ContextVar("acting", default="")


def this_user() -> str:
    """Whoever :func:`acting_as` says, else the user of this process, at this host.

    >>> "@" in this_user()
    True
    """
    if acting := _acting.get():
        return acting
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """What is changed inside is changed by this person, as far as the audit is concerned; empty: as before.

    >>> with acting_as("ann"): this_user()
    'ann'
    """
    token = _acting.set(name or _acting.get())
    try:
        yield
    finally:
        _acting.reset(token)
