"""Django: calls that wait for the commit, and a backend for its Tasks framework.

``delay_on_commit(task, *args)`` sends a call when the transaction has been committed: the worker finds the rows.
``await adelay_on_commit(task, *args)`` does it in async views.

``orchestrator worker -A orchestrator.contrib.django.app`` is a worker with the project set up
(``DJANGO_SETTINGS_MODULE``) and with the ``tasks`` modules of its applications imported.

``TASKS = {"default": {"BACKEND": "orchestrator.contrib.django.backend.OrchestratorBackend"}}`` has the tasks of
``django.tasks`` (Django 6; before that: of the package ``django-tasks``) run by those workers.

``commits``    calls that wait for the commit
``backend``    the backend
``carrying``   the two tasks that run Django's tasks (their names are on the wire: do not move them)
``results``    our records as Django's results
``framework``  Django's Tasks framework, whichever is installed
``app``        the module that a worker imports

Importing this opens no connection, reads no environment and needs no settings.
"""

from orchestrator.contrib.django.commits import adelay_on_commit, delay_on_commit

__all__ = ["adelay_on_commit", "delay_on_commit"]
