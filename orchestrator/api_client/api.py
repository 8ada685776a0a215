"""A conversation with the JSON API: requests are written and answers read here, once for both kinds of clients."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from orchestrator.client.api_errors import ApiConflict, ApiError, ApiUnavailable
from orchestrator.errors import ObjectNotFound
from orchestrator.states import State

M = TypeVar("M", bound=BaseModel)
LONGEST_DETAIL: Final = 2000  # characters of an error that are shown


class Request(NamedTuple):
    """What is asked.

    Attributes:
        method, path: as in the API's document; the path is what follows ``/api``.
        body: plain values, models and states; ``None`` sends none.
        query: what stands behind the ``?``.
    """

    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] = {}

    def content(self) -> bytes:
        """The body as JSON."""
        return b"" if self.body is None else json.dumps(self.body, default=_plain).encode()


class Reply(NamedTuple):
    """What came back. ``json()``, ``text`` and ``status_code`` are the names of httpx, which Prefect's client gives.

    >>> Reply(200, b'"hello"').json()
    'hello'
    """

    status: int
    content: bytes
    headers: Mapping[str, str] = {}

    @property
    def status_code(self) -> int:
        """The status of HTTP."""
        return self.status

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """What the content means. Raises ValueError: it is no JSON."""
        return json.loads(self.content)


def _plain(value: Any) -> Any:
    """What ``json`` does not know: models without what says nothing, ids and moments as text."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, State):
        return {**value.model_dump(mode="json"), "data": None}
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def path_of(*parts: object) -> str:
    """A path of parts, whatever characters they hold.

    >>> path_of("deployments", "name", "daily etl", "a?b")
    '/deployments/name/daily%20etl/a%3Fb'
    """
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something.

    >>> given(name="etl", limit=None)
    {'name': 'etl'}
    """
    return {name: value for name, value in fields.items() if value is not None}


class Api(ABC):
    """Sends requests. Subclasses say how: over HTTP or in this process, waiting or not.

    Attributes:
        place: the API's address, or what it is called in messages.
    """

    place: str

    @abstractmethod
    async def send(self, request: Request) -> Reply:
        """Send a request and wait for its answer. Raises ApiUnavailable: there is none, or not in time."""

    async def ask(self, request: Request, *, missing: str = "", creates: bool = False) -> Reply:
        """The answer to a request, if it is no error.

        Args:
            request: what is asked.
            missing: what a 404 means, for people; otherwise what the server says.
            creates: a 409 means that it is there.

        Raises:
            ObjectNotFound, ApiConflict, ApiUnavailable, ApiError: it is one.
        """
        reply = await self.send(request)
        if reply.status < 400:
            return reply
        raise _error(self.place, request, reply, missing, creates)

    async def one(self, kind: type[M], request: Request, *, missing: str = "", creates: bool = False) -> M:
        """The object that an answer holds."""
        return kind.model_validate_json((await self.ask(request, missing=missing, creates=creates)).content)

    async def many(self, kind: type[M], request: Request) -> list[M]:
        """The objects that an answer holds."""
        return [kind.model_validate(each) for each in await self.value(request)]

    async def value(self, request: Request, *, missing: str = "") -> Any:
        """The JSON of an answer as it is; ``None`` where there is none."""
        content = (await self.ask(request, missing=missing)).content
        return json.loads(content) if content else None


def _error(place: str, request: Request, reply: Reply, missing: str, creates: bool) -> Exception:
    detail = _detail(reply)
    text = detail if isinstance(detail, str) else json.dumps(detail)[:LONGEST_DETAIL]
    asked = f"{request.method} {request.path}"
    if reply.status == 404:
        return ObjectNotFound(missing or text)
    if reply.status == 401:
        message = f"{place} wants a key that it knows: set ORCHESTRATOR_API_KEY to the server's token ({text})"
        return ApiError(message, 401, detail)
    if reply.status == 409 and creates:
        return ApiConflict(text, 409, detail)
    if reply.status in (502, 503, 504):
        return ApiUnavailable(f"{place}: {text}", reply.status, detail)
    return ApiError(f"{place} refused {asked} ({reply.status}): {text}", reply.status, detail)


def _detail(reply: Reply) -> Any:
    """What the server says of an error, however it says it."""
    try:
        read = json.loads(reply.content)
    except ValueError:
        return reply.content[:LONGEST_DETAIL].decode("utf-8", "replace") or "no reason given"
    return read.get("detail", read) if isinstance(read, dict) else read
