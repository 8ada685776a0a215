"""The classes of artifacts: what is handed in, checked, and left by ``create``. Follows Prefect 3."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, field_validator

from orchestrator.artifacts.images import picture_of
from orchestrator.artifacts.names import check_key
from orchestrator.artifacts.progress_writes import write_what_waits
from orchestrator.artifacts.reading import newest_version, read_one, with_table
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.artifacts.tables import plain_rows, shaped, table_of
from orchestrator.artifacts.writing import Draft, percentage, runs_here, write
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.errors import ObjectNotFound

log = logging.getLogger("orchestrator.artifacts")


class Artifact(BaseModel):
    """Something that a run leaves behind for people.

    Attributes:
        type: of which kind it is; the classes below know theirs.
        key: lowercase letters, digits and dashes. Each artifact with a key is a new version under it, and the newest
            100 are kept (``artifact_versions``). One without is kept as long as its run.
        description: markdown, for people.
        data: anything that JSON can hold, up to 5 MB.
        metadata_: texts beside it.
        flow_run_id, task_run_id: the runs that leave it; unless given, those around the line that creates it.

    Raises:
        ValueError: a key that cannot be one.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     made = Artifact(type="order", key="order-7", data={"tea": 2}).create()
    ...     Artifact.get("order-7").data
    '{"tea": 2}'

    Follows Prefect 3 (``prefect.artifacts.Artifact``), which keeps such data as JSON text.
    """

    model_config = ConfigDict(extra="forbid")

    type: str | None = None
    key: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: str | None) -> str | None:
        return check_key(key)

    @async_dispatch("acreate")
    def create(self, client: Any = None) -> ArtifactRecord:
        """Leave it; on an event loop it returns an awaitable.

        Args:
            client: accepted, as Prefect has it; the store of this process is used.

        Raises:
            TypeError, ValueError: contents that cannot be kept. BrokerError: the server does not answer, or refuses.
        """
        return self._create()

    async def acreate(self, client: Any = None) -> ArtifactRecord:
        """:meth:`create` for event loops, which it never blocks."""
        return await asyncio.to_thread(self._create)

    def _create(self) -> ArtifactRecord:
        fleet = current_fleet()
        artifact_id = self._leave(fleet)
        made = read_one(fleet.broker, str(artifact_id))
        if made is None:
            raise ObjectNotFound(f"artifact {artifact_id} was deleted as soon as it was there")
        return made

    def leave(self) -> UUID:
        """Leave it and return its id, without reading it back; errors as of :meth:`create`."""
        return self._leave(current_fleet())

    def _leave(self, fleet: Fleet) -> UUID:
        flow_run_id, task_run_id = runs_here()
        draft = self._draft(
            type=self.type or "unknown",
            key=self.key,
            description=self.description,
            metadata=self.metadata_,
            flow_run_id=self.flow_run_id or flow_run_id,
            task_run_id=self.task_run_id or task_run_id,
        )
        return write(fleet, draft)

    def _draft(self, **fields: Any) -> Draft:
        return Draft(**fields, data=self.format())

    @classmethod
    @async_dispatch("aget")
    def get(cls, key: str | None = None, client: Any = None) -> ArtifactRecord | None:
        """The newest version of a key, a table with all of its rows; ``None`` if there is none.

        Raises:
            SerializationError: its rows cannot be read here. BrokerError: the server does not answer.
        """
        return _get(key)

    @classmethod
    async def aget(cls, key: str | None = None, client: Any = None) -> ArtifactRecord | None:
        """:meth:`get` for event loops, which it never blocks."""
        return await asyncio.to_thread(_get, key)

    @classmethod
    @async_dispatch("aget_or_create")
    def get_or_create(
        cls, key: str | None = None, description: str | None = None, data: Any = None, client: Any = None, **kwargs: Any
    ) -> tuple[ArtifactRecord, bool]:
        """The newest version of a key, else a new one; and whether it was created.

        Args:
            key, description, data: of the new one.
            client: accepted, as Prefect has it.
            kwargs: further fields of the new one.

        Raises:
            ValueError: fields that cannot be. BrokerError: the server does not answer, or refuses.
        """
        return cls._get_or_create(key, description, data, kwargs)

    @classmethod
    async def aget_or_create(
        cls, key: str | None = None, description: str | None = None, data: Any = None, client: Any = None, **kwargs: Any
    ) -> tuple[ArtifactRecord, bool]:
        """:meth:`get_or_create` for event loops, which it never blocks."""
        return await asyncio.to_thread(cls._get_or_create, key, description, data, kwargs)

    @classmethod
    def _get_or_create(
        cls, key: str | None, description: str | None, data: Any, more: dict[str, Any]
    ) -> tuple[ArtifactRecord, bool]:
        found = _get(key)
        if found is not None:
            return found, False
        return cls(key=key, description=description, data=data, **more)._create(), True

    def format(self) -> Any:
        """Its data as it is kept."""
        return json.dumps(self.data)

    async def aformat(self) -> Any:
        """:meth:`format`, as Prefect has it for event loops."""
        return self.format()


def _get(key: str | None) -> ArtifactRecord | None:
    fleet = current_fleet()
    write_what_waits(fleet)
    found = newest_version(fleet.broker, key or "")
    return found if found is None else with_table(fleet.broker, found)


class LinkArtifact(Artifact):
    """A link. Its type is ``markdown``, as in Prefect; ``link`` and ``link_text`` are kept beside the text."""

    type: str | None = "markdown"
    link: str
    link_text: str | None = None

    def format(self) -> str:
        """As markdown.

        >>> LinkArtifact(link="https://example.com/a", link_text="Output [1]").format()
        '[Output \\\\[1\\\\]](https://example.com/a)'
        """
        text = self.link_text or self.link
        for sign in "\\[]":
            text = text.replace(sign, "\\" + sign)
        address = f"<{self.link}>" if set(self.link) & set(" ()") and not set(self.link) & set("<>\n") else self.link
        return f"[{text}]({address})"

    def _draft(self, **fields: Any) -> Draft:
        return Draft(**fields, data=self.format(), link=(self.link, self.link_text or ""))


class MarkdownArtifact(Artifact):
    """A text in markdown, up to 5 MB; HTML in it is shown as text."""

    type: str | None = "markdown"
    markdown: str

    def format(self) -> str:
        """The text."""
        return self.markdown


class TableArtifact(Artifact):
    """A table; see :func:`orchestrator.artifacts.create_table_artifact`."""

    type: str | None = "table"
    table: Any

    def format(self) -> str:
        """As JSON text, in the shape in which it was handed in.

        >>> TableArtifact(table=[{"a": float("nan")}]).format()
        '[{"a": null}]'
        """
        table = table_of(self.table)
        return json.dumps(shaped(table.columns, list(plain_rows(table.rows)), table.shape))

    def _draft(self, **fields: Any) -> Draft:
        return Draft(**fields, table=table_of(self.table))


class ProgressArtifact(Artifact):
    """How far something has come, in percent from 0 to 100; another number is clamped, with a warning."""

    type: str | None = "progress"
    progress: float

    def format(self) -> float:
        """The percentage."""
        number, warning = percentage(self.progress)
        if warning:
            log.warning("%s", warning)
        return number


class ImageArtifact(Artifact):
    """A picture: its URL, or the picture itself; see :func:`orchestrator.artifacts.create_image_artifact`."""

    type: str | None = "image"
    image_url: Any

    def format(self) -> str:
        """Its URL; empty if the picture itself is kept."""
        return picture_of(self.image_url).url

    def _draft(self, **fields: Any) -> Draft:
        picture = picture_of(self.image_url)
        return Draft(**fields, data=picture.url or None, picture=picture)
