"""Deployments: the list, the page of one with its switches and versions, and the form for a run."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.deployments.envelope import RunWishes
from orchestrator.errors import (
    MissingFlowError,
    ObjectNotFound,
    ParameterBindError,
    ParameterTypeError,
    PayloadTooLarge,
)
from orchestrator.people.roles import EDITOR, RUNNER
from orchestrator.server.definition_views import DeploymentView
from orchestrator.server.pages import filters
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.rendering import (
    Form,
    action,
    done,
    missing,
    queries_of,
    query_value,
    render,
    screen,
)
from orchestrator.server.pages.run_form import Field, Sent, fields_of, parameters_known, read_form, with_texts
from orchestrator.server.pages.zones import zone_of_reader, zone_pairs
from orchestrator.server.queries.runs import PAGE

SCREEN: Final = "/deployments"
TICKS: Final = 10  # of each schedule on the page of a deployment
LAST_RUNS: Final = 10
MAX_TEXT: Final = 200  # characters of a run's name, of a tag
_GONE: Final = "It was deleted, or belongs to another namespace or server. The list has those that are there."


def deployments_page(request: Request) -> Response:
    """Those that were written last first, or those with a text in their name."""
    queries, text = queries_of(request).deployments, query_value(request, "name") or ""
    first = first_of(request, "deployments")
    if text:
        matching = [record for record in queries.all() if text.lower() in record.full_name.lower()]
        total, found = len(matching), queries.views(matching[first : first + PAGE])
    else:
        page = queries.newest(first)
        total, found = page.total, page.deployments
    pairs = [("name", text)] if text else []
    return render(
        request,
        "deployments.html",
        screen=SCREEN,
        deployments=found,
        total=total,
        name=text,
        **paging(SCREEN, first, total, pairs),
    )


def deployment_page(request: Request) -> Response:
    """One, with its schedules, versions and last runs."""
    view = _view(request, ticks=TICKS, last_runs=LAST_RUNS)
    if view is None:
        return _missing(request)
    queries = queries_of(request)
    return render(
        request,
        "deployment.html",
        screen=SCREEN,
        view=view,
        record=view.record,
        path=f"{SCREEN}/{view.id}",
        here=filters.address(f"{SCREEN}/{view.id}", zone_pairs(request)),
        zone=zone_of_reader(request),
        versions=queries.deployments.versions(view.id),
        parameters=_parameters_of(request, view),
    )


def _parameters_of(request: Request, view: DeploymentView) -> list[tuple[str, str]]:
    from orchestrator.inspection.values import value_text

    redaction, frozen = queries_of(request).context.redaction, view.record.frozen
    pairs = [
        (f"{name} (frozen)" if name in frozen else name, value_text(value, redaction))
        for name, value in view.record.parameters.items()
    ]
    return redaction.of_pairs(pairs)


def _view(request: Request, **more: Any) -> DeploymentView | None:
    return queries_of(request).deployments.get(request.path_params["deployment_id"], **more)


def _missing(request: Request) -> Response:
    return missing(request, f"Deployment {request.path_params['deployment_id'][:80]}", _GONE)


# -- a run --------------------------------------------------------------------------------------------------------


def run_page(request: Request) -> Response:
    """The form, filled with what the deployment says."""
    view = _view(request, last_runs=0)
    if view is None:
        return _missing(request)
    fields = fields_of(view.record, queries_of(request).context.redaction)
    return _form(request, view, fields, {"once": str(uuid4()), "version": query_value(request, "version") or ""})


def _form(
    request: Request,
    view: DeploymentView,
    fields: list[Field],
    texts: dict[str, str],
    errors: dict[str, str] | None = None,
) -> Response:
    """The form with what was written into it; ``errors`` of what is no parameter: ``""`` is the whole, ``version``."""
    found = errors or {}
    return render(
        request,
        "run_form.html",
        status=422 if found or any(field.error for field in fields) else 200,
        screen=SCREEN,
        view=view,
        record=view.record,
        fields=fields,
        texts={"name": "", "tags": "", **texts},
        errors=found,
        versions=queries_of(request).deployments.versions(view.id),
        left_out=max(0, parameters_known(view.record) - len(fields)),
    )


def start_run(request: Request, form: Form) -> Response:
    """Make the run, or show the form again with what is wrong at each field. Sent twice, it makes one run."""
    view = _view(request, last_runs=0)
    if view is None:
        return _missing(request)
    queries = queries_of(request)
    queries.context.must_write()
    fields = fields_of(view.record, queries.context.redaction)
    sent = read_form(view.record, fields, form)
    texts = {name: form.get(name, "").strip()[:MAX_TEXT] for name in ("name", "tags", "once", "version")}
    wishes = RunWishes(
        name=texts["name"] or None,
        tags=[tag for part in texts["tags"].split(",") if (tag := part.strip())],
        idempotency_key=_key_of(texts, sent) if texts["once"] else None,
        message="started from the dashboard",
    )
    errors: dict[str, str] = {}
    if not sent.errors:
        try:
            run_id = queries.deployments.start_run(
                view.id, sent.parameters, version=texts["version"] or None, wishes=wishes
            )
            return done(request, f"/flows/{quote(run_id, safe='')}", "run-deployment")
        except (ParameterBindError, ParameterTypeError, PayloadTooLarge) as error:
            errors[""] = str(error)
        except (MissingFlowError, ObjectNotFound) as error:
            errors["version"] = str(error)
    return _form(request, view, with_texts(fields, form, sent.errors), texts, errors)


def _key_of(texts: dict[str, str], sent: Sent) -> str:
    """The same for a form that is sent again as it was; another once something in it is changed."""
    content = json.dumps([texts, sent.parameters], sort_keys=True)
    return f"form {texts['once']} {hashlib.sha256(content.encode()).hexdigest()}"


# -- what is done to one ------------------------------------------------------------------------------------------


def rollback_page(request: Request) -> Response:
    """What a rollback would mean, before it is done."""
    view = _view(request, last_runs=0)
    if view is None:
        return _missing(request)
    number = query_value(request, "to") or ""
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise ValueError(f"to={number[:40]!r} is no number of a version")
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Run version {number} of {view.record.full_name}",
        text=f"Runs that are made from now on run version {number} instead of version {view.record.version_number}, "
        "those of schedules included. Runs that are there already keep the version that they have. A later deploy "
        "makes its version the one that runs.",
        to=f"{SCREEN}/{view.id}/rollback",
        fields={"to": number},
        verb=f"Run version {number}",
        back=f"{SCREEN}/{view.id}",
        kind="first",
    )


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    view = _view(request, last_runs=0)
    if view is None:
        return _missing(request)
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete deployment {view.record.full_name}",
        text=f"It goes with its {len(view.schedules)} schedules and all of its versions. Its runs stay in the lists. "
        "A process that serves it goes on until it is stopped; serving or deploying it again makes it anew.",
        to=f"{SCREEN}/{view.id}/delete",
        fields={},
        verb="Delete the deployment",
        back=f"{SCREEN}/{view.id}",
    )


def act_on_deployment(request: Request, form: Form) -> Response:
    """Pause, resume, roll back or delete it."""
    queries, what = queries_of(request).deployments, request.path_params["what"]
    deployment_id = request.path_params["deployment_id"]
    path = f"{SCREEN}/{quote(deployment_id, safe='')}"
    if what == "delete":
        queries.delete(deployment_id)
        return done(request, SCREEN, "delete-deployment")
    if what == "rollback":
        return done(request, path, "roll-back", queries.roll_back(deployment_id, form.get("to", "")))
    acts = {"pause": queries.pause, "resume": queries.resume}
    if what not in acts:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the deployment's page.")
    acts[what](deployment_id)
    return done(request, SCREEN if form.get("back") == SCREEN else path, f"{what}-deployment")


ROUTES: Final = [
    Route("/deployments", screen(deployments_page, in_part=True)),
    Route("/deployments/{deployment_id}", screen(deployment_page, in_part=True)),
    Route("/deployments/{deployment_id}/run", screen(run_page, RUNNER, in_part=True), methods=["GET"]),
    Route("/deployments/{deployment_id}/run", action(start_run, RUNNER, in_part=True), methods=["POST"]),
    Route("/deployments/{deployment_id}/rollback", screen(rollback_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/deployments/{deployment_id}/delete", screen(delete_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/deployments/{deployment_id}/{what}", action(act_on_deployment, EDITOR, in_part=True), methods=["POST"]),
]
