"""The JSON API inside a process, on its fleet: the same endpoints without a web server between."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from orchestrator.client.fleet import Fleet
from orchestrator.inspection import Redaction
from orchestrator.server.api import ENDPOINTS
from orchestrator.server.api.endpoint import Answer, Endpoint
from orchestrator.server.error_handlers import refusal_of
from orchestrator.server.index.on_demand import OnDemandIndex
from orchestrator.server.queries import Queries

log = logging.getLogger("orchestrator.server.api")
READING_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the past, for one answer


class LocalApi:
    """Answers requests as the server does. May be used from any thread.

    Args:
        fleet: whose runs and definitions it shows and changes.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._index = OnDemandIndex(fleet)
        self._queries = Queries(fleet, self._index, Redaction(fleet.settings.redacted_names))
        self._table = [(endpoint, compile_path(endpoint.path)) for endpoint in ENDPOINTS]

    def close(self) -> None:
        """Forget what was read."""
        self._index.stop()

    def answer(self, method: str, path: str, query: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """The response to a request below ``/api``; what the endpoint raises is one, too.

        Args:
            method: ``GET``, ``POST``, ...
            path: what follows ``/api``, decoded.
            query: names and values.
            body: JSON, or nothing.
        """
        try:
            endpoint, found = self._route(method, path)
            return self._whole(lambda: endpoint.answer(self._queries, found, query, body))
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            status, detail, headers = refusal
            return Answer(status, json.dumps({"detail": detail}).encode(), headers)

    def _route(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """Raises HTTPException: there is no such endpoint."""
        for endpoint, (regex, _, convertors) in self._table:
            if endpoint.method == method and (found := regex.match(path)):
                return endpoint, {name: convertors[name].convert(text) for name, text in found.groupdict().items()}
        raise HTTPException(404, "Not Found")

    def _whole(self, ask: Callable[[], Answer]) -> Answer:
        """An answer for which as much of the past has been read as it needs, or as there is time for."""
        answer = ask()
        for seconds in READING_SECONDS:
            if not answer.exhausted or self._index.has_all:
                return answer
            self._index.read_back(seconds)
            answer = ask()
        if answer.exhausted and not self._index.has_all:
            log.warning(
                "runs before %s were not searched, there was no time: ask again to have more of them searched, or "
                "set ORCHESTRATOR_API_URL to a server (orchestrator server start), which has them all ready",
                self._index.state().read_back_to,
            )
        return answer
