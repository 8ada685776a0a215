"""Blocks, their types and schemas as the store keeps them: documents that are read whatever became of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import uuid5

from brokers.facets.documents import Document
from orchestrator.blocks.contents import Contents
from orchestrator.blocks.schema import Path
from orchestrator.blocks.sealing import is_path, read_table, sealed_table
from orchestrator.deployments.names import NAMESPACE
from orchestrator.serializers.documents import pack_document, unpack_document

BLOCK: Final = "block"
BLOCK_TYPE: Final = "blocktype"
BLOCK_SCHEMA: Final = "blockschema"


def block_id_of(namespace: str, slug: str, name: str) -> str:
    """The id of a block: one that is made again under its name has the same, so that references stay good."""
    return str(uuid5(NAMESPACE, f"{namespace}\0block\0{slug}\0{name}"))


def type_id_of(namespace: str, slug: str) -> str:
    """The id of a type of blocks."""
    return str(uuid5(NAMESPACE, f"{namespace}\0blocktype\0{slug}"))


def schema_id_of(namespace: str, slug: str, checksum: str) -> str:
    """The id of a schema of a type."""
    return str(uuid5(NAMESPACE, f"{namespace}\0blockschema\0{slug}\0{checksum}"))


@dataclass(frozen=True, slots=True)
class BlockType:
    """A type of blocks.

    Attributes:
        slug: how it is called in ``slug/name``; name: for people.
        code_example: how one is loaded.
        module: which module defines its class, for messages only.
        checksum: of the schema that its class had last.
        trouble: why it cannot be read here.
    """

    id: str
    slug: str
    name: str = ""
    logo_url: str | None = None
    documentation_url: str | None = None
    description: str | None = None
    code_example: str | None = None
    module: str = ""
    checksum: str = ""
    generation: int = 0
    written_at_ms: int = 0
    trouble: str = ""

    def document(self) -> dict[str, bytes]:
        """The fields of its document."""
        plain = {name: value for name, value in asdict(self).items() if name in _TYPE_FIELDS}
        return {"d": pack_document(BLOCK_TYPE, self.id, plain)}

    def same_as(self, other: BlockType | None) -> bool:
        """Whether the store has it as it is here."""
        return other is not None and all(getattr(self, name) == getattr(other, name) for name in _TYPE_FIELDS)


_TYPE_FIELDS: Final = (
    "name", "logo_url", "documentation_url", "description", "code_example", "module", "checksum",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockSchema:
    """What the class of a type looked like when a block was saved.

    Attributes:
        slug: of its type.
        fields: JSON schema.
        capabilities: what a block of it can do, as ``get-directory``.
    """

    id: str
    slug: str
    checksum: str
    fields: dict[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    version: str = ""
    written_at_ms: int = 0
    trouble: str = ""

    def document(self) -> dict[str, bytes]:
        """The fields of its document."""
        plain = {
            "slug": self.slug,
            "checksum": self.checksum,
            "fields": self.fields,
            "capabilities": list(self.capabilities),
            "version": self.version,
        }
        return {"d": pack_document(BLOCK_SCHEMA, self.id, plain)}


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block.

    Attributes:
        slug: of its type; name: its own, empty of one that is anonymous.
        checksum: of the schema that it was saved with.
        data: its fields as JSON has them, ``None`` where something below stands.
        sealed: its secrets, encrypted, by their places.
        references, inline: see :class:`orchestrator.blocks.contents.Contents`.
        created_at: unix seconds.
        trouble: why it cannot be read here.
    """

    id: str
    slug: str
    name: str
    checksum: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    sealed: dict[Path, bytes] = field(default_factory=dict)
    references: dict[Path, str] = field(default_factory=dict)
    inline: dict[Path, str] = field(default_factory=dict)
    created_at: float = 0.0
    generation: int = 0
    written_at_ms: int = 0
    trouble: str = ""

    @property
    def full_name(self) -> str:
        """``slug/name``."""
        return f"{self.slug}/{self.name or self.id}"

    def contents(self) -> Contents:
        """What it consists of, without its secrets; ``data`` is a copy."""
        return Contents(_copy(self.data), {}, dict(self.references), dict(self.inline))

    def document(self) -> dict[str, str | bytes]:
        """The fields of its document."""
        plain = {
            "slug": self.slug,
            "name": self.name,
            "checksum": self.checksum,
            "data": self.data,
            "references": [[list(path), one] for path, one in self.references.items()],
            "inline": [[list(path), one] for path, one in self.inline.items()],
            "created_at": self.created_at,
        }
        return {"d": pack_document(BLOCK, self.id, plain), "s": sealed_table(self.sealed)}


def type_of(document: Document | None) -> BlockType | None:
    """The type of a document; ``None`` where there is none. Never raises."""
    if document is None:
        return None
    plain, trouble = unpack_document(BLOCK_TYPE, document.id, document.fields.get("d", b""))
    kept = {name: plain[name] for name in _TYPE_FIELDS if isinstance(plain.get(name), str)}
    return BlockType(
        document.id,
        document.name,
        **({"name": document.name} | kept),
        generation=document.generation,
        written_at_ms=document.written_at_ms,
        trouble=trouble,
    )


def schema_record_of(document: Document | None) -> BlockSchema | None:
    """The schema of a document; ``None`` where there is none. Never raises."""
    if document is None:
        return None
    plain, trouble = unpack_document(BLOCK_SCHEMA, document.id, document.fields.get("d", b""))
    slug, checksum, fields, version = (plain.get(name) for name in ("slug", "checksum", "fields", "version"))
    capabilities = plain.get("capabilities")
    return BlockSchema(
        document.id,
        slug if isinstance(slug, str) else "?",
        checksum if isinstance(checksum, str) else "",
        fields if isinstance(fields, dict) else {},
        tuple(str(one) for one in capabilities) if isinstance(capabilities, list) else (),
        version if isinstance(version, str) else "",
        document.written_at_ms,
        trouble,
    )


def record_of(document: Document | None) -> BlockRecord | None:
    """The block of a document; ``None`` where there is none. Never raises."""
    if document is None:
        return None
    plain, trouble = unpack_document(BLOCK, document.id, document.fields.get("d", b""))
    slug, _, name = document.name.partition("/")
    checksum, data, created = plain.get("checksum"), plain.get("data"), plain.get("created_at")
    stored_slug = plain.get("slug")
    return BlockRecord(
        document.id,
        slug or (stored_slug if isinstance(stored_slug, str) else "?"),
        name,
        checksum=checksum if isinstance(checksum, str) else "",
        data=data if isinstance(data, dict) else {},
        sealed=read_table(document.fields.get("s", b"")),
        references=_places(plain.get("references")),
        inline=_places(plain.get("inline")),
        created_at=float(created) if isinstance(created, int | float) else 0.0,
        generation=document.generation,
        written_at_ms=document.written_at_ms,
        trouble=trouble,
    )


def _places(rows: object) -> dict[Path, str]:
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 2 and is_path(row[0]) and isinstance(row[1], str):
            found[tuple(row[0])] = row[1]
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value
