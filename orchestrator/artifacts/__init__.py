"""Artifacts: what runs leave behind for people, as markdown, tables, links, progress and pictures.

>>> from orchestrator.testing import inline
>>> with inline():
...     _ = create_table_artifact([{"id": "001", "name": "Acme"}], key="customers", description="Who buys")
...     Artifact.get("customers").data
'[{"id": "001", "name": "Acme"}]'

``artifact`` are the classes, ``creating`` the functions, ``tables`` and ``cells`` make tables plain, ``contents`` packs
them, ``writing`` and ``reading`` talk to the store, ``paging`` sorts large tables, ``listing`` finds artifacts.

Follows Prefect 3 (``prefect.artifacts``).
"""

from orchestrator.artifacts.artifact import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
)
from orchestrator.artifacts.creating import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

__all__ = [
    "Artifact",
    "ImageArtifact",
    "LinkArtifact",
    "MarkdownArtifact",
    "ProgressArtifact",
    "TableArtifact",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]
