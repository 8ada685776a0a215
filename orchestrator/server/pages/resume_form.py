"""Resuming a paused flow run: the form of what it waits for, and what was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.deployments.record import DeploymentRecord
from orchestrator.errors import NotPausedError, ParameterTypeError
from orchestrator.pausing.pause import Pause
from orchestrator.people.roles import RUNNER
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, render, screen
from orchestrator.server.pages.run_form import Field, fields_of, read_form, with_texts

_GONE: Final = "There is no record of it: it has expired or was deleted."
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


def resume_page(request: Request) -> Response:
    """The form."""
    flow_run_id = request.path_params["flow_run_id"]
    try:
        pause = queries_of(request).flow_runs.pause(flow_run_id)
    except NotPausedError as error:
        return missing(request, "Nothing to resume", str(error))
    return _form(request, pause, _fields(request, pause))


def resume_run(request: Request, form: Form) -> Response:
    """Resume it, or show the form again with what is wrong."""
    flow_run_id, queries = request.path_params["flow_run_id"], queries_of(request).flow_runs
    try:
        pause = queries.pause(flow_run_id)
        fields = _fields(request, pause)
        sent = read_form(_carrier(pause), fields, form)
        if sent.errors:
            return _form(request, pause, with_texts(fields, form, sent.errors), status=422)
        queries.resume(flow_run_id, sent.parameters or None)
    except NotPausedError as error:
        return missing(request, "Nothing to resume", str(error))
    except ParameterTypeError as error:
        return _form(request, pause, with_texts(fields, form, {}), error=str(error), status=422)
    return done(request, f"/flows/{quote(flow_run_id, safe='')}", "resume-flow-run")


def _fields(request: Request, pause: Pause) -> list[Field]:
    return fields_of(_carrier(pause), queries_of(request).context.redaction)


def _carrier(pause: Pause) -> DeploymentRecord:
    """The schema as forms take it: that of a deployment."""
    return DeploymentRecord(pause.id, "input", "input", parameter_schema=pause.schema or {})


def _form(request: Request, pause: Pause, fields: list[Field], *, error: str = "", status: int = 200) -> Response:
    flow_run_id = request.path_params["flow_run_id"]
    run = queries_of(request).flow_runs.view(flow_run_id)
    if run is None:
        return missing(request, f"Flow run {flow_run_id}", _GONE)
    return render(
        request,
        "resume.html",
        status=status,
        screen="/flows",
        run=run,
        pause=pause,
        until=min(datetime.fromtimestamp(min(pause.until, _LATEST.timestamp()), UTC), _LATEST),
        fields=fields,
        error=error,
    )


ROUTES: Final = [
    Route("/flows/{flow_run_id}/resume", screen(resume_page, RUNNER, in_part=True), methods=["GET"]),
    Route("/flows/{flow_run_id}/resume", action(resume_run, RUNNER, in_part=True), methods=["POST"]),
]
