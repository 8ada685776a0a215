"""Answers that say no: one shape for all of them, ``{"detail": "..."}``, and no secret in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.server.answers import ReadOnly


def refusal(is_api: bool, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal, as JSON for the API and as text for others."""
    kept = dict(headers or {})
    if is_api:
        return JSONResponse({"detail": detail}, status, kept)
    return PlainTextResponse(str(detail), status, kept)


def error_handlers() -> dict[Any, Callable[[Request, Any], Response]]:
    """What becomes of errors in handlers."""
    return {
        HTTPException: _http,
        BrokerError: _unavailable,
        ReadOnly: lambda request, error: refusal(is_api(request), 403, str(error)),
        ConfigurationError: lambda request, error: refusal(is_api(request), 409, str(error)),
    }


def is_api(request: Request) -> bool:
    """Whether a program asked rather than a page."""
    scope = request.scope
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    path: str = scope["path"]
    return path.removeprefix(root).startswith("/api/")


def _http(request: Request, error: HTTPException) -> Response:
    return refusal(is_api(request), error.status_code, error.detail, error.headers)


def _unavailable(request: Request, error: BrokerError) -> Response:
    return refusal(is_api(request), 503, f"the server does not answer: {error}", {"Retry-After": "2"})
