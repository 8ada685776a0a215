"""Schedules: those of a deployment, and all of them with what people do to them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.schedules import Schedule
from orchestrator.server.api import definition_responses as answers
from orchestrator.server.api import schedule_requests
from orchestrator.server.api.deployments import NO_DEPLOYMENT, existing
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.definition_views import ScheduleView

NO_SCHEDULE: Final = "There is no such schedule"
TAG: Final = "Schedules"


class SchedulesQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


def _known(call: Call) -> ScheduleView:
    found = call.queries.schedules.get(call.path["id"])
    if found is None:
        raise HTTPException(404, NO_SCHEDULE)
    return found


def _answer(call: Call, view: ScheduleView) -> answers.DeploymentSchedule:
    return answers.schedule_of(view, call.queries.context.redaction)


def _list(call: Call) -> list[answers.DeploymentSchedule]:
    page = call.queries.schedules.newest(call.query.offset, call.query.limit)
    call.headers["X-Total-Count"] = str(page.total)
    return [_answer(call, view) for view in page.schedules]


def _done(call: Call, done: bool) -> None:
    if not done:
        raise HTTPException(404, NO_SCHEDULE)


def _resume(call: Call) -> None:
    try:
        _done(call, call.queries.schedules.resume(call.path["id"]))
    except ValueError as error:
        raise HTTPException(409, str(error)) from None


def _skip(call: Call) -> None:
    try:
        _done(call, call.queries.schedules.skip(call.path["id"], call.body.tick))
    except ValueError as error:
        raise HTTPException(409, str(error)) from None


def _trigger(call: Call) -> answers.MadeRuns:
    try:
        return answers.MadeRuns(flow_run_ids=[call.queries.schedules.trigger(_known(call).id)])
    except ValueError as error:
        raise HTTPException(409, str(error)) from None


def _backfill(call: Call) -> answers.MadeRuns:
    body, schedule = call.body, _known(call)
    if body.end < body.start:
        raise HTTPException(422, "end is before start")
    options = {"concurrency": body.concurrency, "newest_first": body.newest_first, "again": body.again}
    try:
        made = call.queries.schedules.backfill(schedule.id, body.start, body.end, **options)
    except (ValueError, OverflowError) as error:  # too many ticks, or it is left alone
        raise HTTPException(409, str(error)) from None
    return answers.MadeRuns(flow_run_ids=made)


# -- of a deployment -------------------------------------------------------------------------------------------------


def _of_deployment(call: Call) -> list[answers.DeploymentSchedule]:
    return [_answer(call, view) for view in existing(call, last_runs=0).schedules]


def _add(call: Call) -> list[answers.DeploymentSchedule]:
    record = existing(call, last_runs=0).record
    made = [call.queries.deployments.write_schedule(record, given.value()) for given in call.body.root]
    views = {view.id: view for view in existing(call, last_runs=0).schedules}
    return [_answer(call, views[one]) for one in dict.fromkeys(made) if one in views]


def _of_it(call: Call) -> tuple[Any, ScheduleView]:
    """The deployment's record and the schedule that is meant."""
    deployment = existing(call, last_runs=0)
    for view in deployment.schedules:
        if view.id == call.path["schedule_id"]:
            return deployment.record, view
    raise HTTPException(404, NO_SCHEDULE)


def _change(call: Call) -> None:
    record, view = _of_it(call)
    given, before = call.body.given(), view.record.schedule
    if set(given) == {"active"} and call.body.schedule is None:  # the only one that needs no reading
        change = call.queries.schedules.resume if given["active"] else call.queries.schedules.pause
        change(view.id)
        return
    if before is None:
        raise HTTPException(409, f"the schedule cannot be changed here: {view.record.trouble}")
    kept = {name: getattr(before, name) for name in Schedule.__dataclass_fields__ if name != "_ticks"}
    kept |= {"active": view.record.active, "parameters": view.parameters}
    timing = ("interval", "cron", "rrule", "timezone", "anchor_date", "day_or")
    if call.body.schedule is not None:
        kept = {name: value for name, value in kept.items() if name not in timing} | call.body.schedule.given()
    try:
        schedule = Schedule(**{**kept, **given})
    except (ValueError, TypeError) as error:
        raise HTTPException(422, str(error)) from None
    call.queries.deployments.write_schedule(record, schedule, view.id)


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, path, do, gives, summary, TAG, in_part=True, **more)


_ONE: Final[dict[str, Any]] = {"missing": NO_SCHEDULE}
_CHANGES: Final[dict[str, Any]] = {**_ONE, "changes": True, "status": (204,)}
_OF_IT: Final = "/deployments/{id}/schedules"
ENDPOINTS: Final = [
    _row(
        "GET",
        "/schedules",
        _list,
        list[answers.DeploymentSchedule],
        "All, last written first",
        query=SchedulesQuery,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/schedules/{id}",
        lambda call: _answer(call, _known(call)),
        answers.DeploymentSchedule,
        "One",
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "DELETE",
        "/schedules/{id}",
        lambda call: _done(call, call.queries.schedules.delete(call.path["id"])),
        None,
        "Forget it; its runs stay",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/schedules/{id}/pause",
        lambda call: _done(call, call.queries.schedules.pause(call.path["id"], call.body.reason)),
        None,
        "Have it rest",
        body=schedule_requests.PauseSchedule,
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/schedules/{id}/resume",
        _resume,
        None,
        "Have it fire again, from its next tick on",
        conflict="It cannot be read here",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/schedules/{id}/skip",
        _skip,
        None,
        "Take out a tick to come",
        body=schedule_requests.Skip,
        conflict="It is not due then",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/schedules/{id}/trigger",
        _trigger,
        answers.MadeRuns,
        "Make a run now",
        conflict="No run can be made of it",
        **{**_CHANGES, "status": (201,)},
        needs=RUNNER,
    ),
    _row(
        "POST",
        "/schedules/{id}/backfill",
        _backfill,
        answers.MadeRuns,
        "Make the runs of a time; ticks that had one are left out",
        body=schedule_requests.Backfill,
        conflict="No runs can be made of it, or more than 10,000",
        **{**_CHANGES, "status": (201,)},
        needs=RUNNER,
    ),
    _row(
        "GET",
        _OF_IT,
        _of_deployment,
        list[answers.DeploymentSchedule],
        "Those of a deployment",
        missing=NO_DEPLOYMENT,
        needs=VIEWER,
    ),
    _row(
        "POST",
        _OF_IT,
        _add,
        list[answers.DeploymentSchedule],
        "Give a deployment more of them",
        body=schedule_requests.Schedules,
        changes=True,
        missing=NO_DEPLOYMENT,
        conflict="The parameters do not fit the flow",
        status=(201,),
        needs=EDITOR,
    ),
    _row(
        "PATCH",
        f"{_OF_IT}/{{schedule_id}}",
        _change,
        None,
        "Change what is given of one",
        body=schedule_requests.ScheduleUpdate,
        conflict="It cannot be read here, or does not fit the flow",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "DELETE",
        f"{_OF_IT}/{{schedule_id}}",
        lambda call: _done(call, call.queries.schedules.delete(_of_it(call)[1].id)),
        None,
        "Take one away",
        **_CHANGES,
        needs=EDITOR,
    ),
]
