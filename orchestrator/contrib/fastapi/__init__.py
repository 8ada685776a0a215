"""FastAPI: routes and responses for the runs behind an application.

``my_task.delay(...)`` in sync handlers and ``await my_task.adelay(...)`` in async ones need none of this. This
package is for the clients of such an application, who ask for the status of their calls::

    app = FastAPI(lifespan=lifespan)
    app.include_router(tasks_router("/tasks"))
    add_exception_handlers(app)

    @app.post("/reports", status_code=202, response_model=Accepted)
    async def order(report: Report) -> Response:
        return accepted(await make_report.adelay(report.customer))

Importing this opens no connection and reads no environment. All but the router is ``orchestrator.contrib.starlette``.
"""

from orchestrator.contrib.fastapi.router import tasks_router
from orchestrator.contrib.starlette import (
    Accepted,
    TaskStatus,
    accepted,
    add_exception_handlers,
    json_safe,
    lifespan,
    lifespan_with,
)

__all__ = [
    "Accepted",
    "TaskStatus",
    "accepted",
    "add_exception_handlers",
    "json_safe",
    "lifespan",
    "lifespan_with",
    "tasks_router",
]
