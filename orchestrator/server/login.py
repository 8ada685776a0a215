"""Logging in and out. The form is the pages' affair (``GET /login``); a plain one stands in for it."""

from __future__ import annotations

import math
from html import escape
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from brokers.author import acting_as
from orchestrator.server.access import person_of
from orchestrator.server.error_handlers import error_response
from orchestrator.server.guard import cookie_header
from orchestrator.server.identity import OWN, Identity, plain_name
from orchestrator.server.password_lane import PasswordLane
from orchestrator.server.security import Security, local_path
from orchestrator.server.throttle import LoginThrottle


async def log_in(request: Request) -> Response:
    """``POST /login`` with ``name``, ``secret`` and ``next``: a cookie, and on to the page.

    Without a name the secret is the server's own password or token.
    """
    identity: Identity = request.app.state.identity
    throttle: LoginThrottle = request.app.state.login_throttle
    lane: PasswordLane = request.app.state.password_lane
    address = request.client.host if request.client else ""
    form = await request.form()
    name, secret = plain_name(str(form.get("name") or "")), str(form.get("secret") or "")
    there = local_path(str(form.get("next") or f"{_root(request)}/"))
    if (wait := await run_in_threadpool(throttle.begin, address, name)) > 0:
        detail = f"too many wrong passwords came from your address or at this name: try again in {math.ceil(wait)} s"
        return error_response(False, 429, detail, {"Retry-After": str(math.ceil(wait))})
    with acting_as(name or OWN):
        begun = await lane.run(identity.log_in, name, secret, address)
    if begun is None:
        return RedirectResponse(f"{_root(request)}/login?failed=1&next={quote(there, safe='')}", 303)
    await run_in_threadpool(throttle.succeeded, address, name)
    return RedirectResponse(there, 303, {"Set-Cookie": cookie_header(request.scope, begun.cookie)})


async def log_out(request: Request) -> Response:
    """``POST /logout``: end the session, for whoever has its cookie."""
    security: Security = request.app.state.security
    identity: Identity = request.app.state.identity
    if (person := person_of(request)) is not None:
        await run_in_threadpool(identity.log_out, person)
    cookie = security.cookie_of(security.new_session())
    return RedirectResponse(f"{_root(request)}/login", 303, {"Set-Cookie": cookie_header(request.scope, cookie)})


async def plain_form(request: Request) -> Response:
    """``GET /login`` without the pages."""
    token, there = escape(request.state.csrf_token), escape(local_path(request.query_params.get("next", "/")))
    failed = "<p role='alert'>That was not it.</p>" if "failed" in request.query_params else ""
    return HTMLResponse(
        f"<!doctype html><html lang='en'><title>Log in</title><h1>Log in</h1>{failed}<form method='post'>"
        f"<input type='hidden' name='csrf_token' value='{token}'><input type='hidden' name='next' value='{there}'>"
        "<label>Name <input name='name' autocomplete='username' autofocus></label>"
        "<label>Password, or the server's token <input type='password' name='secret'></label>"
        "<button>Log in</button></form></html>"
    )


def _root(request: Request) -> str:
    root: str = request.scope["app_root_path"]
    return root


def login_routes() -> list[BaseRoute]:
    """They come after the pages' own."""
    return [
        Route("/login", plain_form, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
    ]
