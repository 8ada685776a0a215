"""Names of settings as people write them: ours in any case, and those of Prefect that have a counterpart."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from orchestrator.errors import ConfigurationError

PREFIX: Final = "ORCHESTRATOR_"
PREFECTS: Final = "PREFECT_"
OF_PREFECT: Final = {
    "PREFECT_API_KEY": "api_key",
    "PREFECT_API_SERVICES_LATE_RUNS_AFTER_SECONDS": "late_after_seconds",
    "PREFECT_API_URL": "api_url",
    "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "default_result_storage",
    "PREFECT_DEFAULT_WORK_POOL_NAME": "default_work_pool",
    "PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": "default_work_pool",
    "PREFECT_LOGGING_LEVEL": "log_level",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "default_result_serializer",
    "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": "default_result_storage",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "persist_result",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "late_after_seconds",
    "PREFECT_SERVER_UI_URL": "ui_url",
    "PREFECT_TASKS_DEFAULT_PERSIST_RESULT": "persist_result",
    "PREFECT_TASKS_DEFAULT_RETRIES": "task_default_retries",
    "PREFECT_TASKS_DEFAULT_RETRY_DELAY_SECONDS": "task_default_retry_delay_seconds",
    "PREFECT_TASK_DEFAULT_RETRIES": "task_default_retries",
    "PREFECT_TASK_DEFAULT_RETRY_DELAY_SECONDS": "task_default_retry_delay_seconds",
    "PREFECT_UI_URL": "ui_url",
}
"""Variables of Prefect 3 -> settings that mean the same."""


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def setting_named(text: str, known: Collection[str]) -> str:
    """The setting that somebody names.

    Args:
        text: a variable of ours or of Prefect's, or a setting's own name; in any case.
        known: the settings that there are.

    Raises:
        ConfigurationError: there is none of that name; with the nearest one.

    >>> setting_named("PREFECT_RESULTS_PERSIST_BY_DEFAULT", ["persist_result"])
    'persist_result'
    >>> setting_named("ORCHESTRATOR_HOM", ["home", "project"])
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: there is no setting ORCHESTRATOR_HOM; did you mean ORCHESTRATOR_HOME?
    """
    name = text.strip().upper()
    if name.startswith(PREFECTS):
        found = OF_PREFECT.get(name)
        if found in known:
            return str(found)
        near = _nearest(name, OF_PREFECT, 0.8)
        raise ConfigurationError(
            f"the setting {name} of Prefect has no counterpart here"
            + (f"; did you mean {near[0]}?" if near else "; `orchestrator config view --show-defaults` lists ours")
        )
    field = name.removeprefix(PREFIX).lower()
    if field in known:
        return field
    near = _nearest(field, known, 0.5)
    raise ConfigurationError(
        f"there is no setting {variable_of(field)}"
        + (
            f"; did you mean {variable_of(near[0])}?"
            if near
            else "; `orchestrator config view --show-defaults` lists them"
        )
    )


def _nearest(name: str, known: Collection[str], likeness: float) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, 1, likeness)
