"""Django's Tasks framework: ``django.tasks`` since Django 6, before that its forerunner, ``django-tasks``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

_BUILT_IN: Final = find_spec("django.tasks") is not None
_HOME: Final = "django.tasks" if _BUILT_IN else "django_tasks"

base: Final[Any] = import_module(f"{_HOME}.base")
exceptions: Final[Any] = import_module(f"{_HOME}.exceptions")
signals: Final[Any] = import_module(f"{_HOME}.signals")
BaseTaskBackend: Final[Any] = import_module(f"{_HOME}.backends.base").BaseTaskBackend
normalize_json: Final[Any] = import_module("django.utils.json" if _BUILT_IN else "django_tasks.utils").normalize_json
