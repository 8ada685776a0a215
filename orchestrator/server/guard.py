"""The ASGI layer in front of everything: lets in, keeps out, and puts the headers on every answer."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.server.index import RunIndex
from orchestrator.server.refusals import refusal
from orchestrator.server.security import (
    COOKIE,
    CSRF_HEADER,
    HEADERS,
    SESSION_SECONDS,
    Security,
    Session,
    from_elsewhere,
    token_in_form,
)

LARGEST_BODY: Final = 1 << 20  # bytes
HARMLESS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
FOR_EVERYBODY: Final = frozenset(("/login", "/logout", "/api/ready"))
STATIC: Final = "/static/"


class Caller(NamedTuple):
    """Who asks."""

    known: bool  # may see and do everything
    by_token: bool
    session: Session | None


class Guard:
    """The middleware.

    Args:
        app: what it stands in front of.
        security: tells friend from stranger.
        root_path: where a proxy that takes this prefix off serves the app.
        index: started at the first request, for an app that was mounted in another gets no lifespan of its own.
    """

    def __init__(self, app: ASGIApp, security: Security, root_path: str, index: RunIndex) -> None:
        self._app, self._security, self._index = app, security, index
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        scope = self._rooted(scope)
        send = _with_headers(scope, send)
        connection = HTTPConnection(scope)
        refused = self._stranger(connection)
        if refused is None:
            caller = self._caller(connection)
            refused, receive = await self._admitted(connection, caller, receive)
        if refused is not None:
            return await refused(scope, receive, send)
        self._index.start()
        await self._pass_on(scope, receive, send, caller)

    def _rooted(self, scope: Scope) -> Scope:
        root = self._root_path
        if root:  # whether the proxy has taken it off or not
            path = scope["path"] if scope["path"].startswith(root + "/") else root + scope["path"]
            scope = {**scope, "root_path": root + scope.get("root_path", ""), "path": path}
        return {**scope, "app_root_path": scope.get("root_path", ""), "state": dict(scope.get("state") or {})}

    def _stranger(self, connection: HTTPConnection) -> Response | None:
        client = connection.client.host if connection.client else None
        why = self._security.stranger(client, connection.headers.get("host", ""), connection.headers.keys())
        return refusal(_is_api(connection.scope), 403, why) if why else None

    def _caller(self, connection: HTTPConnection) -> Caller:
        session = self._security.session_of(connection.cookies.get(COOKIE))
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._security.is_token(given.strip()):
            return Caller(True, True, session)
        signed_in = session is not None and session.signed_in
        return Caller(self._security.is_open or signed_in, False, session)

    async def _admitted(
        self, connection: HTTPConnection, caller: Caller, receive: Receive
    ) -> tuple[Response | None, Receive]:
        """A refusal if there is reason for one, and what the body is read from."""
        scope = connection.scope
        path, api = _path(scope), _is_api(scope)
        if not caller.known and path not in FOR_EVERYBODY and not path.startswith(STATIC):
            if api:
                return refusal(True, 401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}), receive
            there = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            login = f"{scope['app_root_path']}/login?next={quote(there, safe='')}"
            return RedirectResponse(login, 303, {"Cache-Control": "no-store"}), receive
        if scope["method"] in HARMLESS:
            return None, receive
        body = await _body(connection, receive)
        if body is None:
            return refusal(api, 413, f"a request may have {LARGEST_BODY:,} bytes"), receive
        if not caller.by_token and (why := self._forged(connection, caller, body, api)):
            return refusal(api, 403, why), receive
        return None, _again(body, receive)

    def _forged(self, connection: HTTPConnection, caller: Caller, body: bytes, api: bool) -> str | None:
        """Why a request that could change something is not believed to be wanted by the person at the browser."""
        headers = connection.headers
        if from_elsewhere(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")):
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

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        session = caller.session
        if session is None and not _is_api(scope) and not _path(scope).startswith(STATIC):
            session = self._security.new_session(False)
            send = _with_cookie(scope, send, self._security.cookie_of(session))
        state: dict[str, Any] = scope["state"]
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
        if size > LARGEST_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, then: Receive) -> Receive:
    """A receiver that gives a body that was read before, and then what else comes."""
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
