"""Schedules of deployments and tasks: the calendar of the next 24 hours, the list, the page of one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.inspection.values import value_text
from orchestrator.people.roles import EDITOR, RUNNER
from orchestrator.scheduling.record import moment_of
from orchestrator.server.definition_views import ScheduleView
from orchestrator.server.pages import filters
from orchestrator.server.pages.calendar import OFTEN, calendar_of
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.rendering import (
    Form,
    action,
    done,
    missing,
    queries_of,
    render,
    screen,
)
from orchestrator.server.pages.zones import zone_of_reader, zone_pairs
from orchestrator.server.queries.schedules import ticks_to_come

SCREEN: Final = "/schedules"
TICKS: Final = 10
LISTED: Final = 200  # on a page, in its calendar too
_BACK: Final = re.compile(r"/schedules|/deployments/[0-9a-f-]{36}")
_GONE: Final = "It was deleted, or its code declares it no longer. The list has those that are there."


def schedules_page(request: Request) -> Response:
    """What is due in the next 24 hours, and all schedules: late ones, those that rest and why, and what they missed."""
    queries, zone = queries_of(request).schedules, zone_of_reader(request)
    first = first_of(request, "schedules")
    page = queries.newest(first, LISTED)
    paused = queries.paused_deployments(page.schedules)
    now_ms = queries.now_ms()
    firing = [view for view in page.schedules if view.deployment_id not in paused]
    ticks = (
        (view, [moment_of(tick.tick_ms) for tick in ticks_to_come(view.record, now_ms, OFTEN + 1)]) for view in firing
    )
    pairs = zone_pairs(request)
    return render(
        request,
        "schedules.html",
        screen=SCREEN,
        page=page,
        paused=paused,
        calendar=calendar_of(ticks, moment_of(now_ms), zone or UTC),
        zone=zone,
        **paging(SCREEN, first, page.total, pairs, LISTED),
    )


def schedule_page(request: Request) -> Response:
    """One, with its next ticks, which can be taken out."""
    view = _view(request)
    if view is None:
        return _missing(request)
    queries = queries_of(request)
    path = f"{SCREEN}/{quote(view.id, safe='')}"
    redaction = queries.context.redaction
    return render(
        request,
        "schedule.html",
        screen=SCREEN,
        schedule=view,
        record=view.record,
        path=path,
        here=filters.address(path, zone_pairs(request)),
        zone=zone_of_reader(request),
        is_held_by_deployment=bool(queries.schedules.paused_deployments([view])),
        parameters=redaction.of_pairs((name, value_text(value, redaction)) for name, value in view.parameters.items()),
    )


def _view(request: Request) -> ScheduleView | None:
    return queries_of(request).schedules.get(request.path_params["schedule_id"], TICKS)


def _missing(request: Request) -> Response:
    return missing(request, f"Schedule {request.path_params['schedule_id'][:80]}", _GONE)


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    view = _view(request)
    if view is None:
        return _missing(request)
    path = f"{SCREEN}/{quote(view.id, safe='')}"
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete a schedule of {view.name[:200]}",
        text=f"{view.when[:300]} makes no runs any more. Runs that it has made stay. Code that declares it makes it "
        "anew.",
        to=f"{path}/delete",
        fields={},
        verb="Delete the schedule",
        back=path,
    )


def act_on_schedule(request: Request, form: Form) -> Response:
    """Pause, resume, trigger or delete it, or take out one of its ticks."""
    queries, schedule_id = queries_of(request).schedules, request.path_params["schedule_id"]
    what = request.path_params["what"]
    path = f"{SCREEN}/{quote(schedule_id, safe='')}"
    queries_of(request).context.must_write()
    view = _view(request)
    if view is None:
        return _missing(request)
    if what == "trigger":
        run_id = quote(queries.trigger(schedule_id), safe="")
        return done(
            request, f"/flows/{run_id}" if view.record.is_of_deployment else f"/runs/{run_id}", "run-deployment"
        )
    if what == "skip":
        return _skip(request, schedule_id, form.get("tick", ""))
    acts = {"pause": queries.pause, "resume": queries.resume, "delete": queries.delete}
    if what not in acts:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the schedule's page.")
    try:
        acts[what](schedule_id)
    except ValueError as error:  # it cannot be read or evaluated
        return _impossible(request, str(error)[:1000])
    back = form.get("back", "")
    there = SCREEN if what == "delete" else back if _BACK.fullmatch(back) else path
    return done(request, there, f"{what}-schedule")


def _skip(request: Request, schedule_id: str, text: str) -> Response:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text[:60]!r} has no time zone")
        queries_of(request).schedules.skip(schedule_id, moment)
    except (ValueError, OverflowError) as error:
        return _impossible(request, str(error))
    return done(request, f"{SCREEN}/{quote(schedule_id, safe='')}", "skip-schedule")


def _impossible(request: Request, why: str) -> Response:
    return render(request, "problem.html", status=409, heading="That cannot be done here", explanation=why)


ROUTES: Final = [
    Route("/schedules", screen(schedules_page, in_part=True)),
    Route("/schedules/{schedule_id}", screen(schedule_page, in_part=True)),
    Route("/schedules/{schedule_id}/delete", screen(delete_page, EDITOR, in_part=True), methods=["GET"]),
    Route(
        "/schedules/{schedule_id}/{what}",
        action(
            act_on_schedule,
            {"pause": EDITOR, "resume": EDITOR, "skip": EDITOR, "trigger": RUNNER, "delete": EDITOR},
            in_part=True,
        ),
        methods=["POST"],
    ),
]
