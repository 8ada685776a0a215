"""Logging in and out. The form is the pages' affair (``GET /login``); a plain one stands in for it."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from orchestrator.server.guard import cookie_header
from orchestrator.server.security import Security, local_path

PAUSE_SECONDS: Final = 0.5  # after a wrong password


async def log_in(request: Request) -> Response:
    """``POST /login`` with ``secret`` (password or token) and ``next``: a cookie, and on to the page."""
    security: Security = request.app.state.security
    form = await request.form()
    there = local_path(str(form.get("next") or f"{_root(request)}/"))
    if not security.lets_in(str(form.get("secret") or "")):
        await asyncio.sleep(PAUSE_SECONDS)
        return RedirectResponse(f"{_root(request)}/login?failed=1&next={quote(there, safe='')}", 303)
    cookie = security.cookie_of(security.new_session(True))
    return RedirectResponse(there, 303, {"Set-Cookie": cookie_header(request.scope, cookie)})


async def log_out(request: Request) -> Response:
    """``POST /logout``: forget the session."""
    security: Security = request.app.state.security
    cookie = security.cookie_of(security.new_session(False))
    return RedirectResponse(f"{_root(request)}/login", 303, {"Set-Cookie": cookie_header(request.scope, cookie)})


async def plain_form(request: Request) -> Response:
    """``GET /login`` without the pages."""
    token, there = escape(request.state.csrf_token), escape(local_path(request.query_params.get("next", "/")))
    failed = "<p role='alert'>That was not it.</p>" if "failed" in request.query_params else ""
    return HTMLResponse(
        f"<!doctype html><html lang='en'><title>Log in</title><h1>Log in</h1>{failed}<form method='post'>"
        f"<input type='hidden' name='csrf_token' value='{token}'><input type='hidden' name='next' value='{there}'>"
        "<label>Password or token <input type='password' name='secret' autofocus></label>"
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
