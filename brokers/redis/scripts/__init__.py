"""The Lua verbs. Each script is ``prelude.lua`` followed by its own file, under one SHA1."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

WITHOUT_PRELUDE: Final = ("send",)


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
    here = files(__name__)
    body = (here / f"{name}.lua").read_text("utf-8")
    flags = ""
    if body.startswith("#!"):  # the line with the flags must stay the first
        flags, body = body.split("\n", 1)
        flags += "\n"
    if name in WITHOUT_PRELUDE:
        return Script(body, hashlib.sha1(body.encode()).hexdigest())
    mode = f"local CARRIED = {'true' if carried else 'false'}\n"
    text = flags + mode + (here / "prelude.lua").read_text("utf-8") + body
    return Script(text, hashlib.sha1(text.encode()).hexdigest())
