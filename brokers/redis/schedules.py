"""Schedules: one hash each, an index by when they are due, one by last write and one by owner."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from brokers.author import this_user
from brokers.errors import BrokerConflict
from brokers.facets.schedules import AS_IT_WAS, StoredSchedule
from brokers.stored import number, table, text, whole

from .store import RedisStore, flat


class RedisSchedules:
    """See :class:`brokers.base.Schedules`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def write(
        self,
        schedule_id: str,
        fields: Mapping[str, str | bytes],
        *,
        due_ms: int = AS_IT_WAS,
        drop: Sequence[str] = (),
        expected: int | None = None,
        only_new: bool = False,
        who: str = "",
        what: str = "changed",
    ) -> int:
        token = secrets.token_hex(6)  # the same write, repeated after a lost reply, is known by it
        rules = [-1 if expected is None else expected, only_new]
        arguments = [schedule_id, flat(fields), list(drop), due_ms, rules, token, who or this_user(), what]
        generation, trouble = self._store.run("schedule_write", arguments)
        if trouble:
            raise BrokerConflict(_conflict(schedule_id, trouble, whole(generation), expected))
        return whole(generation)

    def read(self, schedule_ids: Sequence[str]) -> list[StoredSchedule | None]:
        keys = self._store.keys
        commands = [("HGETALL", keys.schedule(schedule_id)) for schedule_id in schedule_ids]
        dues = [("ZSCORE", keys.due, schedule_id) for schedule_id in schedule_ids]
        replies = self._store.look([*commands, *dues])
        rows = zip(schedule_ids, replies[: len(commands)], replies[len(commands) :], strict=True)
        return [_stored(schedule_id, fields, due) for schedule_id, fields, due in rows]

    def of(self, owner: str) -> list[str]:
        (ids,) = self._store.look([("SMEMBERS", self._store.keys.schedules_of(owner))])
        return sorted(text(schedule_id) for schedule_id in ids or ())

    def newest(self, first: int = 0, limit: int = 200) -> tuple[int, list[str]]:
        key = self._store.keys.schedules
        total, ids = self._store.look([("ZCARD", key), ("ZREVRANGE", key, first, first + limit - 1)])
        return whole(total), [text(schedule_id) for schedule_id in ids or ()]

    def delete(self, schedule_ids: Sequence[str], who: str = "") -> int:
        return whole(self._store.run("schedule_delete", [list(schedule_ids), who or this_user()]))


def _conflict(schedule_id: str, trouble: bytes, generation: int, expected: int | None) -> str:
    if trouble == b"new":
        return f"there is a schedule {schedule_id} already; nothing was written"
    there = f"has changed since (it was generation {expected}, it is {generation})" if generation else "is gone"
    return f"the schedule {schedule_id} {there}; nothing was written: read it again"


def _stored(schedule_id: str, row: Any, due: Any) -> StoredSchedule | None:
    fields = table(row)
    if not fields and due is None:
        return None
    due_ms = number(due)
    return StoredSchedule(
        schedule_id,
        None if due_ms is None else int(due_ms),
        {text(name): value for name, value in fields.items()},
    )
