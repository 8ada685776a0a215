"""Engine 2's workers: ordinary Celery workers that run our calls, beside a shop's own tasks.

``celery -A task_workers.celery worker`` serves calls of the app that ``ORCHESTRATOR_WORKER_APP`` names (or
``-I module``); ``orchestrator worker -A module`` does the same with our flags. A shop that has a Celery application
adds one line to it::

    from task_workers.celery_app import install
    install(app)

and starts its workers as before. Importing this reads no environment and opens no connection.

``app``         the application, and ``install``
``calls``       our tasks as Celery sees them; messages that name unknown ones
``process``     the slots of a process that runs calls: a pool's child, or the worker itself
``places``      memory that outlives a child: what it ran, where it was
``children``    the processes of a pool, as the killer and crash recovery need them
``fleet_step``  what runs beside the pool in the worker's main process
``overflow_consumer`` takes more messages while calls wait for others
``inherited``   what a child must not keep open of its worker's connection
``overdue_messages`` sends again what the broker has lost
``command``     ``orchestrator worker`` on this engine
"""

from task_workers.celery.app import app, install

__all__ = ["app", "install"]
