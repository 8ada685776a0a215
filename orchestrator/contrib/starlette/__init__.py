"""Tasks behind a web application, for Starlette and its kin; FastAPI's own is ``orchestrator.contrib.fastapi``.

``my_task.delay(...)`` in sync handlers and ``await my_task.adelay(...)`` in async ones need nothing of this. What is
here is for the clients of such an application, who want to know what became of their calls::

    app = Starlette(lifespan=lifespan, routes=[*task_routes("/tasks"), ...])
    add_exception_handlers(app)

``endpoints``  what the routes answer: status with long polling, events, cancelling
``streaming``  server-sent events
``feed``       one look at the store for all who watch
``status``     a run as JSON
``answers``    202 Accepted, 404, 503 with Retry-After
``lifespans``  connect before the first request, close in peace

Importing this opens no connection and reads no environment.
"""

from orchestrator.contrib.starlette.answers import Accepted, accepted, add_exception_handlers
from orchestrator.contrib.starlette.lifespans import lifespan, lifespan_with
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
