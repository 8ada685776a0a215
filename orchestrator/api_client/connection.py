"""Where the API is: at an address, or in this process on the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from brokers.urls import masked
from orchestrator.api_client.api import Api, Reply, Request
from orchestrator.client.api_errors import ApiUnavailable
from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

    from orchestrator.server.api.local import LocalApi

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0
HERE: Final = "the store"
HOW_TO_INSTALL: Final = "pip install 'orchestrator[client]'"


class HttpApi(Api):
    """The API at an address. Closed, it can be used again."""

    def __init__(self, url: str, key: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.place = _checked(url)
        self._options = _options(self.place, key, settings or {})

    def _failed(self, error: Exception) -> ApiUnavailable:
        what = "did not answer in time" if "Timeout" in type(error).__name__ else f"does not answer ({error})"
        return ApiUnavailable(
            f"{masked(self.place)} {what}: is `orchestrator server start` running there?", 503, str(error)
        )


class SyncHttpApi(HttpApi):
    """For code that waits."""

    _client: httpx.Client | None = None

    async def send(self, request: Request) -> Reply:
        httpx = _httpx()
        client = self._client = self._client or httpx.Client(**self._options)
        try:
            reply = client.request(**_arguments(request))
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        return Reply(reply.status_code, reply.content, reply.headers)

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


class AsyncHttpApi(HttpApi):
    """For event loops: each has connections of its own."""

    _client: httpx.AsyncClient | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request) -> Reply:
        httpx = _httpx()
        if self._loop is not asyncio.get_running_loop():
            self._client, self._loop = None, asyncio.get_running_loop()
        client = self._client = self._client or httpx.AsyncClient(**self._options)
        try:
            reply = await client.request(**_arguments(request))
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        return Reply(reply.status_code, reply.content, reply.headers)

    async def aclose(self) -> None:
        """Close the connections of this loop."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()


class StoreApi(Api):
    """The API in this process, on the process's own fleet."""

    place = HERE

    def __init__(self) -> None:
        self._local: LocalApi | None = None

    def _answer(self, request: Request) -> Reply:
        local = self._local = self._local or _local_api()
        answer = local.answer(request.method, unquote(request.path), list(request.query.items()), request.content())
        return Reply(answer.status, answer.content or b"", answer.headers)

    def close(self) -> None:
        """Forget what was read of the store."""
        local, self._local = self._local, None
        if local is not None:
            local.close()


class SyncStoreApi(StoreApi):
    """For code that waits."""

    async def send(self, request: Request) -> Reply:
        return self._answer(request)


class AsyncStoreApi(StoreApi):
    """For event loops, which it never blocks."""

    async def send(self, request: Request) -> Reply:
        return await asyncio.to_thread(self._answer, request)

    async def aclose(self) -> None:
        """Forget what was read of the store."""
        await asyncio.to_thread(self.close)


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise ConfigurationError(f"a client of the API over HTTP needs httpx: {HOW_TO_INSTALL}") from None
    return httpx


def _local_api() -> LocalApi:
    from orchestrator.client.fleet import current_fleet

    try:
        from orchestrator.server.api.local import LocalApi
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "starlette":
            raise
        raise ConfigurationError(f"a client on the store needs the server's library: {HOW_TO_INSTALL}") from None
    return LocalApi(current_fleet())


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{masked(url)!r} is no address of an API, such as http://127.0.0.1:4200/api")
    return url.rstrip("/")


def _options(url: str, key: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How httpx is set up; what the user says comes last."""
    httpx = _httpx()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    given = dict(settings)
    return {"base_url": url, "timeout": timeout, **given, "headers": {**headers, **dict(given.get("headers") or {})}}


def _arguments(request: Request) -> dict[str, Any]:
    """A request as httpx takes it."""
    return {
        "method": request.method,
        "url": request.path.lstrip("/"),
        "content": request.content() or None,
        "params": dict(request.query) or None,
        "headers": {"Content-Type": "application/json"},
    }
