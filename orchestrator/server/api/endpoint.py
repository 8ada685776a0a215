"""One endpoint is one row: its models make the route, the validation, and its part of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.people.roles import Role
from orchestrator.server.access import queries_for
from orchestrator.server.queries import Queries

HEADERS_OF_PAGES: Final = {
    "X-Next-Cursor": "What to send as `before` for the next page; absent on the last one",
    "X-Total-Count": "How many match, counted up to 10,000 where no counter knows it",
    "X-Total-Is-At-Least": "`true` where more than that match",
    "X-As-Of": "Bounds bulk actions to the runs that were there now",
}


@dataclass(slots=True)
class Call:
    """A checked request; ``status`` is set where an endpoint has several.

    ``exhausted``: the index of runs was searched to its end, so that more may match once it has more of the past.
    """

    queries: Queries
    path: Mapping[str, str]
    query: Any  # the endpoint's query model
    body: Any  # its body model
    headers: dict[str, str] = field(default_factory=dict)  # of the response
    status: int | None = None
    exhausted: bool = False


class Answer(NamedTuple):
    """A response; ``content`` is JSON, ``None``, or what its headers say; ``exhausted`` as in :class:`Call`."""

    status: int
    content: bytes | None
    headers: Mapping[str, str]
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the API.

    ``do`` runs in a thread. ``changes``: refused by a read-only server. ``missing``: what a 404 means. ``status``: of
    the response, several where ``do`` says which; without ``gives`` it has no body, and where
    that is ``bytes`` it is no JSON but what its ``content-type`` says. ``everybody``: who need not log in. ``needs``:
    the role that others need for it; ``in_part``: over the part that it concerns, for it heeds scopes; else over all.
    """

    method: str
    path: str
    do: Callable[[Call], Any]
    gives: Any
    summary: str
    tag: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    pages: bool = False
    changes: bool = False
    missing: str | None = None
    conflict: str | None = None
    everybody: bool = False
    status: tuple[int, ...] = (200,)
    needs: Role = field(kw_only=True)
    in_part: bool = False

    def route(self) -> Route:
        """Its route, below ``/api``."""

        async def handle(request: Request) -> Response:
            body = await request.body() if self.body is not None else b""
            queries = queries_for(request, None if self.everybody else self.needs, in_part=self.in_part)
            query = request.query_params.multi_items()
            answer = await run_in_threadpool(self.answer, queries, request.path_params, query, body)
            is_json = answer.content is not None and self.gives is not bytes
            media_type = "application/json" if is_json else None
            return Response(answer.content, answer.status, dict(answer.headers), media_type)

        return Route(self.path, handle, methods=[self.method], name=f"api:{self.method}:{self.path}")

    def answer(
        self, queries: Queries, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes
    ) -> Answer:
        """Check a request and do what it asks for. Raises what ``do`` raises; HTTPException: a repeated parameter."""
        try:
            call = Call(
                queries,
                path,
                self.query.model_validate(_without_repeats(query)) if self.query is not None else None,
                self.body.model_validate_json(body or b"{}") if self.body is not None else None,
            )
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False, include_context=False)
            return Answer(422, json.dumps({"detail": errors}).encode(), {})
        if self.changes:
            queries.context.must_write()
        result = self.do(call)
        if self.gives is bytes:
            return Answer(self.status[0], result, call.headers)
        content = _adapter_of(self.gives).dump_json(result) if self.gives is not None else None
        return Answer(call.status or self.status[0], content, call.headers, call.exhausted)


@cache
def _adapter_of(gives: Any) -> TypeAdapter[Any]:
    return TypeAdapter(gives)


def _without_repeats(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The query parameters. Raises HTTPException for a repeated one."""
    names = [name for name, _ in query]
    if len(set(names)) != len(names):
        raise HTTPException(422, "a query parameter is given more than once")
    return dict(query)
