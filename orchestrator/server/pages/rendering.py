"""Shared by all screens: templates, parsed forms, and the message after an action."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from brokers.errors import BrokerConflict
from orchestrator.errors import (
    BrokerError,
    ConfigurationError,
    MissingFlowError,
    ObjectNotFound,
    SerializationError,
)
from orchestrator.people.rights import NotAllowed
from orchestrator.people.roles import VIEWER, Role
from orchestrator.server.access import person_of, queries_for
from orchestrator.server.pages import formatting
from orchestrator.server.pages.permitted import Access, may_change, may_do
from orchestrator.server.password_lane import WITH_A_PASSWORD, PasswordLane, TooManyPasswords
from orchestrator.server.queries import Queries
from orchestrator.server.security import CSRF_FIELD
from orchestrator.server.view_models import ReadOnly

log = logging.getLogger("orchestrator.server")

HERE: Final = Path(__file__).parent.parent
STATIC: Final = HERE / "static"
HTMX: Final = "htmx-2.0.11.min.js"
STOP_POLLING: Final = 286  # htmx stops polling after a response with this status
SCREENS: Final = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/flows", "Flows"),
    ("/deployments", "Deployments"),
    ("/schedules", "Schedules"),
    ("/automations", "Automations"),
    ("/queues", "Queues"),
    ("/workers", "Workers"),
    ("/work-pools", "Work pools"),
    ("/limits", "Limits"),
    ("/artifacts", "Artifacts"),
    ("/blocks", "Blocks"),
    ("/variables", "Variables"),
    ("/events", "Events"),
    ("/scheduled", "Scheduled"),
    ("/dead", "Dead letters"),
    ("/people", "People"),
    ("/about", "About"),
)

Form = ImmutableMultiDict[str, str]


@cache
def environment() -> Environment:
    """The templates. Whatever they are given is text: it is escaped unless it is one of our own pictures."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        {
            name: getattr(formatting, name)
            for name in (
                "tone",
                "span",
                "ago",
                "utc",
                "iso",
                "in_zone",
                "clock",
                "from_ms",
                "took",
                "brief",
                "size",
                "rate",
                "in_order",
                "called",
                "share",
                "task_named",
            )
        },
        count_=formatting.count,
    )
    return made


@cache
def asset_version() -> str:
    """Changes with our own stylesheets and scripts, so that browsers may keep them."""
    files = sorted(path for path in STATIC.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def queries_of(request: Request) -> Queries:
    """The queries of this app."""
    found: Queries = request.state.queries
    return found


def root_of(request: Request) -> str:
    """Prefix of every address: where the app is mounted."""
    return str(request.scope.get("app_root_path", "")).rstrip("/")


def render(request: Request, template: str, /, status: int = 200, **facts: Any) -> Response:
    """A page, or only its live part where htmx asks for that."""
    queries = queries_of(request)
    is_part = request.headers.get("hx-request") == "true"
    may, person = partial(may_do, request), person_of(request)
    common = {
        "layout": "fragment.html" if is_part else "base.html",
        "root": root_of(request),
        "screens": [(path, name) for path, name in SCREENS if may("GET", path)],
        "may": may,
        "screen": "",
        "now": (now := datetime.now(UTC)),
        "now_ms": now.timestamp() * 1000,
        "utc_zone": UTC,
        "namespace": queries.context.fleet.settings.namespace,
        "read_only": queries.context.read_only or not may_change(request, str(facts.get("screen", ""))),
        "theme": request.cookies.get("theme", "auto"),
        "csrf": getattr(request.state, "csrf_token", ""),
        "csrf_field": CSRF_FIELD,
        "who": person.name if person is not None and person.session_id is not None else "",
        "session_id": person.session_id if person is not None else None,
        "signed_in": bool(getattr(request.state, "signed_in", False)),
        "flash": flash_message(request),
        "assets": asset_version(),
        "htmx": HTMX,
    }
    text = environment().get_template(template).render({**common, **facts})
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store", "Vary": "HX-Request"})


def screen(
    show: Callable[[Request], Response], needs: Role | None = VIEWER, *, in_part: bool = False
) -> Callable[[Request], Any]:
    """An endpoint that renders a page in a thread of the pool; an error becomes a page that says why.

    Args:
        show: makes the page.
        needs: the role that it takes; ``None``: everybody sees it.
        in_part: whether it heeds scopes: others are for those who have the role over everything.
    """
    return _endpoint(lambda request, body: show(request), Access(needs, in_part))


def _endpoint(show: Callable[[Request, bytes], Response], access: Access) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            role = access.role(request.path_params)
            request.state.queries = queries_for(request, role, in_part=access.in_part)
            if request.path_params.get("what") in WITH_A_PASSWORD:
                lane: PasswordLane = request.app.state.password_lane
                return await lane.run(show, request, body)
            return await run_in_threadpool(show, request, body)
        except _REFUSALS as error:
            return await run_in_threadpool(_refused, request, error)

    endpoint.access = access  # type: ignore[attr-defined]
    return endpoint


_IMPOSSIBLE: Final = (BrokerConflict, ConfigurationError, MissingFlowError, SerializationError)
_REFUSALS: Final = (
    BrokerError,
    ReadOnly,
    NotAllowed,
    TooManyPasswords,
    ObjectNotFound,
    *_IMPOSSIBLE,
    ValueError,
)  # ValueError: no such cursor


def _refused(request: Request, error: Exception) -> Response:
    request.state.queries = request.app.state.queries  # for the frame of the page, which has nothing of theirs
    if isinstance(error, _IMPOSSIBLE):
        heading, status = "That cannot be done here", 409
    elif isinstance(error, BrokerError):
        heading, status = "The server does not answer", 503
    elif isinstance(error, TooManyPasswords):
        heading, status = "Too many at once", 503
    elif isinstance(error, NotAllowed):
        heading, status = "You may not do that", 403
    elif isinstance(error, ReadOnly):
        heading, status = "This is a read-only view", 403
    elif isinstance(error, ObjectNotFound):
        heading, status = "That was not found", 404
    else:
        heading, status = "The address is not understood", 400
        log.debug("%s is refused", request.scope["path"], exc_info=error)
    return render(request, "problem.html", status=status, heading=heading, explanation=str(error))


def missing(request: Request, what: str, hint: str) -> Response:
    """404, with what to do about it."""
    return render(request, "problem.html", status=404, heading=f"{what} was not found", explanation=hint)


def query_values(request: Request, name: str) -> tuple[str, ...]:
    """The values of a parameter, without empty ones."""
    return tuple(value.strip() for value in request.query_params.getlist(name) if value.strip())


def query_value(request: Request, name: str) -> str | None:
    """The first value of a parameter that is not empty."""
    return next(iter(query_values(request, name)), None)


# -- actions ----------------------------------------------------------------------------------------------------------


def action(
    act: Callable[[Request, Form], Response], needs: Role | Mapping[str, Role] | None, *, in_part: bool = False
) -> Callable[[Request], Any]:
    """An endpoint for a form: reads it, then acts in a thread of the pool.

    Args:
        act: does what the form says.
        needs: the role that it takes, or those of each ``what`` that the address has; ``None``: it asks by itself.
        in_part: whether it heeds scopes, as for a screen.
    """

    def read(request: Request, body: bytes) -> Response:
        return act(request, Form(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))

    return _endpoint(read, Access(needs, in_part))


_DONE: Final = {
    "run-now": "Queued {n} of {of} runs that waited for a moment.",
    "cancel": "Asked {n} of {of} runs to stop.",
    "retry": "Queued {n} of {of} runs again.",
    "delete": "Deleted {n} of {of} runs.",
    "replay": "Replayed {n} of {of} dead letters.",
    "purge-dead": "Deleted {n} of {of} dead letters.",
    "pause-queue": "The queue is paused: no worker begins its calls until it is resumed.",
    "resume-queue": "The queue goes on.",
    "purge-queue": "Cancelled {n} waiting calls.",
    "pause-workers": "Paused: what runs there goes on, nothing new is begun.",
    "resume-workers": "Takes calls again.",
    "run-deployment": "The run is queued.",
    "resume-flow-run": "The flow run goes on.",
    "pause-deployment": "The deployment is paused: its schedules make no runs until it is resumed.",
    "resume-deployment": "The schedules of the deployment make runs again, from their next ticks on.",
    "delete-deployment": "The deployment is deleted, with its schedules and versions.",
    "roll-back": "Version {n} is the one that runs now.",
    "pause-schedule": "The schedule is paused: it makes no runs until it is resumed.",
    "resume-schedule": "The schedule makes runs again, from its next tick on.",
    "skip-schedule": "That tick is taken out: it makes no run.",
    "delete-schedule": "The schedule is deleted; its runs stay.",
    "change-limit": "The limit has {n} places now.",
    "enable-limit": "The limit holds again.",
    "disable-limit": "The limit holds nobody up until it is enabled.",
    "delete-limit": "The limit is deleted.",
    "delete-artifacts": "Deleted {n} artifacts.",
    "enable-automation": "The automation is enabled.",
    "disable-automation": "The automation is disabled.",
    "test-automation": "It has fired: {n} actions are done now.",
    "delete-automation": "The automation is deleted.",
    "create-pool": "The pool is made. Start a worker for it, and name it when you deploy.",
    "pause-pool": "The pool is paused: none of its runs is handed out until it is resumed.",
    "resume-pool": "The pool's runs are handed out again.",
    "limit-pool": "The number of its runs at once is changed.",
    "add-queue-pool": "The queue is added. Workers read it from their next start on.",
    "delete-pool": "The pool is deleted; runs that wait in it stay for one of its name.",
    "pause-work-queue": "The queue is paused: none of its runs is handed out until it is resumed.",
    "resume-work-queue": "The queue's runs are handed out again.",
    "limit-work-queue": "The number of its runs at once is changed.",
    "priority-work-queue": "The priority is changed. Workers read by it from their next start on.",
    "delete-work-queue": "The queue is deleted.",
    "create-block": "The block is saved.",
    "change-block": "The block is changed: whoever loads it from now on gets the new values.",
    "delete-block": "The block is deleted.",
    "set-variable": "The variable is set.",
    "change-variable": "The variable is changed: whoever reads it from now on gets the new value.",
    "delete-variable": "The variable is deleted.",
    "add-user": "The user is added.",
    "set-role": "The role is another one from the next request on.",
    "set-password": "The password is changed: sessions with the old one have ended.",
    "delete-user": "The user is deleted, with keys and sessions.",
    "create-team": "The team is made.",
    "change-team": "The team is changed, from the next request of its members on.",
    "delete-team": "The team is deleted.",
    "join": "The user is in the team.",
    "leave": "The user is in the team no more.",
    "revoke-key": "The key is revoked: it is refused from now on.",
    "end-session": "The session has ended.",
    "stop-workers": "Asked to stop: running calls are finished, the others handed back.",
}


def done(request: Request, path: str, what: str, count: int = 0, of: int = 0) -> Response:
    """Back to a page, which says what was done."""
    glue = "&" if "?" in path else "?"
    query = urlencode({"done": what, "n": count, "of": of})
    return RedirectResponse(f"{root_of(request)}{path}{glue}{query}", status_code=303)


def flash_message(request: Request) -> str:
    """The message of the action that redirected here; a URL can only select one of our own sentences."""
    query: Mapping[str, str] = request.query_params
    sentence = _DONE.get(query.get("done", ""), "")
    return sentence.format(**{name: _number(query.get(name, "0")) for name in ("n", "of")})


def _number(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() and len(text) < 12 else "?"
