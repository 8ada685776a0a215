"""Artifacts on their way to the store: chunks first, which nobody sees, then the record that makes them visible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from brokers.base import Broker
from brokers.facets.artifacts import ArtifactField, NewArtifact
from orchestrator.artifacts.contents import compressed, enclosed, pack_json, pack_rows
from orchestrator.artifacts.images import Picture
from orchestrator.artifacts.names import artifact_id_of, check_key
from orchestrator.artifacts.record import facts_of, facts_of_image, facts_of_link, facts_of_table
from orchestrator.artifacts.tables import Table
from orchestrator.client.fleet import Fleet
from orchestrator.runs.current import current_attempt, current_flow_run
from orchestrator.runs.run_ids import new_run_id

MAX_TYPE: Final = 100
_PORTION_BYTES: Final = 4_000_000  # of chunks that are held in memory before they are written


@dataclass(frozen=True, slots=True)
class Draft:
    """An artifact that somebody wants to leave.

    Attributes:
        type, key, description, data, metadata, flow_run_id, task_run_id: see
            :class:`~orchestrator.artifacts.record.ArtifactRecord`.
        table: its rows, kept in chunks; ``data`` is not used.
        picture: kept by us, or an address.
        link: URL and text.
    """

    type: str
    key: str | None = None
    description: str | None = None
    data: Any = None
    metadata: Mapping[str, Any] | None = None
    flow_run_id: UUID | str | None = None
    task_run_id: UUID | str | None = None
    table: Table | None = None
    picture: Picture | None = None
    link: tuple[str, str] | None = None


@dataclass(slots=True)
class _Chunks:
    """Writes chunks in portions."""

    broker: Broker
    artifact_id: str
    written: int = 0
    waiting: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, chunk: bytes) -> None:
        self.waiting.append(chunk)
        self.size += len(chunk)
        if self.size > _PORTION_BYTES:
            self.write()

    def write(self) -> int:
        """Write what waits; returns how many have been written."""
        if self.waiting:
            self.broker.artifacts.put_chunks(self.artifact_id, self.written, self.waiting)
        self.written, self.waiting, self.size = self.written + len(self.waiting), [], 0
        return self.written


def write(fleet: Fleet, draft: Draft) -> UUID:
    """Leave an artifact; whoever dies in the middle leaves nothing. Returns its id.

    Raises:
        ValueError: a key that cannot be one, or contents that are too large.
        BrokerError: the server does not answer, or refuses.
    """
    check_key(draft.key)
    if not draft.type or len(draft.type) > MAX_TYPE:
        raise ValueError(f"the type of an artifact has 1 to {MAX_TYPE} characters")
    artifact_id = new_run_id()
    chunks = _Chunks(fleet.broker, artifact_id)
    facts = {**_contents(artifact_id, draft, chunks), **({"metadata": dict(draft.metadata)} if draft.metadata else {})}
    data = None if draft.table is not None or draft.data is None else pack_json(artifact_id, "data", draft.data)
    made = NewArtifact(
        artifact_id,
        draft.type,
        draft.key or "",
        artifact_id_of(draft.flow_run_id) if draft.flow_run_id else "",
        artifact_id_of(draft.task_run_id) if draft.task_run_id else "",
        data,
        _packed_description(artifact_id, draft.description),
        pack_json(artifact_id, "facts", facts) if facts else None,
        chunks.write(),
    )
    fleet.broker.artifacts.create(made, fleet.settings.artifact_versions)
    return UUID(artifact_id)


def _contents(artifact_id: str, draft: Draft, chunks: _Chunks) -> dict[str, Any]:
    """Write what lies in chunks; returns the facts about it."""
    if draft.table is not None:
        rows = 0
        for chunk, count in pack_rows(artifact_id, draft.table.rows):
            chunks.add(chunk)
            rows += count
        return facts_of_table(draft.table.columns, rows, draft.table.shape)
    if draft.picture is not None and draft.picture.content:
        chunks.add(enclosed(artifact_id, "picture", compressed(draft.picture.content)))
        return facts_of_image(draft.picture.content_type, len(draft.picture.content))
    return facts_of_link(*draft.link) if draft.link is not None else {}


def _packed_description(artifact_id: str, description: str | None) -> bytes | None:
    return None if description is None else pack_json(artifact_id, "description", description)


def change(fleet: Fleet, artifact_id: str, changes: Mapping[str, Any]) -> bool:
    """Write ``data``, ``description`` or ``metadata_`` of an artifact, or some of them; whether it is there.

    Raises:
        ValueError: contents that are too large. BrokerError: the server does not answer, or refuses.
    """
    fields = packed_changes(artifact_id, changes)
    if "metadata_" in changes:
        (stored,) = fleet.broker.artifacts.read([artifact_id], with_data=False)
        facts = facts_of(stored) if stored is not None else {}
        fields[ArtifactField.FACTS] = pack_json(artifact_id, "facts", {**facts, "metadata": changes["metadata_"]})
    return fleet.broker.artifacts.change({artifact_id: fields})[0]


def packed_changes(artifact_id: str, changes: Mapping[str, Any]) -> dict[str, str | bytes]:
    """The fields that :func:`change` writes."""
    fields: dict[str, str | bytes] = {}
    if "data" in changes:
        fields[ArtifactField.DATA] = pack_json(artifact_id, "data", changes["data"])
    if "description" in changes:
        fields[ArtifactField.DESCRIPTION] = pack_json(artifact_id, "description", changes["description"])
    return fields


def delete(fleet: Fleet, *, ids: list[str] | None = None, keys: list[str] | None = None) -> int:
    """Forget artifacts, and every version of keys; returns how many there were. Raises BrokerError."""
    return fleet.broker.artifacts.delete(ids or (), keys or ())


def runs_here() -> tuple[str | None, str | None]:
    """The flow run and the task run around this line, each or ``None``. A flow run is in the store from here on."""
    flow_run, attempt = current_flow_run.get(), current_attempt.get()
    if flow_run is not None and not flow_run.is_known:
        flow_run.make_known()
    of_task = attempt.flow_run_id if attempt is not None else None
    return flow_run.run_id if flow_run is not None else of_task, attempt.run_id if attempt is not None else None


def percentage(progress: Any) -> tuple[float, str]:
    """A percentage from 0 to 100, and a warning where another was given.

    Raises:
        TypeError, ValueError: it is no number, or NaN.

    >>> percentage(42), percentage(120)[0]
    ((42.0, ''), 100.0)
    """
    if isinstance(progress, bool | str) or not hasattr(progress, "__float__"):
        raise TypeError(f"progress={progress!r}: a number from 0 to 100")
    number = float(progress)
    if math.isnan(number):
        raise ValueError("progress is NaN: a number from 0 to 100")
    clamped = max(0.0, min(100.0, number))
    return clamped, "" if clamped == number else f"progress {number:g} is not from 0 to 100: {clamped:g} is kept"
