"""Variables, artifacts and automations, as the API has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from orchestrator.client.schemas.base import IdentifiedObject, RunId


class Variable(IdentifiedObject):
    """A variable. Follows Prefect 3.

    Attributes:
        value: any JSON; ``None`` with a ``trouble`` where it cannot be read.
    """

    name: str
    value: Any = None
    tags: list[str] = Field(default_factory=list)
    trouble: str | None = None


class Artifact(IdentifiedObject):
    """What a run left behind. Follows Prefect 3.

    Attributes:
        data: of markdown its text, of a table JSON text of its rows, of progress a number.
        metadata_: among others why the data cannot be had.
    """

    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, Any] | None = None
    flow_run_id: RunId | None = None
    task_run_id: RunId | None = None


class ArtifactCollection(Artifact):
    """The newest version of a key; ``latest_id`` is its id."""

    latest_id: UUID


class Automation(IdentifiedObject):
    """An automation, its trigger and actions as JSON has them; ``orchestrator.automations`` has classes for them."""

    name: str
    description: str = ""
    enabled: bool = True
    tags: list[str] = Field(default_factory=list)
    trigger: dict[str, Any] | None = None
    actions: list[dict[str, Any]] = Field(default_factory=list)
    actions_on_trigger: list[dict[str, Any]] = Field(default_factory=list)
    actions_on_resolve: list[dict[str, Any]] = Field(default_factory=list)
    owner_resource: str | None = None
    trouble: str | None = None


class BlockType(IdentifiedObject):
    """A type of blocks. Follows Prefect 3."""

    name: str
    slug: str
    logo_url: str | None = None
    documentation_url: str | None = None
    description: str | None = None
    code_example: str | None = None


class BlockSchema(IdentifiedObject):
    """The schema of a type. Follows Prefect 3.

    Attributes:
        fields: JSON schema; ``secret_fields`` in it names those that are secret.
    """

    checksum: str
    block_type_id: UUID | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    capabilities: list[str] = Field(default_factory=list)
    version: str = ""


class BlockDocument(IdentifiedObject):
    """A block. Follows Prefect 3.

    Attributes:
        data: its fields, secrets as stars.
    """

    name: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, repr=False)
    block_type_id: UUID | None = None
    block_schema_id: UUID | None = None
    is_anonymous: bool = False
