"""What a worker of a Django project imports: ``orchestrator worker -A orchestrator.contrib.django.app``.

Sets the project up (``DJANGO_SETTINGS_MODULE``), imports the ``tasks`` modules of its applications, and closes database
connections that are too old before and after every call, as Django does around requests.
"""

from __future__ import annotations

from typing import Any

import django
from django.db import close_old_connections
from django.utils.module_loading import autodiscover_modules

from orchestrator import events

django.setup()
autodiscover_modules("tasks")
from orchestrator.contrib.django import carrying  # noqa: E402, F401  (Django's own tasks are carried by these)


def _tidy_connections(**_: Any) -> None:
    """Those of this thread. Async tasks have theirs in threads of asgiref's, which Django looks after."""
    close_old_connections()


events.listen("run.started", _tidy_connections)
events.listen("run.ended", _tidy_connections)
