"""The Lua verbs: one file each, behind the parts of ``lib/`` that it needs, under one SHA1.

A verb, and a part, names its parts in a line ``-- needs: tickets ends``; ``lib/store.lua`` comes first of all.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

ALONE: Final = ("done", "send", "send_block")
"""Verbs without any part, not even the first."""

_NEEDS: Final = re.compile(r"^-- needs: ([a-z_ ]+)$", re.MULTILINE)


class Script(NamedTuple):
    """A script's text, and the SHA1 (hexadecimal) under which a server knows it."""

    text: str
    sha: str


@cache
def load(name: str, carried: bool = False) -> Script:
    """The script of a verb, such as ``submit``.

    Args:
        name: the verb.
        carried: queued runs travel as messages of another broker, the streams hold only what is claimed.

    >>> len(load("submit").sha)
    40
    """
    body = (files(__name__) / f"{name}.lua").read_text("utf-8")
    if name in ALONE:
        return _script(body)
    flags = ""
    if body.startswith("#!"):  # the line with the flags must stay the first
        flags, body = body.split("\n", 1)
        flags += "\n"
    mode = f"local CARRIED = {'true' if carried else 'false'}\n"
    return _script(flags + mode + "".join(_parts_of(body)) + body)


def parts_of(name: str) -> list[str]:
    """The parts of a verb in their order.

    >>> parts_of("backlog")
    ['store', 'tickets', 'sources', 'blocks']
    """
    return list(_parts_needed((files(__name__) / f"{name}.lua").read_text("utf-8")))


def _parts_of(body: str) -> list[str]:
    return list(_parts_needed(body).values())


def _parts_needed(body: str) -> dict[str, str]:
    """Name and text of the parts that come before this text; those that a part needs come before it."""
    found = {"store": _part("store")}

    def add(text: str) -> None:
        needed = _NEEDS.search(text)
        for name in needed.group(1).split() if needed else ():
            if name not in found:
                part = _part(name)
                add(part)
                found[name] = part

    add(body)
    return found


def _part(name: str) -> str:
    return (files(__name__) / "lib" / f"{name}.lua").read_text("utf-8")


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode()).hexdigest())
