"""Lists of what people have defined, a page at a time: where a page begins, and the addresses of it and of the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from orchestrator.server.pages import filters
from orchestrator.server.pages.rendering import query_value
from orchestrator.server.queries.runs import PAGE


def first_of(request: Request, things: str, name: str = "first") -> int:
    """How many are passed over, under a name in the address.

    Raises:
        ValueError: the address says something else.
    """
    text = query_value(request, name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{name}={text[:40]!r} is no number of {things} that are passed over")
    return int(text)


def paging(
    path: str, first: int, total: int, pairs: Sequence[tuple[str, str]] = (), on_a_page: int = PAGE
) -> dict[str, Any]:
    """What a template needs of it: this page, the first and the next one, with whatever else is in the address.

    >>> paging("/limits", 0, 3)
    {'here': '/limits', 'is_first': True, 'start': '/limits', 'older': None}
    """
    following = first + on_a_page
    return {
        "here": filters.address(path, [*pairs, *([("first", str(first))] if first else [])]),
        "is_first": not first,
        "start": filters.address(path, [*pairs]),
        "older": filters.address(path, [*pairs, ("first", str(following))]) if following < total else None,
    }
