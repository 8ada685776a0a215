"""Version, settings and the server's health; the login page; the files that pages load; and what is not there."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from orchestrator.server.identity import Identity
from orchestrator.server.pages.rendering import STATIC, missing, queries_of, render, root_of, screen
from orchestrator.server.security import local_path
from orchestrator.settings import Settings, describe, shown


def about_page(request: Request) -> Response:
    """What runs here, how it is set, and whether the server underneath is fit."""
    queries = queries_of(request)
    return render(
        request,
        "about.html",
        screen="/about",
        health=queries.fleet.health(),
        rows=settings_rows(queries.context.fleet.settings),
        version=installed_version(),
    )


def installed_version() -> str:
    """The version of this package."""
    try:
        return version("orchestrator")
    except PackageNotFoundError:
        return "unknown (not installed)"


def settings_rows(settings: Settings) -> list[dict[str, Any]]:
    """Every setting with its value; of secrets, whether they are set."""
    rows = []
    for row in describe():
        value = getattr(settings, row.name)
        rows.append({"row": row, "value": _shown(value), "is_set": row.name in settings.model_fields_set})
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else ""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    return str(shown("", text))


def login_page(request: Request) -> Response:
    """Asks for name and password, or the server's own. ``POST /login`` judges."""
    identity: Identity = request.app.state.identity
    return render(
        request,
        "login.html",
        there=local_path(request.query_params.get("next", f"{root_of(request)}/")),
        failed="failed" in request.query_params,
        has_users=identity.asks_for_names(),
        has_secret=not request.app.state.security.is_open,
    )


def nothing_here(request: Request) -> Response:
    """For addresses that are none of ours."""
    return missing(request, f"The page {request.scope['path']}", "The rail at the side leads to what there is.")


ROUTES: Final = [
    Route("/about", screen(about_page)),
    Route("/login", screen(login_page, None), methods=["GET"]),
    Mount("/static", StaticFiles(directory=STATIC), name="static"),
]
LAST: Final = [Route("/{rest:path}", screen(nothing_here, in_part=True), methods=["GET"])]
