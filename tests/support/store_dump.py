"""Everything that a fleet has in its store, as bytes: what somebody would see who reads all of it."""

from __future__ import annotations

import base64
from typing import Any

import redis

from orchestrator.client.fleet import Fleet


def everything_in(fleet: Fleet) -> bytes:
    """All keys of its namespace with their names and values, whatever their type."""
    address = fleet.embedded.ensure() if fleet.embedded is not None else str(fleet.settings.redis_url)
    with redis.Redis.from_url(address) as client:
        keys = list(client.scan_iter(match=f"*{fleet.settings.namespace}*", count=1000))
        return b"\n".join(part for key in keys for part in (key, *_value(client, key)))


def _value(client: Any, key: bytes) -> list[bytes]:
    readers = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: client.xrange(key),
    }
    reader = readers.get(client.type(key))
    return list(_flat(reader())) if reader is not None else []


def _flat(value: Any) -> list[bytes]:
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    return [part for one in value or () for part in _flat(one)]


def traces_of(secret: str, dump: bytes) -> list[str]:
    """How a secret can be found in it: in the clear, reversed, in hexadecimal, or in base64 at any alignment."""
    data = secret.encode()
    forms = {"clear": data, "hexadecimal": data.hex().encode(), "reversed": data[::-1]}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data)
        first = -(-shift * 8 // 6) if shift else 0
        forms[f"base64 at {shift}"] = whole[first : len(whole) - 4]
    return [name for name, form in forms.items() if form in dump]
