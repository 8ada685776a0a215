"""Definitions that people make: deployments, limits, pools, ...; they never expire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """One definition. What each field holds is its kind's own matter."""

    id: str
    generation: int  # counts what people wrote, from 1 on
    written_at_ms: int  # by the server's clock
    name: str
    fields: dict[str, bytes]


class AuditLine(NamedTuple):
    """What somebody wrote or deleted."""

    at_ms: int
    who: str
    what: str
    kind: str
    id: str


class Documents(Protocol):
    """Definitions by kind and id. Field names are anything but ``g``, ``at``, ``w`` and ``n``."""

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
        """Write fields of a document, the others stay; returns its new generation.

        Args:
            kind: such as ``deployment``.
            document_id: its id.
            fields: what is written.
            name: under which :meth:`find` finds it, unique in its kind; empty: as before.
            expected: the generation that the writer has read; ``None``: whatever it is.
            drop: fields that are removed.
            only_new: refuse to change one that is there.
            who: the writer, for the audit; empty: this user at this host.

        Raises:
            BrokerConflict: it is there and must not be, has another generation, or another one has the name.
        """

    def touch(self, kind: str, document_ids: Sequence[str], field: str) -> int:
        """Set a field of documents that are there to the server's time (ms): no change by people. Returns how many."""

    def read(self, kind: str, document_ids: Sequence[str]) -> list[Document | None]:
        """Documents by their ids; ``None`` where there is none."""

    def find(self, kind: str, names: Sequence[str]) -> list[str | None]:
        """The ids of documents by their names."""

    def newest(self, kind: str, first: int = 0, limit: int | None = 200) -> tuple[int, list[str]]:
        """How many there are, and some of their ids, what was written last first.

        Pages that are read one after the other may miss one that moves meanwhile; ``limit=None`` gives all of a moment.
        """

    def delete(self, kind: str, document_ids: Sequence[str], who: str = "", *, expected: int | None = None) -> int:
        """Delete documents; returns how many there were.

        Args:
            kind: such as ``deployment``.
            document_ids: their ids.
            who: for the audit; empty: this user at this host.
            expected: the generation of one that whoever deletes it has read; ``None``: whatever it is.

        Raises:
            BrokerConflict: it has another generation, or is gone; nothing was deleted.
        """

    def note(self, kind: str, document_id: str, what: str, who: str = "") -> None:
        """A line in the audit about one that was not changed, such as that somebody asked for its secrets."""

    def audit(self, count: int = 100) -> list[AuditLine]:
        """What people wrote and deleted last, the newest first; the store keeps about 100,000 lines."""
