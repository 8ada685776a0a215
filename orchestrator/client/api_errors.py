"""What can go wrong between a client and the JSON API."""

from __future__ import annotations

from orchestrator.errors import BrokerConflict, OrchestratorError


class ApiError(OrchestratorError):
    """The JSON API refused a request.

    Attributes:
        status: of HTTP: 401 and 403 (the key), 409 (it does not fit the state of things), 422 (a field), 500, ...
        detail: what the server answered.
    """

    def __init__(self, message: str, status: int, detail: object = None) -> None:
        super().__init__(message)
        self.status, self.detail = status, detail

    def __reduce__(self) -> tuple[type[ApiError], tuple[object, ...]]:
        return type(self), (str(self), self.status, self.detail)


class ApiConflict(ApiError, BrokerConflict):
    """There is one of that name already."""


class ApiUnavailable(ApiError, ConnectionError):
    """The server of the JSON API, or the store behind it, does not answer."""
