"""Starlette: routes and responses for the runs behind an application; for FastAPI: ``orchestrator.contrib.fastapi``.

``my_task.delay(...)`` in sync handlers and ``await my_task.adelay(...)`` in async ones need none of this. This
package is for the clients of such an application, who ask for the status of their calls::

    app = Starlette(lifespan=lifespan, routes=[*task_routes("/tasks"), ...])
    add_exception_handlers(app)

``endpoints``  responses of the routes: status with long polling, events, cancellation
``streaming``  server-sent events
``feed``       one poll of the store for all watching clients
``status``     a run as JSON
``responses``  202 Accepted, 404, 503 with Retry-After
``lifespans``  connects before the first request, closes after the last

Importing this opens no connection and reads no environment.
"""

from orchestrator.contrib.starlette.lifespans import lifespan, lifespan_with
from orchestrator.contrib.starlette.responses import Accepted, accepted, add_exception_handlers
from orchestrator.contrib.starlette.routes import task_routes
from orchestrator.contrib.starlette.status import TaskStatus, json_safe

__all__ = [
    "Accepted",
    "TaskStatus",
    "accepted",
    "add_exception_handlers",
    "json_safe",
    "lifespan",
    "lifespan_with",
    "task_routes",
]
