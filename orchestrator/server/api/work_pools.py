"""Work pools, their queues and workers over HTTP, with the paths and bodies of Prefect 3's clients.

Workers of ours claim runs from the store: ``get_scheduled_flow_runs`` shows what waits, and claims nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid5

from starlette.exceptions import HTTPException

from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api import work_pool_bodies as bodies
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.responses import flow_run_of
from orchestrator.server.definition_views import WorkPoolView, WorkQueueView
from orchestrator.server.queries.flow_run_search import FlowRunSearch, found
from orchestrator.server.queries.runs import PAGE
from orchestrator.server.view_models import FlowRunView

NO_POOL: Final = "There is no such work pool"
NO_QUEUE: Final = "There is no such work pool, or it has no such queue"
POOLS: Final = "Work pools"
QUEUES: Final = "Work queues"
Place = tuple[WorkPoolView, WorkQueueView]


def _pool(call: Call) -> WorkPoolView:
    view = call.queries.work_pools.get(call.path["pool"])
    if view is None:
        raise HTTPException(404, NO_POOL)
    return view


def _some(call: Call, every: list[Any]) -> list[Any]:
    call.headers["X-Total-Count"] = str(len(every))
    return every[call.body.offset : call.body.offset + (call.body.limit or PAGE)]


# -- pools -------------------------------------------------------------------------------------------------------------


def _answer(call: Call, view: WorkPoolView) -> bodies.WorkPool:
    return bodies.pool_of(view, call.queries.context.redaction)


def _filter(call: Call) -> list[bodies.WorkPool]:
    wanted = call.body.work_pools or bodies.PoolFilter()
    pools = [pool for pool in call.queries.work_pools.all() if wanted.fits(pool)]
    return [_answer(call, view) for view in call.queries.work_pools.views(_some(call, pools))]


def _count(call: Call) -> int:
    wanted = call.body.work_pools or bodies.PoolFilter()
    return sum(1 for pool in call.queries.work_pools.all() if wanted.fits(pool))


def _create(call: Call) -> bodies.WorkPool:
    body = call.body
    _or_refused(lambda: call.queries.work_pools.create(body.name, body.type, **body.changes()))
    view = call.queries.work_pools.get(body.name)
    if view is None:
        raise HTTPException(409, "it has been deleted meanwhile")
    return _answer(call, view)


def _change(call: Call) -> None:
    _or_refused(lambda: call.queries.work_pools.change(_pool(call).pool.name, call.body.changes()))


def _delete(call: Call) -> None:
    call.queries.work_pools.delete(_pool(call).pool.name)


def _or_refused(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


# -- what waits, and who works -----------------------------------------------------------------------------------------


def _scheduled(call: Call) -> list[bodies.WorkerFlowRun]:
    view, body = _pool(call), call.body
    wanted = [_queue_named(view, name).queue.name for name in body.work_queue_names or ()]
    names = {
        record.id: record.work_queue_name or "default" for record in call.queries.work_pools.members(view.pool.name)
    }
    ids = {queue.queue.name: queue.id for queue in view.queues}

    def fits(run: FlowRunView) -> bool:
        moment = run.expected or run.created
        if wanted and names.get(run.deployment_id or "") not in wanted:
            return False
        if moment is None:
            return body.scheduled_after is None
        return (body.scheduled_before is None or moment <= body.scheduled_before) and (
            body.scheduled_after is None or moment >= body.scheduled_after
        )

    narrow = {"deployment_ids": list(names) or [""], "states": ["SCHEDULED"]}
    search = FlowRunSearch(narrow, fits, "NEXT_SCHEDULED_START_TIME_ASC")
    page = found(call.queries.flow_runs, search, None, 0, body.limit or PAGE)
    return [
        bodies.WorkerFlowRun(
            work_pool_id=view.pool.id,
            work_queue_id=ids.get(names.get(run.deployment_id or "", "")),
            flow_run=flow_run_of(run, call.queries.flows.id_of(run.flow)),
        )
        for run in page.runs
    ]


def _workers(call: Call) -> list[bodies.Worker]:
    view, status = _pool(call), call.body.workers.status if call.body.workers is not None else None
    online = status is None or status.any_ is None or "ONLINE" in status.any_
    beat = call.queries.context.fleet.settings.beat_seconds
    return [
        bodies.worker_of(view, worker, str(uuid5(UUID(view.pool.id), f"worker {worker.worker or worker.name}")), beat)
        for worker in _some(call, view.workers if online else [])
    ]


# -- queues ------------------------------------------------------------------------------------------------------------


def _queue_named(view: WorkPoolView, name: str) -> WorkQueueView:
    for queue in view.queues:
        if queue.queue.name == name:
            return queue
    raise HTTPException(404, NO_QUEUE)


def _by_name(call: Call) -> Place:
    view = _pool(call)
    return view, _queue_named(view, call.path["queue"])


def _by_id(call: Call) -> Place:
    for view in call.queries.work_pools.views(call.queries.work_pools.all()):
        for queue in view.queues:
            if queue.id == call.path["id"]:
                return view, queue
    raise HTTPException(404, NO_QUEUE)


def _queues(call: Call, views: list[WorkPoolView]) -> list[bodies.WorkQueue]:
    wanted = call.body.work_queues or bodies.QueueFilter()
    every = [(view, queue) for view in views for queue in view.queues if wanted.fits(queue)]
    return [bodies.queue_of(*place) for place in _some(call, every)]


def _queues_of_pool(call: Call) -> list[bodies.WorkQueue]:
    return _queues(call, [_pool(call)])


def _every_queue(call: Call) -> list[bodies.WorkQueue]:
    return _queues(call, call.queries.work_pools.views(call.queries.work_pools.all()))


def _create_queue(call: Call) -> bodies.WorkQueue:
    pool, body = _pool(call).pool.name, call.body
    _or_refused(lambda: call.queries.work_pools.create_queue(pool, body.name, **body.changes()))
    view = _pool(call)
    return bodies.queue_of(view, _queue_named(view, body.name))


def _show(find: Callable[[Call], Place]) -> Callable[[Call], bodies.WorkQueue]:
    return lambda call: bodies.queue_of(*find(call))


def _change_queue(find: Callable[[Call], Place]) -> Callable[[Call], None]:
    def change(call: Call) -> None:
        view, queue = find(call)
        if call.body.name not in (None, queue.queue.name):
            raise HTTPException(422, "a work queue keeps its name: deployments are found by it")
        changes = call.body.changes()
        _or_refused(lambda: call.queries.work_pools.change_queue(view.pool.name, queue.queue.name, changes))

    return change


def _delete_queue(find: Callable[[Call], Place]) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        view, queue = find(call)
        call.queries.work_pools.delete_queue(view.pool.name, queue.queue.name)

    return delete


# -- rows --------------------------------------------------------------------------------------------------------------


def _row(method: str, path: str, do: Any, gives: Any, summary: str, tag: str = POOLS, **more: Any) -> Endpoint:
    return Endpoint(method, path, do, gives, summary, tag, in_part=True, **more)


def _rows_of_queue(path: str, find: Callable[[Call], Place]) -> list[Endpoint]:
    one: dict[str, Any] = {"tag": QUEUES, "missing": NO_QUEUE}
    changes: dict[str, Any] = {**one, "changes": True, "status": (204,), "needs": EDITOR}
    busy = "Others change the pool all the time"
    return [
        _row("GET", path, _show(find), bodies.WorkQueue, "One queue", **one, needs=VIEWER),
        _row(
            "PATCH",
            path,
            _change_queue(find),
            None,
            "Change what is given",
            body=bodies.QueueUpdate,
            conflict=busy,
            **changes,
        ),
        _row(
            "DELETE",
            path,
            _delete_queue(find),
            None,
            "Take it out of its pool",
            conflict="It is `default`, deployments name it, or runs wait in it",
            **changes,
        ),
    ]


_ONE: Final[dict[str, Any]] = {"missing": NO_POOL, "needs": VIEWER}
_CHANGES: Final[dict[str, Any]] = {**_ONE, "changes": True, "status": (204,), "needs": EDITOR}
ENDPOINTS: Final = [
    _row(
        "POST",
        "/work_pools/filter",
        _filter,
        list[bodies.WorkPool],
        "Work pools, what was written last first",
        body=bodies.PoolsList,
        needs=VIEWER,
    ),
    _row("POST", "/work_pools/count", _count, int, "How many there are", body=bodies.PoolsQuery, needs=VIEWER),
    _row(
        "POST",
        "/work_pools/",
        _create,
        bodies.WorkPool,
        "Make one",
        body=bodies.PoolCreate,
        changes=True,
        conflict="There is one of that name",
        status=(201,),
        needs=EDITOR,
    ),
    _row("GET", "/work_pools/{pool}", lambda call: _answer(call, _pool(call)), bodies.WorkPool, "One pool", **_ONE),
    _row(
        "PATCH",
        "/work_pools/{pool}",
        _change,
        None,
        "Change what is given",
        body=bodies.PoolUpdate,
        conflict="Others change it all the time",
        **_CHANGES,
    ),
    _row("DELETE", "/work_pools/{pool}", _delete, None, "Forget it; its runs wait for one of its name", **_CHANGES),
    _row(
        "POST",
        "/work_pools/{pool}/get_scheduled_flow_runs",
        _scheduled,
        list[bodies.WorkerFlowRun],
        "Runs that wait in it, by the moment at which they are due; nothing is claimed",
        body=bodies.ScheduledRunsOfPool,
        **_ONE,
    ),
    _row(
        "POST",
        "/work_pools/{pool}/workers/filter",
        _workers,
        list[bodies.Worker],
        "Its live workers",
        body=bodies.WorkersList,
        **_ONE,
    ),
    _row(
        "POST",
        "/work_pools/{pool}/queues/filter",
        _queues_of_pool,
        list[bodies.WorkQueue],
        "Its queues, the one that is read first at the top",
        QUEUES,
        body=bodies.QueuesList,
        **_ONE,
    ),
    _row(
        "POST",
        "/work_pools/{pool}/queues",
        _create_queue,
        bodies.WorkQueue,
        "Add a queue; workers read it from their next start on",
        QUEUES,
        body=bodies.QueueCreate,
        changes=True,
        conflict="It has one of that name",
        status=(201,),
        **{**_ONE, "needs": EDITOR},
    ),
    *_rows_of_queue("/work_pools/{pool}/queues/{queue}", _by_name),
    _row(
        "POST",
        "/work_queues/filter",
        _every_queue,
        list[bodies.WorkQueue],
        "Queues of all pools",
        QUEUES,
        body=bodies.QueuesList,
        needs=VIEWER,
    ),
    *_rows_of_queue("/work_queues/{id}", _by_id),
]
