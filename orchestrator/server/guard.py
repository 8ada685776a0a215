"""The outermost ASGI layer: authenticates, rejects, and puts security headers on every response."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brokers.author import acting_as
from brokers.errors import BrokerError
from orchestrator.server.error_handlers import error_response
from orchestrator.server.identity import ANYBODY, Caller, Identity
from orchestrator.server.index import RunIndex
from orchestrator.server.security import (
    COOKIE,
    CSRF_HEADER,
    HEADERS,
    SESSION_SECONDS,
    Security,
    is_cross_site,
    token_in_form,
)

MAX_BODY: Final = 1 << 20  # bytes
BODY_SECONDS: Final = 15.0  # for all of it, however it trickles
SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
READY: Final = "/api/ready"
PUBLIC_PATHS: Final = frozenset(("/login", "/logout", READY))
STATIC: Final = "/static/"


class Guard:
    """The middleware.

    Args:
        app: the application behind it.
        security: checks where a request comes from, and that a form is ours.
        identity: knows who sends it; what they may do is for endpoints and pages to say.
        root_path: the prefix under which a proxy that strips it serves the app.
        index: started at the first request, since a mounted app gets no lifespan of its own.
    """

    def __init__(self, app: ASGIApp, security: Security, identity: Identity, root_path: str, index: RunIndex) -> None:
        self._app, self._security, self._identity, self._index = app, security, identity, index
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        scope = self._rooted(scope)
        send = _with_headers(scope, send)
        connection = HTTPConnection(scope)
        caller, error = await self._identify(connection)
        if error is None:
            error, receive = await self._authorize(connection, caller, receive)
        if error is not None:
            return await error(scope, receive, send)
        self._index.start()
        with acting_as(caller.person.label if caller.person not in (None, ANYBODY) else ""):
            await self._forward(scope, receive, send, caller)

    def _rooted(self, scope: Scope) -> Scope:
        root = self._root_path
        scope = {
            **scope,
            "path": scope["path"].encode("utf-8", "replace").decode(),
        }  # some servers leave half characters
        if root:  # whether the proxy has taken it off or not
            path = scope["path"] if scope["path"].startswith(root + "/") else root + scope["path"]
            scope = {**scope, "root_path": root + scope.get("root_path", ""), "path": path}
        return {**scope, "app_root_path": scope.get("root_path", ""), "state": dict(scope.get("state") or {})}

    async def _identify(self, connection: HTTPConnection) -> tuple[Caller, Response | None]:
        """Who sends it, and the error response where that is nobody's business, or is not to be found out."""
        scope, nobody = connection.scope, Caller(None, False, None)
        path = _path(scope)
        try:
            if await run_in_threadpool(self._identity.is_open):
                error = self._untrusted_host(connection)
                if error is not None:
                    return nobody, error
            if path == READY or path.startswith(STATIC):
                return nobody, None
            scheme, _, given = connection.headers.get("authorization", "").partition(" ")
            bearer = given.strip() if scheme.lower() == "bearer" else ""
            cookie = connection.cookies.get(COOKIE)
            return await run_in_threadpool(self._identity.caller, bearer, cookie), None
        except BrokerError as error:
            if path == READY or path.startswith(STATIC):
                return nobody, self._untrusted_host(connection) if self._security.is_open else None
            detail = f"the server does not answer: {error}"
            return nobody, error_response(_is_api(scope), 503, detail, {"Retry-After": "2"})

    def _untrusted_host(self, connection: HTTPConnection) -> Response | None:
        client = connection.client.host if connection.client else None
        reason = self._security.untrusted_host(client, connection.headers.get("host", ""), connection.headers.keys())
        return error_response(_is_api(connection.scope), 403, reason) if reason else None

    async def _authorize(
        self, connection: HTTPConnection, caller: Caller, receive: Receive
    ) -> tuple[Response | None, Receive]:
        """The error response for a rejected request, if any, and the receiver of its body."""
        scope = connection.scope
        path, api = _path(scope), _is_api(scope)
        if caller.person is None and path not in PUBLIC_PATHS and not path.startswith(STATIC):
            if api:
                return error_response(
                    True,
                    401,
                    "a bearer token is needed: the server's, or a key that was not revoked and is not over",
                    {"WWW-Authenticate": "Bearer"},
                ), receive
            there = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            login = f"{scope['app_root_path']}/login?next={quote(there, safe='')}"
            return RedirectResponse(login, 303, {"Cache-Control": "no-store"}), receive
        if scope["method"] in SAFE_METHODS:
            return None, receive
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(connection, receive)
        except TimeoutError:
            reason = f"the whole request must arrive within {BODY_SECONDS:g} s"
            return error_response(api, 408, reason, {"Connection": "close"}), receive
        if body is None:
            return error_response(api, 413, f"a request may have {MAX_BODY:,} bytes"), receive
        if not caller.by_token and (forged := self._csrf_error(connection, caller, body, api)):
            return error_response(api, 403, forged), receive
        return None, _replay(body, receive)

    def _csrf_error(self, connection: HTTPConnection, caller: Caller, body: bytes, api: bool) -> str | None:
        """Why a state-changing request is rejected as forged; ``None`` if it is not."""
        headers = connection.headers
        if is_cross_site(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")):
            return "this was sent by a page of another site"
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        given = headers.get(CSRF_HEADER) or (
            token_in_form(body) if content_type == "application/x-www-form-urlencoded" else ""
        )
        if self._security.is_csrf_token(caller.session, given):
            return None
        signed_in = caller.session is not None and caller.session.signed_in
        in_browser = signed_in or "origin" in headers or "sec-fetch-site" in headers
        if api and not in_browser and (content_type == "application/json" or not body):
            return None  # a program, on this machine; no page can send this
        return "the form's token is missing or too old: load the page again"

    async def _forward(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        session = caller.session
        if session is None and not _is_api(scope) and not _path(scope).startswith(STATIC):
            session = self._security.new_session()
            send = _with_cookie(scope, send, self._security.cookie_of(session))
        state: dict[str, Any] = scope["state"]
        state["person"] = caller.person
        state["signed_in"] = session is not None and session.signed_in
        state["csrf_token"] = self._security.csrf_token(session) if session is not None else ""
        state["read_only"] = self._security.read_only
        await self._app(scope, receive, send)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope["app_root_path"])


def _is_api(scope: Scope) -> bool:
    return _path(scope).startswith("/api/")


async def _body(connection: HTTPConnection, receive: Receive) -> bytes | None:
    """The whole body; ``None`` if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, then: Receive) -> Receive:
    """A receiver that replays a body that was already read, then passes on what follows."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else await then()

    return receive


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def cookie_header(scope: Scope, value: str) -> str:
    """The ``Set-Cookie`` of a session."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path = scope["app_root_path"] or "/"
    return f"{COOKIE}={value}; Path={path}; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Lax{secure}"


def _with_cookie(scope: Scope, send: Send, value: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "set-cookie" not in headers:
                headers.append("set-cookie", cookie_header(scope, value))
        await send(message)

    return sending
