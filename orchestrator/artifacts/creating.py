"""The functions with which runs leave artifacts. Follow Prefect 3 (``prefect.artifacts``)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

from orchestrator.artifacts.artifact import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
)
from orchestrator.artifacts.names import artifact_id_of
from orchestrator.artifacts.progress_writes import writes_of
from orchestrator.artifacts.writing import percentage, runs_here
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet

log = logging.getLogger("orchestrator.artifacts")


async def _leave(artifact: Artifact) -> UUID:
    return await asyncio.to_thread(artifact.leave)


@async_dispatch("acreate_markdown_artifact")
def create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """Leave a text in markdown. Like all of these functions, on an event loop it returns an awaitable.

    Args:
        markdown: up to 5 MB. HTML in it is shown as text.
        key: lowercase letters, digits and dashes; each artifact with a key is a new version under it, and the newest
            100 are kept. One without is kept as long as its run.
        description: markdown, for people.
        client: accepted, as Prefect has it; the store of this process is used.

    Returns:
        The id of this version.

    Raises:
        ValueError: a key that cannot be one, or a text that is too large.
        BrokerError: the server does not answer, or refuses.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     artifact_id = create_markdown_artifact("# 12 orders", key="daily-report")
    ...     Artifact.get("daily-report").data
    '# 12 orders'
    """
    return MarkdownArtifact(markdown=markdown, key=key, description=description).leave()


async def acreate_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`create_markdown_artifact` for event loops, which it never blocks."""
    return await _leave(MarkdownArtifact(markdown=markdown, key=key, description=description))


@async_dispatch("acreate_table_artifact")
def create_table_artifact(
    table: Any, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """Leave a table, of at most 1,000,000 rows or 64 MB.

    Args:
        table: a dict of columns, a list of dicts, a list of lists, rows of a database, or a data frame of pandas,
            polars or Arrow. NaN, infinity and NaT become null; dates ISO text; Decimals text; bytes base64; anything
            that JSON does not know becomes text.
        key, description, client: see :func:`create_markdown_artifact`.

    Raises:
        TypeError: this is no table. ValueError: it is too large; its columns have different lengths; a bad key.
        BrokerError: the server does not answer, or refuses.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     artifact_id = create_table_artifact([{"id": 1, "sum": float("nan")}], key="sums")
    ...     Artifact.get("sums").data
    '[{"id": 1, "sum": null}]'
    """
    return TableArtifact(table=table, key=key, description=description).leave()


async def acreate_table_artifact(
    table: Any, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`create_table_artifact` for event loops, which it never blocks."""
    return await _leave(TableArtifact(table=table, key=key, description=description))


@async_dispatch("acreate_link_artifact")
def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """Leave a link.

    Args:
        link: where it leads. Pages make http, https and mailto addresses links, and show others as text.
        link_text: what is shown in its place.
        key, description, client: see :func:`create_markdown_artifact`.

    Raises:
        ValueError: a key that cannot be one. BrokerError: the server does not answer, or refuses.
    """
    return LinkArtifact(link=link, link_text=link_text, key=key, description=description).leave()


async def acreate_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`create_link_artifact` for event loops, which it never blocks."""
    return await _leave(LinkArtifact(link=link, link_text=link_text, key=key, description=description))


@async_dispatch("acreate_progress_artifact")
def create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """Leave a progress bar, which :func:`update_progress_artifact` moves.

    Args:
        progress: percent, from 0 to 100; another number is clamped, with a warning.
        key, description, client: see :func:`create_markdown_artifact`.

    Raises:
        TypeError, ValueError: progress is no number, or NaN; a key that cannot be one.
        BrokerError: the server does not answer, or refuses.
    """
    return _progress_artifact(progress, key, description).leave()


async def acreate_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`create_progress_artifact` for event loops, which it never blocks."""
    return await _leave(_progress_artifact(progress, key, description))


def _progress_artifact(progress: Any, key: str | None, description: str | None) -> ProgressArtifact:
    percentage(progress)  # refuses what is no number
    return ProgressArtifact(progress=float(progress), key=key, description=description)


@async_dispatch("aupdate_progress_artifact")
def update_progress_artifact(
    artifact_id: UUID | str, progress: float, description: str | None = None, client: Any = None
) -> UUID:
    """Move a progress bar. It is cheap to call often: two values a second are written, and always the last one, at the
    latest before the run around it ends, or its process.

    Args:
        artifact_id: what :func:`create_progress_artifact` returned.
        progress: percent, from 0 to 100; another number is clamped, with a warning.
        description: in place of the one before; ``None``: that stays.
        client: accepted, as Prefect has it.

    Raises:
        TypeError, ValueError: progress is no number, or NaN; the id is none.
        ObjectNotFound: there is no such artifact (any more).
        BrokerError: the server does not answer, or refuses.

    >>> from orchestrator.testing import inline
    >>> with inline():
    ...     bar = create_progress_artifact(0.0, key="batch")
    ...     for part in range(1, 5):
    ...         _ = update_progress_artifact(bar, part * 25)
    ...     Artifact.get("batch").data
    100.0
    """
    return _update_progress(artifact_id, progress, description)


async def aupdate_progress_artifact(
    artifact_id: UUID | str, progress: float, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`update_progress_artifact` for event loops, which it never blocks."""
    return await asyncio.to_thread(_update_progress, artifact_id, progress, description)


def _update_progress(artifact_id: UUID | str, progress: Any, description: str | None) -> UUID:
    the_id = artifact_id_of(artifact_id)
    number, warning = percentage(progress)
    if warning:
        log.warning("%s", warning)
    changes: dict[str, Any] = {"data": number}
    if description is not None:
        changes["description"] = description
    fleet = current_fleet()
    writes_of(fleet).note(the_id, changes, frozenset(one for one in runs_here() if one is not None))
    fleet.logs.write_soon()
    return UUID(the_id)


@async_dispatch("acreate_image_artifact")
def create_image_artifact(
    image_url: Any, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """Leave a picture.

    Args:
        image_url: an http or https URL, which pages show as a link; or a PNG, JPEG, GIF or WebP of up to 5 MB, which is
            kept and shown: its bytes, the path of its file, or a data URL.
        key, description, client: see :func:`create_markdown_artifact`.

    Raises:
        TypeError, ValueError: this is no picture, is too large, or is an SVG, which can hold scripts; a bad key.
        OSError: the file cannot be read. BrokerError: the server does not answer, or refuses.
    """
    return ImageArtifact(image_url=image_url, key=key, description=description).leave()


async def acreate_image_artifact(
    image_url: Any, key: str | None = None, description: str | None = None, client: Any = None
) -> UUID:
    """:func:`create_image_artifact` for event loops, which it never blocks."""
    return await _leave(ImageArtifact(image_url=image_url, key=key, description=description))
