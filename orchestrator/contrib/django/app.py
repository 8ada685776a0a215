"""The application of a worker of a Django project: ``orchestrator worker -A orchestrator.contrib.django.app``.

Sets the project up (``DJANGO_SETTINGS_MODULE``), imports the ``tasks`` modules of its applications, and closes database
connections past their maximum age before and after every call, as Django does around requests.
"""

from __future__ import annotations

from typing import Any

import django
from django.db import close_old_connections
from django.utils.module_loading import autodiscover_modules

from orchestrator.observability import events

django.setup()
autodiscover_modules("tasks")
from orchestrator.contrib.django import carrying  # noqa: E402, F401  (the tasks that run Django's own)


def _close_old_connections(**_: Any) -> None:
    """Close the old connections of this thread; those of async tasks are in asgiref's threads, which Django manages."""
    close_old_connections()


events.listen("run.started", _close_old_connections)
events.listen("run.ended", _close_old_connections)
