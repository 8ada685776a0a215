"""What runs leave behind for people: one record each, large contents in chunks beside it, versions under keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

CHUNK_SECONDS: Final = 600.0
"""How long chunks wait for their record. A writer that dies before it leaves nothing that stays."""


class ArtifactField:
    """Fields of an artifact's record. Moments are by the server's clock."""

    KEY: Final = "k"
    TYPE: Final = "y"
    FLOW_RUN: Final = "f"
    TASK_RUN: Final = "t"
    CREATED: Final = "at"  # microseconds, strictly rising in a namespace
    UPDATED: Final = "up"  # milliseconds
    CHUNKS: Final = "c"
    TTL: Final = "ttl"  # milliseconds that one without a key is kept beyond its run
    DATA: Final = "d"
    DESCRIPTION: Final = "x"
    FACTS: Final = "m"


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """An artifact that is about to be; ``data``, ``description`` and ``facts`` are the upper floors' own matter.

    Attributes:
        id: not used before; a create that is repeated changes nothing.
        type: such as ``markdown``.
        key: under which it is a version; empty: it has none, and is kept as long as its run.
        flow_run_id, task_run_id: the runs that left it; empty: none.
        data, description, facts: ``None``: it has none.
        chunks: how many of its chunks were put.
    """

    id: str
    type: str
    key: str = ""
    flow_run_id: str = ""
    task_run_id: str = ""
    data: bytes | None = None
    description: bytes | None = None
    facts: bytes | None = None
    chunks: int = 0


class StoredArtifact(NamedTuple):
    """One artifact as it is kept; ``data`` is ``None`` also where it was not asked for."""

    id: str
    type: str
    key: str
    flow_run_id: str
    task_run_id: str
    created_us: int
    updated_ms: int
    chunks: int
    description: bytes | None
    facts: bytes | None
    data: bytes | None


class Artifacts(Protocol):
    """Artifacts by id, in lists that begin with the newest."""

    def put_chunks(self, artifact_id: str, first: int, chunks: Sequence[bytes]) -> None:
        """Write some chunks of an artifact that is about to be, numbered from ``first`` on.

        Nobody sees them, and without :meth:`create` they are gone after :data:`CHUNK_SECONDS`.
        """

    def create(self, artifact: NewArtifact, keep_versions: int) -> None:
        """Make it visible, with its chunks, and drop all but the newest versions of its key.

        Raises:
            BrokerConflict: some of its chunks are not there (any more); nothing was made.
        """

    def change(self, changes: Mapping[str, Mapping[str, str | bytes]]) -> list[bool]:
        """Write fields of artifacts by id (see :class:`ArtifactField`); of each, whether it was there to be changed."""

    def read(self, artifact_ids: Sequence[str], *, with_data: bool = True) -> list[StoredArtifact | None]:
        """Artifacts by their ids; ``None`` where there is none."""

    def chunks(self, artifact_id: str, numbers: Sequence[int]) -> list[bytes | None]:
        """Chunks by their numbers; ``None`` where one is not there."""

    def newest(
        self, first: int = 0, limit: int = 200, *, key: str | None = None, run_id: str | None = None
    ) -> tuple[int, list[str]]:
        """How many there are, and the ids of some.

        Args:
            first: how many are passed over.
            limit: how many at most.
            key: only the versions of this key; empty: only those that have a key.
            run_id: only those that this flow run, or task run, has left, whatever their keys.
        """

    def keys(self, first: int = 0, limit: int = 200) -> tuple[int, list[tuple[str, str]]]:
        """How many keys there are, and some of them with their newest version, the one written last first."""

    def delete(self, artifact_ids: Sequence[str] = (), keys: Sequence[str] = ()) -> int:
        """Forget artifacts, and every version of keys, with all that belongs to them; returns how many there were."""
