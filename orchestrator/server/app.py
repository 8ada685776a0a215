"""The application: the JSON API under ``/api``, the pages, security around both, and the index while it runs."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from orchestrator.fleet import Fleet, current_fleet
from orchestrator.inspection import Redaction
from orchestrator.server import api
from orchestrator.server.guard import Guard
from orchestrator.server.index import RunIndex
from orchestrator.server.login import login_routes
from orchestrator.server.metrics import metrics_routes
from orchestrator.server.queries import Queries
from orchestrator.server.refusals import error_handlers
from orchestrator.server.security import Security
from orchestrator.settings import current


def make_app(
    fleet: Fleet | None = None,
    *,
    token: str | None = None,
    password: str | None = None,
    read_only: bool = False,
    allow_open: bool = False,
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
) -> Starlette:
    """The server as an ASGI application, to be run by itself or mounted: ``app.mount("/orchestrator", make_app())``.

    Without a token or password it answers to this machine only: requests that come from elsewhere, or under the name
    of another host, are refused.

    Args:
        fleet: the fleet that is shown; that of the process unless given.
        token: what API clients send as ``Authorization: Bearer <token>``; people may log in with it too.
            ``ORCHESTRATOR_SERVER_TOKEN`` unless given.
        password: what people log in with. ``ORCHESTRATOR_SERVER_PASSWORD`` unless given.
        read_only: refuse every action.
        allow_open: answer anybody even without a token and a password: something in front of this looks after it.
        allowed_hosts: names of hosts, beside those of this machine, under which it may be addressed when it is open.
        root_path: the path at which a proxy in front of it serves it, such as ``/orchestrator``.

    While it runs, ``app.state.queries`` (:class:`~orchestrator.server.queries.Queries`) and ``app.state.security``
    (:class:`~orchestrator.server.security.Security`) are what its pages are made of; ``request.state.csrf_token`` is
    what their forms send back as ``csrf_token``.
    """
    settings = current() if fleet is None else fleet.settings
    security = Security(
        token=token if token is not None else _told(settings.server_token),
        password=password if password is not None else _told(settings.server_password),
        read_only=read_only,
        allow_open=allow_open,
        allowed_hosts=tuple(allowed_hosts),
    )
    fleet = fleet or current_fleet()
    index = RunIndex(fleet)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        index.start()
        try:
            yield
        finally:
            await run_in_threadpool(index.stop)

    app = Starlette(
        routes=[Mount("/api", routes=api.routes()), *metrics_routes(fleet), *_pages(), *login_routes()],
        middleware=[Middleware(Guard, security=security, root_path=root_path, index=index)],
        exception_handlers=error_handlers(),
        lifespan=lifespan,
    )
    app.state.queries = Queries(fleet, index, Redaction(settings.redacted_names), read_only)
    app.state.security = security
    return app


def _told(secret: Any) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _pages() -> list[BaseRoute]:
    """The pages for people, if they are installed."""
    if importlib.util.find_spec("orchestrator.server.pages") is None:
        return []
    return list(vars(importlib.import_module("orchestrator.server.pages"))["routes"])
