"""Calls to the tasks of an existing Celery application.

``celery_task("shop.tasks.charge", app)`` is a handle on a task that only Celery knows: ``submit``, ``map``, ``delay``
and ``apply_async`` send it as Celery does and return our futures, which can be waited for and passed to our tasks like
any other. The outcome of such a run arrives in one of two ways; either is enough::

    from orchestrator.contrib.celery import report_ends
    report_ends()                       # in the Celery application's module: its workers write outcomes to the store

or from the application's result backend, which the process that sent the call watches.

``handle``          the handle
``celery_app``      one application in one process: sends its tasks, is the source of their futures
``publisher``       one connection to the application's broker, with deadlines
``result_watcher``  one thread that watches the application's result backend
``worker_reports``  outcomes reported by the application's workers
``outcomes``        outcomes of Celery tasks in the form of our records

Importing this opens no connection and reads no environment.
"""

from orchestrator.contrib.celery.handle import CeleryTask, celery_task
from orchestrator.contrib.celery.worker_reports import report_ends

__all__ = ["CeleryTask", "celery_task", "report_ends"]
