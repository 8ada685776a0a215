"""Answers that say no: one shape for all of them, ``{"detail": "..."}``, and no secret in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from brokers.errors import BrokerConflict
from orchestrator.errors import (
    BrokerError,
    ConfigurationError,
    MissingFlowError,
    NotPausedError,
    ObjectNotFound,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
)
from orchestrator.people.rights import NotAllowed
from orchestrator.server.password_lane import RETRY_SECONDS, TooManyPasswords
from orchestrator.server.view_models import ReadOnly


class Refusal(NamedTuple):
    """An answer that says no."""

    status: int
    detail: Any
    headers: Mapping[str, str] = {}


_STATUSES: Final[dict[type[Exception], int]] = {
    ReadOnly: 403,
    NotAllowed: 403,
    ObjectNotFound: 404,
    ConfigurationError: 409,
    BrokerConflict: 409,
    ParameterBindError: 409,
    ParameterTypeError: 409,
    PayloadTooLarge: 409,
    MissingFlowError: 409,
    NotPausedError: 409,
    BrokerError: 503,
    TooManyPasswords: 503,
}


def refusal_of(error: Exception) -> Refusal | None:
    """What an error means for whoever asked; ``None``: it is a mistake of ours.

    >>> refusal_of(ObjectNotFound("no such flow"))
    Refusal(status=404, detail='no such flow', headers={})
    """
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, error.detail, error.headers or {})
    if isinstance(error, TooManyPasswords):
        return Refusal(503, str(error), {"Retry-After": str(RETRY_SECONDS)})
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), None)
    if status == 503:
        return Refusal(503, f"the server does not answer: {error}", {"Retry-After": "2"})
    return Refusal(status, str(error)) if status is not None else None


def error_response(is_api: bool, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON for the API, as text for other paths."""
    kept = dict(headers or {})
    if is_api:
        return JSONResponse({"detail": detail}, status, kept)
    return PlainTextResponse(str(detail), status, kept)


def error_handlers() -> dict[Any, Callable[[Request, Any], Response]]:
    """Exception type -> handler that turns it into a response."""
    return dict.fromkeys((HTTPException, *_STATUSES), _refuse)


def is_api(request: Request) -> bool:
    """Whether the request is below ``/api``."""
    scope = request.scope
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    path: str = scope["path"]
    return path.removeprefix(root).startswith("/api/")


def _refuse(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error) or Refusal(500, "the server made a mistake")
    return error_response(is_api(request), *refusal)
