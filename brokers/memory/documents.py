"""Definitions that people make, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from brokers.author import this_user
from brokers.errors import BrokerConflict
from brokers.facets.documents import AuditLine, Document
from brokers.facets.limits import KIND as LIMIT


class MemoryDocuments:
    """See :class:`brokers.base.Documents`.

    Args:
        on_limits: called after a limit was written or deleted.
    """

    def __init__(self, on_limits: Callable[[], None] = lambda: None) -> None:
        self._on_limits = on_limits
        self._kinds: dict[str, dict[str, Document]] = {}
        self._audit: list[AuditLine] = []
        self._lock = threading.RLock()

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
        with self._lock:
            generation = self._write(kind, document_id, fields, name, expected, drop, only_new, who)
        if kind == LIMIT:
            self._on_limits()
        return generation

    def _write(
        self,
        kind: str,
        document_id: str,
        fields: Mapping[str, str | bytes],
        name: str,
        expected: int | None,
        drop: Sequence[str],
        only_new: bool,
        who: str,
    ) -> int:
        with self._lock:
            known = self._kinds.setdefault(kind, {})
            before = known.get(document_id) or Document(document_id, 0, 0, "", {})
            if before.generation and only_new:
                raise BrokerConflict(f"there is a {kind} {name or document_id!r} already; nothing was written")
            if expected is not None and expected != before.generation:
                raise BrokerConflict(f"the {kind} {name or document_id!r} has changed since; nothing was written")
            if name and self.find(kind, [name]) not in ([None], [document_id]):
                raise BrokerConflict(f"another {kind} has the name {name!r}; nothing was written")
            kept = {field: value for field, value in before.fields.items() if field not in drop}
            written = {field: value.encode() if isinstance(value, str) else value for field, value in fields.items()}
            known.pop(document_id, None)  # what was written last comes last
            document = Document(document_id, before.generation + 1, _now_ms(), name or before.name, {**kept, **written})
            known[document_id] = document
            self._note(who, "changed" if before.generation else "created", kind, document_id)
            return document.generation

    def touch(self, kind: str, document_ids: Sequence[str], field: str) -> int:
        with self._lock:
            there = [document for document in self.read(kind, document_ids) if document is not None]
            for document in there:
                document.fields[field] = str(_now_ms()).encode()
            return len(there)

    def read(self, kind: str, document_ids: Sequence[str]) -> list[Document | None]:
        known = self._kinds.get(kind, {})
        return [known.get(document_id) for document_id in document_ids]

    def find(self, kind: str, names: Sequence[str]) -> list[str | None]:
        with self._lock:
            ids = {document.name: document.id for document in self._kinds.get(kind, {}).values()}
            return [ids.get(name) for name in names]

    def newest(self, kind: str, first: int = 0, limit: int | None = 200) -> tuple[int, list[str]]:
        with self._lock:
            ids = list(reversed(self._kinds.get(kind, {})))
            return len(ids), ids[first : None if limit is None else first + limit]

    def delete(self, kind: str, document_ids: Sequence[str], who: str = "", *, expected: int | None = None) -> int:
        with self._lock:
            known = self._kinds.get(kind, {})
            there_are = [known[each].generation if each in known else 0 for each in document_ids]
            if expected is not None and any(generation != expected for generation in there_are):
                raise BrokerConflict(
                    f"the {kind} {document_ids[0]!r} has changed since or is gone; nothing was deleted"
                )
            there = [document_id for document_id in document_ids if known.pop(document_id, None) is not None]
            for document_id in there:
                self._note(who, "deleted", kind, document_id)
        if kind == LIMIT:
            self._on_limits()
        return len(there)

    def note(self, kind: str, document_id: str, what: str, who: str = "") -> None:
        with self._lock:
            self._note(who, what, kind, document_id)

    def audit(self, count: int = 100) -> list[AuditLine]:
        with self._lock:
            return self._audit[: -count - 1 : -1]

    def _note(self, who: str, what: str, kind: str, document_id: str) -> None:
        self._audit.append(AuditLine(_now_ms(), who or this_user(), what, kind, document_id))


def _now_ms() -> int:
    return round(time.time() * 1000)
