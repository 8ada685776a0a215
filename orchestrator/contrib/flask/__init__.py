"""Flask: tasks that run inside the application context, so that ``current_app`` and extensions work in them.

Instead of ``from orchestrator import task``::

    from orchestrator.contrib.flask import tasks_of

    task = tasks_of("shop:create_app")

    @task(retries=3)
    def send_invoice(order_id: int) -> None:
        current_app.logger.info("...")

or, for one task, ``@with_app_context(app)`` below ``@task``. In handlers nothing is needed: ``send_invoice.delay(7)``.

Importing this opens no connection and reads no environment.
"""

from orchestrator.contrib.flask.contexts import tasks_of, with_app_context

__all__ = ["tasks_of", "with_app_context"]
