"""The filter of the runs page: from the address to a ``RunQuery`` and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from orchestrator.server.view_models import RunQuery

STATES: Final = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING")
SPANS: Final = {"15m": "15 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days"}
_SECONDS: Final = {"15m": 900, "1h": 3_600, "24h": 86_400, "7d": 604_800}
MAX_TEXT: Final = 500  # characters of a search; the same as the API's
FIELDS: Final = (
    "state", "task", "queue", "tag", "worker", "last", "since", "until", "text", "argument", "sort",
    "flow_run_id", "parent", "run_id",
)  # fmt: skip

Params = ImmutableMultiDict[str, str]


def query_of(params: Params, names: Mapping[str, Sequence[str]] | None = None, now: datetime | None = None) -> RunQuery:
    """The query of a page. Unreadable parts (a wrong date) are ignored.

    Args:
        params: the parameters of the URL, or of a form.
        names: known names: a task or worker that is none of them, and has no ``*``, is taken as a part of one.
        now: the present.
    """
    known = names or {}
    query = RunQuery(
        states=_all(params, "state"),
        tasks=tuple(_pattern(name, known.get("tasks", ())) for name in _all(params, "task")),
        queues=_all(params, "queue"),
        tags=_tags(params),
        workers=tuple(_pattern(name, known.get("workers", ())) for name in _all(params, "worker")),
        flow_run_id=next(iter(_all(params, "flow_run_id")), None),
        parent_task_run_id=next(iter(_all(params, "parent")), None),
        since=_moment(params.get("since")),
        until=_moment(params.get("until")),
        text=" ".join(_all(params, "text"))[:MAX_TEXT],
        ids=_all(params, "run_id"),
        argument=" ".join(_all(params, "argument"))[:MAX_TEXT],
        sort="duration" if params.get("sort") == "duration" else "",
    )
    lately = _SECONDS.get(params.get("last", ""))
    if lately and query.since is None:
        return replace(query, since=(now or datetime.now(UTC)) - timedelta(seconds=lately))
    return query


def _tags(params: Params) -> tuple[str, ...]:
    """Each once, in the order in which they were given."""
    given = [tag for text in _all(params, "tag") for part in text.split(",") if (tag := part.strip())]
    return tuple(dict.fromkeys(given))


def _all(params: Params, name: str) -> tuple[str, ...]:
    return tuple(text for value in params.getlist(name) if (text := value.strip()))


def _pattern(name: str, known: Sequence[str]) -> str:
    return name if name in known or "*" in name or "?" in name else f"*{name}*"


def _moment(text: str | None) -> datetime | None:
    """A moment as ``<input type="datetime-local">`` sends it; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def moments_of(given: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """``since`` and ``until`` of a form; unreadable ones are ignored."""
    return _moment(given.get("since")), _moment(given.get("until"))


def seconds_of(span: str) -> int:
    """How long a span of :data:`SPANS` is; 0 for another one."""
    return _SECONDS.get(span, 0)


def fields_of(params: Params, without: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The filter as pairs of parameter and value."""
    return [(name, value) for name in FIELDS if name not in without for value in _all(params, name)]


def address(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A path with parameters."""
    return f"{path}?{urlencode(pairs)}" if pairs else path
