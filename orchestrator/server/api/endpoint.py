"""One endpoint is one row: what it takes and gives makes the route, the checks, and its part of the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.server.queries import Queries
from orchestrator.server.refusals import refusal

HEADERS_OF_PAGES: Final = {
    "X-Next-Cursor": "What to send as `before` for the next page; absent on the last one",
    "X-Total-Count": "How many match, counted up to 10,000 where no counter knows it",
    "X-Total-Is-At-Least": "`true` where more than that match",
    "X-As-Of": "Bounds bulk actions to the runs that were there now",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A checked request."""

    queries: Queries
    path: Mapping[str, str]
    query: Any  # the endpoint's query model
    body: Any  # its body model
    headers: dict[str, str] = field(default_factory=dict)  # to be put on the answer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the API.

    ``do`` runs in a thread. ``changes``: it is refused by a read-only server. ``missing``: what a 404 means.
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

    def route(self) -> Route:
        """Its route, below ``/api``."""
        adapter: TypeAdapter[Any] = TypeAdapter(self.gives)

        async def answer(request: Request) -> Response:
            body = await request.body() if self.body is not None else b""
            try:
                call = Call(
                    request.app.state.queries,
                    request.path_params,
                    self.query.model_validate(_asked(request)) if self.query is not None else None,
                    self.body.model_validate_json(body or b"{}") if self.body is not None else None,
                )
            except ValidationError as error:
                told = error.errors(include_url=False, include_input=False, include_context=False)
                return refusal(True, 422, told)
            content = await run_in_threadpool(self._content, adapter, call)
            return Response(content, 200, call.headers, "application/json")

        return Route(self.path, answer, methods=[self.method], name=f"api:{self.method}:{self.path}")

    def _content(self, adapter: TypeAdapter[Any], call: Call) -> bytes:
        if self.changes:
            call.queries.must_write()
        return adapter.dump_json(self.do(call))


def _asked(request: Request) -> dict[str, str]:
    """The query parameters; of one that is repeated, nothing can be made."""
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if len(set(names)) != len(names):
        raise HTTPException(422, "a query parameter is given more than once")
    return dict(given)
