"""An artifact as it was read: the store's content is data from outside, a damaged part costs only what it describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from brokers.facets.artifacts import StoredArtifact
from orchestrator.artifacts.contents import read_json
from orchestrator.errors import OrchestratorError

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class TableFacts(NamedTuple):
    """A table beside its rows."""

    columns: list[str]
    rows: int
    shape: str


class ImageFacts(NamedTuple):
    """A picture that is kept by us."""

    content_type: str
    size: int  # bytes


class LinkFacts(NamedTuple):
    """Where a link leads."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """An artifact.

    Attributes:
        id: of this version.
        type: ``markdown`` (links as well, as in Prefect), ``table``, ``progress``, ``image``, or what was given.
        key: under which it is a version; ``None``: it has none.
        created, updated: aware; by the server's clock.
        description: markdown, for people.
        data: of markdown and links the text, of progress the percentage, of a picture its URL, of a table JSON text;
            ``None`` also where it was not asked for.
        metadata_: texts that were given with it.
        flow_run_id, task_run_id: the runs that left it.
        table, image, link: more about one of that kind.
        trouble: why a part of it cannot be read here; empty: all can.
    """

    id: UUID
    type: str
    key: str | None
    created: datetime
    updated: datetime
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    table: TableFacts | None = None
    image: ImageFacts | None = None
    link: LinkFacts | None = None
    chunks: int = field(default=0, repr=False)
    trouble: str = ""

    @property
    def kind(self) -> str:
        """Its type in the word that people use: a link is one."""
        return "link" if self.link is not None else self.type

    def as_json(self) -> dict[str, Any]:
        """For the command line and the API, as Prefect writes it."""
        return {
            "id": str(self.id),
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
            "key": self.key,
            "type": self.type,
            "description": self.description,
            "data": self.data,
            "metadata_": self.metadata_,
            "flow_run_id": str(self.flow_run_id) if self.flow_run_id is not None else None,
            "task_run_id": str(self.task_run_id) if self.task_run_id is not None else None,
        }


def record_of(stored: StoredArtifact) -> ArtifactRecord:
    """What is known of an artifact. Never raises."""
    trouble: list[str] = []

    def opened(part: str, blob: bytes | None) -> Any:
        try:
            return None if blob is None else read_json(stored.id, part, blob)
        except OrchestratorError as error:
            trouble.append(f"its {part} cannot be read here: {error}")
            return None

    facts = opened("facts", stored.facts)
    facts = facts if isinstance(facts, dict) else {}
    description = opened("description", stored.description)
    return ArtifactRecord(
        id=_uuid(stored.id) or UUID(int=0),
        type=stored.type,
        key=stored.key or None,
        created=_moment(stored.created_us / 1e6),
        updated=_moment(max(stored.updated_ms / 1e3, stored.created_us / 1e6)),  # one knows microseconds
        description=description if isinstance(description, str) else None,
        data=opened("data", stored.data),
        metadata_=_texts(facts.get("metadata")),
        flow_run_id=_uuid(stored.flow_run_id),
        task_run_id=_uuid(stored.task_run_id),
        table=_table(facts),
        image=_image(facts),
        link=_link(facts),
        chunks=stored.chunks,
        trouble="; ".join(dict.fromkeys(trouble)),
    )


def facts_of(stored: StoredArtifact) -> dict[str, Any]:
    """The facts of an artifact as they are kept. Raises SerializationError: they cannot be read here."""
    facts = read_json(stored.id, "facts", stored.facts) if stored.facts is not None else {}
    return facts if isinstance(facts, dict) else {}


def facts_of_table(columns: list[str], rows: int, shape: str) -> dict[str, Any]:
    """As :class:`TableFacts` is kept."""
    return {"table": {"columns": columns, "rows": rows, "shape": shape}}


def facts_of_image(content_type: str, size: int) -> dict[str, Any]:
    """As :class:`ImageFacts` is kept."""
    return {"image": {"content_type": content_type, "size": size}}


def facts_of_link(url: str, text: str) -> dict[str, Any]:
    """As :class:`LinkFacts` is kept."""
    return {"link": {"url": url, "text": text}}


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    part = facts.get(name)
    return part if isinstance(part, dict) else None


def _table(facts: Mapping[str, Any]) -> TableFacts | None:
    part = _part(facts, "table")
    if part is None:
        return None
    columns, rows = part.get("columns"), part.get("rows")
    names = [str(name) for name in columns] if isinstance(columns, list) else []
    return TableFacts(names, rows if isinstance(rows, int) and rows >= 0 else 0, str(part.get("shape")))


def _image(facts: Mapping[str, Any]) -> ImageFacts | None:
    part = _part(facts, "image")
    if part is None:
        return None
    size = part.get("size")
    return ImageFacts(str(part.get("content_type")), size if isinstance(size, int) else 0)


def _link(facts: Mapping[str, Any]) -> LinkFacts | None:
    part = _part(facts, "link")
    return LinkFacts(str(part.get("url")), str(part.get("text") or "")) if part is not None else None


def _texts(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {name: one if isinstance(one, str) else json.dumps(one) for name, one in value.items()}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH
