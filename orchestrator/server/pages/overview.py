"""The first screen: is work getting done, is it going wrong, does it wait?"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.server.pages import charts
from orchestrator.server.pages.rendering import queries_of, query_value, render, root_of, screen
from orchestrator.server.view_models import RunQuery

SPANS: Final = {
    "5m": (5, 10),
    "15m": (15, 15),
    "1h": (60, 60),
    "6h": (360, 300),
    "24h": (1440, 1200),
}  # minutes, seconds per bucket
MAX_TASKS: Final = 12  # those with the most runs
RECENT_SECONDS: Final = 60.0  # throughput is that of the last minute


def overview(request: Request) -> Response:
    """Figures, two charts, the queues, the workers and the last failures."""
    queries = queries_of(request)
    if queries.context.reach is not None:  # its figures are of everything
        return RedirectResponse(f"{root_of(request)}/deployments", 303)
    chosen = query_value(request, "span") or "1h"
    minutes, step = SPANS.get(chosen, SPANS["1h"])
    buckets = queries.index.chart(minutes, step)
    lately = queries.index.chart(2, 10)[-int(RECENT_SECONDS // 10) - 1 : -1]  # the bucket of now is not full
    queues, workers = queries.queues.all(), queries.workers.all()
    counts = queries.index.state_counts()
    return render(
        request,
        "overview.html",
        screen="/",
        span=chosen if chosen in SPANS else "1h",
        spans=list(SPANS),
        step=step,
        buckets=buckets,
        ends=charts.ends_chart(buckets, step),
        waits=charts.wait_chart(buckets, step),
        kinds=charts.KINDS,
        counts=counts,
        kept=sum(counts.values()),
        per_second=sum(bucket.completed + bucket.failed + bucket.crashed for bucket in lately) / RECENT_SECONDS,
        failed=sum(bucket.failed + bucket.crashed for bucket in buckets),
        queues=queues,
        workers=workers,
        waiting=sum(queue.waiting for queue in queues),
        oldest=max((queue.oldest_seconds for queue in queues if queue.oldest_seconds is not None), default=None),
        slots=sum(worker.threads for worker in workers if not worker.paused),
        at_work=sum(min(worker.held, worker.threads) for worker in workers),
        unread=[queue for queue in queues if not queue.workers and (queue.waiting or queue.delayed)],
        paused=[queue for queue in queues if queue.paused],
        tasks=sorted(queries.index.tasks(), key=lambda task: -task.count)[:MAX_TASKS],
        failures=queries.runs.find(RunQuery(states=("FAILED", "CRASHED")), limit=6).runs,
        health=queries.fleet.health(),
    )


ROUTES: Final = [Route("/", screen(overview, in_part=True))]
