"""What every screen needs: templates, forms that are read back, and what is told after something was done."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.server.answers import ReadOnly
from orchestrator.server.pages import wording
from orchestrator.server.queries import Queries
from orchestrator.server.security import CSRF_FIELD

log = logging.getLogger("orchestrator.server")

HERE: Final = Path(__file__).parent.parent
STATIC: Final = HERE / "static"
HTMX: Final = "htmx-2.0.11.min.js"
STOP_POLLING: Final = 286  # htmx asks no more after an answer with this status
SCREENS: Final = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/flows", "Flows"),
    ("/queues", "Queues"),
    ("/workers", "Workers"),
    ("/scheduled", "Scheduled"),
    ("/dead", "Dead letters"),
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
            name: getattr(wording, name)
            for name in ("tone", "span", "ago", "utc", "iso", "took", "brief", "size", "rate", "in_order")
        },
        count_=wording.count,
    )
    return made


@cache
def asset_version() -> str:
    """Changes with our own stylesheets and scripts, so that browsers may keep them."""
    files = sorted(path for path in STATIC.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def queries_of(request: Request) -> Queries:
    """What the pages of this app ask."""
    found: Queries = request.app.state.queries
    return found


def root_of(request: Request) -> str:
    """Prefix of every address: where the app is mounted."""
    return str(request.scope.get("app_root_path", "")).rstrip("/")


def render(request: Request, template: str, /, status: int = 200, **facts: Any) -> Response:
    """A page, or only its live part where htmx asks for that."""
    queries = queries_of(request)
    is_part = request.headers.get("hx-request") == "true"
    common = {
        "layout": "fragment.html" if is_part else "base.html",
        "root": root_of(request),
        "path": request.url.path,
        "screens": SCREENS,
        "screen": "",
        "now": datetime.now(UTC),
        "namespace": queries.fleet.settings.namespace,
        "read_only": queries.read_only,
        "theme": request.cookies.get("theme", "auto"),
        "csrf": getattr(request.state, "csrf_token", ""),
        "csrf_field": CSRF_FIELD,
        "signed_in": bool(getattr(request.state, "signed_in", False)),
        "told": told_by(request),
        "assets": asset_version(),
        "htmx": HTMX,
    }
    text = environment().get_template(template).render({**common, **facts})
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store", "Vary": "HX-Request"})


def screen(show: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """An endpoint that shows something, in a thread of the pool; a refusal becomes a page that says why."""

    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(show, request)
        except _REFUSALS as error:
            return await run_in_threadpool(_refused, request, error)

    return endpoint


_REFUSALS: Final = (BrokerError, ConfigurationError, ReadOnly, ValueError)  # ValueError: a cursor that is none


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, BrokerError):
        heading, status = "The server does not answer", 503
    elif isinstance(error, ReadOnly):
        heading, status = "This is a read-only view", 403
    elif isinstance(error, ConfigurationError):
        heading, status = "That cannot be done here", 409
    else:
        heading, status = "The address is not understood", 400
        log.debug("%s is refused", request.url.path, exc_info=error)
    return render(request, "problem.html", status=status, heading=heading, explanation=str(error))


def missing(request: Request, what: str, hint: str) -> Response:
    """404, with what to do about it."""
    return render(request, "problem.html", status=404, heading=f"{what} was not found", explanation=hint)


def asked(request: Request, name: str) -> tuple[str, ...]:
    """The values of a parameter, without empty ones."""
    return tuple(value.strip() for value in request.query_params.getlist(name) if value.strip())


def asked_one(request: Request, name: str) -> str | None:
    """The first value of a parameter that is not empty."""
    return next(iter(asked(request, name)), None)


# -- actions ----------------------------------------------------------------------------------------------------------


def action(act: Callable[[Request, Form], Response]) -> Callable[[Request], Any]:
    """An endpoint for a form: reads it, then acts in a thread of the pool. Who may do it is the guard's business."""

    async def endpoint(request: Request) -> Response:
        body = (await request.body()).decode("utf-8", "replace")
        form = Form(parse_qsl(body, keep_blank_values=True))
        try:
            return await run_in_threadpool(act, request, form)
        except _REFUSALS as error:
            return await run_in_threadpool(_refused, request, error)

    return endpoint


_DONE: Final = {
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
    "stop-workers": "Asked to stop: running calls are finished, the others handed back.",
}


def done(request: Request, path: str, what: str, count: int = 0, of: int = 0) -> Response:
    """Back to a page, which says what was done."""
    glue = "&" if "?" in path else "?"
    told = urlencode({"done": what, "n": count, "of": of})
    return RedirectResponse(f"{root_of(request)}{path}{glue}{told}", status_code=303)


def told_by(request: Request) -> str:
    """The sentence for an action that led here; only sentences of ours can be asked for."""
    query: Mapping[str, str] = request.query_params
    sentence = _DONE.get(query.get("done", ""), "")
    numbers = {name: f"{int(text):,}" if (text := query.get(name, "0")).isdecimal() else "?" for name in ("n", "of")}
    return sentence.format(**numbers)
