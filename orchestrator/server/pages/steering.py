"""Queues and workers: how they are, and what people do to them."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.server.answers import RunQuery
from orchestrator.server.pages.rendering import Form, action, asked_one, done, missing, queries_of, render, screen

# -- queues -------------------------------------------------------------------------------------------------------


def queues_page(request: Request) -> Response:
    """How full they are."""
    return render(request, "queues.html", screen="/queues", queues=queries_of(request).queues())


def purge_page(request: Request) -> Response:
    """What a purge would end, before it is done."""
    name = asked_one(request, "name") or ""
    queue = next((queue for queue in queries_of(request).queues() if queue.name == name), None)
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
        count = queries.purge_queue(name)
        return done(request, "/queues", "purge-queue", count, count)
    if what not in ("pause", "resume") or not name:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the queues page.")
    (queries.pause_queue if what == "pause" else queries.resume_queue)(name)
    return done(request, "/queues", f"{what}-queue")


# -- workers ------------------------------------------------------------------------------------------------------


def workers_page(request: Request) -> Response:
    """Who lives, and what each runs."""
    queries = queries_of(request)
    workers = queries.workers()
    running = [run_id for worker in workers for run_id in worker.running[:5]]
    return render(
        request,
        "workers.html",
        screen="/workers",
        workers=workers,
        tasks={run.id: run.task for run in queries.views(running)} if running else {},
    )


def stop_page(request: Request) -> Response:
    """What a stop would mean, before it is done."""
    name = asked_one(request, "name") or ""
    return confirm(
        request,
        screen="/workers",
        heading=f"Stop worker {name}",
        text="It begins nothing new, finishes what runs, hands the rest back to the queue, and ends. Whether it is "
        "started again is up to what supervises it.",
        to="/workers/stop",
        fields={"name": name},
        verb="Stop it",
        back="/workers",
    )


def act_on_worker(request: Request, form: Form) -> Response:
    """Pause, resume or stop a worker."""
    queries, what, name = queries_of(request), request.path_params["what"], form.get("name", "")
    acts = {"pause": queries.pause_workers, "resume": queries.resume_workers, "stop": queries.stop_workers}
    if what not in acts or not name:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the workers page.")
    acts[what]([name])
    return done(request, "/workers", f"{what}-workers")


# -- calls for later, dead letters --------------------------------------------------------------------------------


def scheduled_page(request: Request) -> Response:
    """Calls that wait for a moment, the next one first."""
    queries = queries_of(request)
    page = queries.scheduled(asked_one(request, "cursor"))
    retrying = queries.runs(RunQuery(states=("AwaitingRetry",)), limit=1).total
    return render(request, "scheduled.html", screen="/scheduled", page=page, retrying=retrying)


def dead_page(request: Request) -> Response:
    """Dead letters, by task and error."""
    return render(request, "dead.html", screen="/dead", dead=queries_of(request).dead())


def _group(request: Request, asked: Any) -> list[str] | None:
    """The run ids that are meant: one, those of a group, or all (``None``)."""
    if asked.get("run_id"):
        return [asked["run_id"]]
    if "task" not in asked:
        return None
    groups = queries_of(request).dead().groups
    wanted = (asked["task"], asked.get("error", ""))
    return [run_id for group in groups if (group.task, group.error) == wanted for run_id in group.run_ids]


def purge_dead_page(request: Request) -> Response:
    """How many dead letters would be deleted, before it is done."""
    given = request.query_params
    meant = _group(request, given)
    count = queries_of(request).dead().total if meant is None else len(meant)
    return confirm(
        request,
        screen="/dead",
        heading="Delete dead letters",
        text=f"{count:,} of them, with their arguments and logs, will be gone for good: they cannot be replayed then.",
        to="/dead/purge",
        fields={name: given[name] for name in ("run_id", "task", "error") if name in given},
        verb=f"Delete {count:,}",
        back="/dead",
    )


def act_on_dead(request: Request, form: Form) -> Response:
    """Replay or delete one, a group, or all."""
    queries, what = queries_of(request), request.path_params["what"]
    if what not in ("replay", "purge"):
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the dead letters page.")
    meant = _group(request, form)
    came_to = queries.replay_dead(meant) if what == "replay" else queries.purge_dead(meant)
    return done(request, "/dead", "replay" if what == "replay" else "purge-dead", came_to.done, came_to.asked)


def confirm(request: Request, **facts: Any) -> Response:
    """A page that asks once more."""
    return render(request, "confirm.html", **facts)


ROUTES: Final = [
    Route("/queues", screen(queues_page)),
    Route("/queues/purge", screen(purge_page), methods=["GET"]),
    Route("/queues/{what}", action(act_on_queue), methods=["POST"]),
    Route("/workers", screen(workers_page)),
    Route("/workers/stop", screen(stop_page), methods=["GET"]),
    Route("/workers/{what}", action(act_on_worker), methods=["POST"]),
    Route("/scheduled", screen(scheduled_page)),
    Route("/dead", screen(dead_page)),
    Route("/dead/purge", screen(purge_dead_page), methods=["GET"]),
    Route("/dead/{what}", action(act_on_dead), methods=["POST"]),
]
