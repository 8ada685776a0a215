"""Whether a server is fit to keep calls: asked at a worker's start and by ``orchestrator check``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from brokers.errors import BrokerUnavailable

from .store import RedisStore

NEARLY_FULL: Final = 0.9

_COMMANDS: Final = """
client|setname select info time ping eval evalsha
exists del unlink persist pexpire pttl get set incr
hset hget hmget hgetall hdel hincrby hstrlen
rpush lpush lpop llen ltrim lrange
sadd srem sismember smembers
zadd zrem zcard zcount zscore zrange zrevrange zrangebyscore zremrangebyscore
xadd xread xreadgroup xautoclaim xclaim xack xdel xtrim xlen xrange xrevrange xpending
xgroup|create xgroup|delconsumer xinfo|consumers xinfo|groups
"""
PERMISSIONS: Final = tuple(_COMMANDS.split())
"""Every command that the project sends or that its scripts call."""


class RedisHealth:
    """See :class:`brokers.base.Health`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def ping(self) -> None:
        self._store.wires.commands([("PING",)])

    def is_reachable(self) -> bool:
        try:
            self.ping()
        except BrokerUnavailable:
            return False
        return True

    def facts(self) -> dict[str, str]:
        replies = self._store.wires.commands([("INFO", "memory"), ("INFO", "persistence")])
        lines = [line for reply in replies for line in reply.decode().splitlines() if ":" in line]
        return dict(line.split(":", 1) for line in lines)

    def warnings(self) -> list[str]:
        return _warnings(self.facts())


def _warnings(facts: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"maxmemory-policy is {policy}: the server will throw calls and results away when memory is short. "
            "Set it to noeviction."
        )
    if facts.get("aof_enabled", "0") != "1":
        found.append("appendonly is off: calls that are queued when the server stops are lost. Set appendonly yes.")
    most, used = int(facts.get("maxmemory", "0")), int(facts.get("used_memory", "0"))
    if most and used > NEARLY_FULL * most:
        found.append(f"memory is {used / most:.0%} full ({used:,} of {most:,} bytes): new calls will soon be refused.")
    if facts.get("aof_last_write_status", "ok") != "ok":
        found.append("the last write of the append-only file failed: look at the server's disk and log.")
    return found


def acl_rules(namespace: str, user: str) -> str:
    """The ``ACL SETUSER`` line of a user who may do what the project needs and nothing else.

    It begins with a ``reset``: whatever the user was allowed before is forgotten.

    >>> acl_rules("shop", "worker").split()[:5]
    ['ACL', 'SETUSER', 'worker', 'reset', 'on']
    """
    commands = " ".join(f"+{command}" for command in PERMISSIONS)
    return f"ACL SETUSER {user} reset on >CHANGE-ME ~{{{namespace}}}:* resetchannels -@all {commands}"
