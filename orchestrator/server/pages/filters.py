"""The filter of the runs page: from the address to a ``RunQuery`` and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from orchestrator.server.answers import RunQuery

STATES: Final = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING")
SPANS: Final = {"15m": "15 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days"}
_SECONDS: Final = {"15m": 900, "1h": 3_600, "24h": 86_400, "7d": 604_800}
FIELDS: Final = (
    "state", "task", "queue", "tag", "worker", "last", "since", "until", "text", "flow_run_id", "parent", "run_id",
)  # fmt: skip

Asked = ImmutableMultiDict[str, str]


def query_of(asked: Asked, names: Mapping[str, Sequence[str]] | None = None, now: datetime | None = None) -> RunQuery:
    """Which runs are asked for. What cannot be read (a wrong date) is left out.

    Args:
        asked: the parameters of the address, or of a form.
        names: known names: a task or worker that is none of them, and has no ``*``, is taken as a part of one.
        now: the present.
    """
    known = names or {}
    query = RunQuery(
        states=_all(asked, "state"),
        tasks=tuple(_pattern(name, known.get("tasks", ())) for name in _all(asked, "task")),
        queues=_all(asked, "queue"),
        tags=tuple(tag for text in _all(asked, "tag") for part in text.split(",") if (tag := part.strip())),
        workers=tuple(_pattern(name, known.get("workers", ())) for name in _all(asked, "worker")),
        flow_run_id=next(iter(_all(asked, "flow_run_id")), None),
        parent_task_run_id=next(iter(_all(asked, "parent")), None),
        since=_moment(asked.get("since")),
        until=_moment(asked.get("until")),
        text=" ".join(_all(asked, "text")),
        ids=_all(asked, "run_id"),
    )
    lately = _SECONDS.get(asked.get("last", ""))
    if lately and query.since is None:
        return replace(query, since=(now or datetime.now(UTC)) - timedelta(seconds=lately))
    return query


def _all(asked: Asked, name: str) -> tuple[str, ...]:
    return tuple(text for value in asked.getlist(name) if (text := value.strip()))


def _pattern(name: str, known: Sequence[str]) -> str:
    return name if name in known or "*" in name or "?" in name else f"*{name}*"


def _moment(text: str | None) -> datetime | None:
    """A moment as ``<input type="datetime-local">`` sends it; UTC unless it says otherwise."""
    try:
        told = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return told.replace(tzinfo=UTC) if told is not None and told.tzinfo is None else told


def fields_of(asked: Asked, without: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The filter as pairs of parameter and value."""
    return [(name, value) for name in FIELDS if name not in without for value in _all(asked, name)]


def address(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A path with parameters."""
    return f"{path}?{urlencode(pairs)}" if pairs else path
