"""Definitions: one hash each, an index by last write and one by name for each kind."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from brokers.author import this_user
from brokers.errors import BrokerConflict
from brokers.facets.documents import AuditLine, Document
from brokers.records import in_portions
from brokers.stored import table, text, text_or_none, whole

from .store import RedisStore, flat

_OURS = (b"g", b"at", b"w", b"n")


class RedisDocuments:
    """See :class:`brokers.base.Documents`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def write(
        self,
        kind: str,
        document_id: str,
        fields: Mapping[str, str | bytes],
        *,
        name: str = "",
        expected: int | None = None,
        drop: Sequence[str] = (),
        only_new: bool = False,
        who: str = "",
    ) -> int:
        token = secrets.token_hex(6)  # the same write, repeated after a lost reply, is known by it
        rules = [-1 if expected is None else expected, only_new]
        arguments = [kind, document_id, flat(fields), list(drop), name, rules, token, who or this_user()]
        generation, trouble = self._store.run("document_write", arguments)
        if trouble:
            raise BrokerConflict(_conflict(trouble, kind, name or document_id, whole(generation), expected))
        return whole(generation)

    def touch(self, kind: str, document_ids: Sequence[str], field: str) -> int:
        return whole(self._store.run("document_touch", [kind, list(document_ids), field]))

    def read(self, kind: str, document_ids: Sequence[str]) -> list[Document | None]:
        keys = self._store.keys
        rows = self._store.hashes([keys.document(kind, document_id) for document_id in document_ids])
        return [_document(document_id, row) for document_id, row in zip(document_ids, rows, strict=True)]

    def find(self, kind: str, names: Sequence[str]) -> list[str | None]:
        if not names:
            return []
        (ids,) = self._store.look([("HMGET", self._store.keys.document_names(kind), *names)])
        return [text_or_none(document_id) for document_id in ids or [None] * len(names)]

    def newest(self, kind: str, first: int = 0, limit: int | None = 200) -> tuple[int, list[str]]:
        key = self._store.keys.documents(kind)
        last = -1 if limit is None else first + limit - 1
        total, ids = self._store.look([("ZCARD", key), ("ZREVRANGE", key, first, last)])
        return whole(total), [text(document_id) for document_id in ids or ()]

    def delete(self, kind: str, document_ids: Sequence[str], who: str = "", *, expected: int | None = None) -> int:
        deleted, generation = 0, -1 if expected is None else expected
        for some in in_portions(document_ids):
            found = self._store.run("document_delete", [kind, some, who or this_user(), generation])
            if found == -1:
                raise BrokerConflict(f"the {kind} {some[0]!r} has changed since or is gone; nothing was deleted")
            deleted += whole(found)
        return deleted

    def note(self, kind: str, document_id: str, what: str, who: str = "") -> None:
        self._store.run("document_note", [kind, document_id, what, who or this_user()])

    def audit(self, count: int = 100) -> list[AuditLine]:
        (entries,) = self._store.look([("XREVRANGE", self._store.keys.audit, "+", "-", "COUNT", count)])
        return [_line(position, table(fields)) for position, fields in entries or ()]


def _conflict(trouble: bytes, kind: str, what: str, generation: int, expected: int | None) -> str:
    if trouble == b"name":
        return f"another {kind} has the name {what!r}; nothing was written"
    if trouble == b"new":
        return f"there is a {kind} {what!r} already; nothing was written"
    there = f"has changed since (it was generation {expected}, it is {generation})" if generation else "is gone"
    return f"the {kind} {what!r} {there}; nothing was written: read it again"


def _document(document_id: str, row: Mapping[bytes, bytes]) -> Document | None:
    if not row:
        return None
    fields = {text(name): value for name, value in row.items() if name not in _OURS}
    return Document(document_id, whole(row.get(b"g")), whole(row.get(b"at")), text(row.get(b"n")), fields)


def _line(position: bytes, row: Mapping[bytes, bytes]) -> AuditLine:
    at_ms = whole(position.partition(b"-")[0])
    return AuditLine(at_ms, *(text(row.get(field)) for field in (b"who", b"what", b"kind", b"id")))
