"""For shops that have a Celery application: its tasks beside ours.

``celery_task("shop.tasks.charge", app)`` is a handle on a task that only Celery knows: ``submit``, ``map``, ``delay``
and ``apply_async`` send it as Celery does and give our futures, which wait, are waited for and are passed to our tasks
like any other. What becomes of such a run is heard in two ways, of which one is enough::

    from orchestrator.contrib.celery import report_ends
    report_ends()                       # in the module of the Celery application: its workers tell the store

or from the application's result backend, which the process that sent the call watches.

``handle``     the handle
``sending``    one connection to the application's broker, with deadlines
``watching``   the application's result backend, watched by one thread
``reporting``  what its workers tell
``ends``       how Celery's ends are written into our records
``shop``       an application as a process sees it: sends its tasks, and is where their futures come from

Importing this opens no connection and reads no environment.
"""

from orchestrator.contrib.celery.handle import CeleryTask, celery_task
from orchestrator.contrib.celery.reporting import report_ends

__all__ = ["CeleryTask", "celery_task", "report_ends"]
