"""The ASGI application: the JSON API under ``/api``, the pages, security around both, and the run index."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.inspection import Redaction
from orchestrator.server import api
from orchestrator.server.error_handlers import error_handlers
from orchestrator.server.guard import Guard
from orchestrator.server.identity import Identity
from orchestrator.server.index import RunIndex
from orchestrator.server.login import login_routes
from orchestrator.server.metrics import metrics_routes
from orchestrator.server.password_lane import PasswordLane
from orchestrator.server.queries import Queries
from orchestrator.server.security import Security
from orchestrator.server.throttle import LoginThrottle
from orchestrator.settings import current


def make_app(
    fleet: Fleet | None = None,
    *,
    token: str | None = None,
    password: str | None = None,
    read_only: bool = False,
    allow_open: bool = False,
    allowed_hosts: Sequence[str] = (),
    users: bool = True,
    root_path: str = "",
) -> Starlette:
    """The server as an ASGI application, to be run by itself or mounted: ``app.mount("/orchestrator", make_app())``.

    Without a token, a password and users it serves this machine only: requests from other machines, or under the name
    of another host, are refused. The first ``orchestrator user add`` closes it.

    Args:
        fleet: the fleet to show; the process's own unless given.
        token: what API clients send as ``Authorization: Bearer <token>``; people may log in with it too.
            ``ORCHESTRATOR_SERVER_TOKEN`` unless given.
        password: what people log in with. ``ORCHESTRATOR_SERVER_PASSWORD`` unless given.
        read_only: refuse every action.
        allow_open: serve anybody while there is no token, password or user: what is in front of it authenticates.
        allowed_hosts: further host names that an open server accepts in requests, besides those of this machine.
        users: people of the store log in with their names and passwords, and programs with their keys, each with the
            role and scope that they have. False: there are the token and the password only.
        root_path: the path under which a proxy serves it, such as ``/orchestrator``.

    While it runs, ``app.state.queries`` (:class:`~orchestrator.server.queries.Queries`) and ``app.state.security``
    (:class:`~orchestrator.server.security.Security`) are what its pages use; ``request.state.csrf_token`` is what their
    forms send back as ``csrf_token``.
    """
    settings = current() if fleet is None else fleet.settings
    security = Security(
        token=token if token is not None else _secret_value(settings.server_token),
        password=password if password is not None else _secret_value(settings.server_password),
        read_only=read_only,
        allow_open=allow_open,
        allowed_hosts=tuple(allowed_hosts),
    )
    fleet = fleet or current_fleet()
    index = RunIndex(fleet)
    identity = Identity(fleet.broker, security, users)
    app = Starlette(
        routes=_routes(fleet),
        middleware=[Middleware(Guard, security=security, identity=identity, root_path=root_path, index=index)],
        exception_handlers=error_handlers(),
        lifespan=_lifespan(index),
    )
    app.state.queries = Queries(fleet, index, Redaction(settings.redacted_names), read_only)
    app.state.security = security
    app.state.identity = identity
    app.state.login_throttle = LoginThrottle(fleet.broker)
    app.state.password_lane = PasswordLane()
    return app


def _secret_value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _routes(fleet: Fleet) -> list[BaseRoute]:
    return [Mount("/api", routes=api.routes()), *metrics_routes(fleet), *_pages(), *login_routes()]


def _pages() -> list[BaseRoute]:
    """The pages for people, if they are installed."""
    if importlib.util.find_spec("orchestrator.server.pages") is None:
        return []
    return list(vars(importlib.import_module("orchestrator.server.pages"))["routes"])


def _lifespan(index: RunIndex) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """The index follows the journal while the application runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        index.start()
        try:
            yield
        finally:
            await run_in_threadpool(index.stop)

    return lifespan
