"""Tasks and flows that leave artifacts."""

from __future__ import annotations

from orchestrator import flow, task
from orchestrator.artifacts import (
    acreate_markdown_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)


@task
def leave_every_kind(key: str) -> dict[str, str]:
    """The ids by kind. Of the progress, hundred values are written in no time."""
    made = {
        "markdown": create_markdown_artifact("# in-the-clear", key=key, description="in-the-clear"),
        "table": create_table_artifact([{"name": "in-the-clear"}]),
        "link": create_link_artifact("https://example.com/in-the-clear"),
        "image": create_image_artifact(b"GIF89a" + b"in-the-clear" * 10),
        "progress": create_progress_artifact(0),
    }
    for share in range(1, 101):
        update_progress_artifact(made["progress"], share)
    return {kind: str(artifact_id) for kind, artifact_id in made.items()}


@task
async def leave_on_a_loop(key: str) -> str:
    return str(await acreate_markdown_artifact("a", key=key))


@flow
def leave_in_a_flow(key: str) -> tuple[str, str]:
    """On a worker: of the flow itself, and of a task that it sends."""
    return str(create_markdown_artifact("b", key=key)), leave_every_kind.submit(key).result()["markdown"]
