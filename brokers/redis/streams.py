"""Streams read from the newest entry on, without the trap of ``XREVRANGE``.

Asked for what is older than its oldest entry a server looks at every entry of the stream, from the newest on: where
there are millions it does nothing else for seconds (Redis 7.0).
"""

from __future__ import annotations

from typing import Any, Final

from .store import RedisStore

_LAST: Final = 2**64 - 1  # number in a millisecond


def newest_first(store: RedisStore, key: str, first: str, count: int) -> list[Any]:
    """At most ``count`` entries of a stream, the newest first; ``first`` as in ``journal.backwards``."""
    if first != "+" and not _has_older(store, key, first):
        return []
    (found,) = store.look([("XREVRANGE", key, first, "-", "COUNT", count)])
    return found or []


def _has_older(store: RedisStore, key: str, first: str) -> bool:
    """Whether there is something at this position or before it."""
    (oldest,) = store.look([("XRANGE", key, "-", "+", "COUNT", 1)])
    if not oldest:
        return False
    try:
        wanted, there = _place(first.removeprefix("(")), _place(oldest[0][0].decode())
    except ValueError:  # no position: the server says so
        return True
    return there < wanted or (there == wanted and not first.startswith("("))


def _place(position: str) -> tuple[int, int]:
    moment, dash, number = position.partition("-")
    return int(moment), int(number) if dash else _LAST
