"""Queues and workers: how they are, and what people do to them."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.people.roles import EDITOR, RUNNER
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, query_value, render, screen
from orchestrator.server.view_models import RunQuery

# -- queues -------------------------------------------------------------------------------------------------------


def queues_page(request: Request) -> Response:
    """How full they are."""
    return render(request, "queues.html", screen="/queues", queues=queries_of(request).queues.all())


def purge_page(request: Request) -> Response:
    """What a purge would end, before it is done."""
    name = query_value(request, "name") or ""
    queue = next((queue for queue in queries_of(request).queues.all() if queue.name == name), None)
    if queue is None:
        return missing(request, f"Queue {name!r}", "The queues page lists those that are known.")
    return confirm(
        request,
        screen="/queues",
        heading=f"Purge queue {name}",
        text=f"{queue.waiting:,} waiting calls will end as Cancelled. What workers have claimed, and what is scheduled "
        "for later, stays.",
        to="/queues/purge",
        fields={"name": name},
        verb=f"Cancel {queue.waiting:,} calls",
        back="/queues",
    )


def act_on_queue(request: Request, form: Form) -> Response:
    """Pause, resume or purge a queue."""
    queries, what, name = queries_of(request), request.path_params["what"], form.get("name", "")
    if what == "purge":
        count = queries.queues.purge(name)
        return done(request, "/queues", "purge-queue", count, count)
    if what not in ("pause", "resume") or not name:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the queues page.")
    (queries.queues.pause if what == "pause" else queries.queues.resume)(name)
    return done(request, "/queues", f"{what}-queue")


# -- workers ------------------------------------------------------------------------------------------------------


def workers_page(request: Request) -> Response:
    """The live workers, and what each runs."""
    queries = queries_of(request)
    workers = queries.workers.all()
    running = [run_id for worker in workers for run_id in worker.running[:5]]
    return render(
        request,
        "workers.html",
        screen="/workers",
        workers=workers,
        tasks={run.id: run.task for run in queries.runs.views(running)} if running else {},
    )


def stop_page(request: Request) -> Response:
    """What a stop would mean, before it is done."""
    name = query_value(request, "name") or ""
    return confirm(
        request,
        screen="/workers",
        heading=f"Stop worker {name}",
        text="This stops the whole worker, with all its processes and on every queue that it reads, not a single run. "
        "It begins nothing new, finishes what runs, hands the rest back to the queue, and ends. Whether it is started "
        "again is up to what supervises it.",
        to="/workers/stop",
        fields={"name": name},
        verb="Stop the whole worker",
        back="/workers",
    )


def act_on_worker(request: Request, form: Form) -> Response:
    """Pause, resume or stop a worker."""
    queries, what, name = queries_of(request), request.path_params["what"], form.get("name", "")
    acts = {"pause": queries.workers.pause, "resume": queries.workers.resume, "stop": queries.workers.stop}
    if what not in acts or not name:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the workers page.")
    acts[what]([name])
    return done(request, "/workers", f"{what}-workers")


# -- calls for later, dead letters --------------------------------------------------------------------------------


def scheduled_page(request: Request) -> Response:
    """Calls that wait for a moment, the next one first."""
    queries = queries_of(request)
    page = queries.fleet.scheduled(query_value(request, "cursor"))
    retrying = queries.runs.find(RunQuery(states=("AwaitingRetry",)), limit=1).total
    return render(request, "scheduled.html", screen="/scheduled", page=page, retrying=retrying)


def dead_page(request: Request) -> Response:
    """Dead letters, by task and error."""
    return render(request, "dead.html", screen="/dead", dead=queries_of(request).dead_letters.groups())


def _group(request: Request, params: Any) -> list[str] | None:
    """The selected run ids: one, those of a group, or all (``None``)."""
    if params.get("run_id"):
        return [params["run_id"]]
    if "task" not in params:
        return None
    groups = queries_of(request).dead_letters.groups().groups
    wanted = (params["task"], params.get("error", ""))
    return [run_id for group in groups if (group.task, group.error) == wanted for run_id in group.run_ids]


def _confirm_dead(request: Request, verb: str, to: str, becomes: str, kind: str = "danger") -> Response:
    """How many dead letters an action would concern; ``becomes``: what becomes of them."""
    given = request.query_params
    selected = _group(request, given)
    count = queries_of(request).dead_letters.groups().total if selected is None else len(selected)
    return confirm(
        request,
        screen="/dead",
        heading=f"{verb} dead letters",
        text=f"{count:,} of them {becomes}",
        to=to,
        fields={name: given[name] for name in ("run_id", "task", "error") if name in given},
        verb=f"{verb} {count:,}",
        back="/dead",
        kind=kind,
    )


def replay_dead_page(request: Request) -> Response:
    """How many dead letters would be queued again, before it is done."""
    return _confirm_dead(
        request,
        "Replay",
        "/dead/replay",
        "are queued again with the arguments they had. They took workers down with them, or could not be read: if the "
        "cause is not mended, they do so again.",
        kind="first",
    )


def purge_dead_page(request: Request) -> Response:
    """How many dead letters would be deleted, before it is done."""
    return _confirm_dead(
        request,
        "Delete",
        "/dead/purge",
        "will be gone for good, with their arguments and logs: they cannot be replayed then.",
    )


def act_on_dead(request: Request, form: Form) -> Response:
    """Replay or delete one, a group, or all."""
    queries, what = queries_of(request), request.path_params["what"]
    if what not in ("replay", "purge"):
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the dead letters page.")
    selected = _group(request, form)
    result = queries.dead_letters.replay(selected) if what == "replay" else queries.dead_letters.purge(selected)
    return done(request, "/dead", "replay" if what == "replay" else "purge-dead", result.done, result.requested)


def confirm(request: Request, **facts: Any) -> Response:
    """A page that asks once more."""
    return render(request, "confirm.html", **{"kind": "danger", **facts})


ROUTES: Final = [
    Route("/queues", screen(queues_page)),
    Route("/queues/purge", screen(purge_page, EDITOR), methods=["GET"]),
    Route("/queues/{what}", action(act_on_queue, EDITOR), methods=["POST"]),
    Route("/workers", screen(workers_page)),
    Route("/workers/stop", screen(stop_page, EDITOR), methods=["GET"]),
    Route("/workers/{what}", action(act_on_worker, EDITOR), methods=["POST"]),
    Route("/scheduled", screen(scheduled_page)),
    Route("/dead", screen(dead_page)),
    Route("/dead/replay", screen(replay_dead_page, RUNNER), methods=["GET"]),
    Route("/dead/purge", screen(purge_dead_page, EDITOR), methods=["GET"]),
    Route("/dead/{what}", action(act_on_dead, {"replay": RUNNER, "purge": EDITOR}), methods=["POST"]),
]
