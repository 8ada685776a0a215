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
    "PREFECT_LOGGING_LOG_PRINTS": "log_prints",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "default_result_serializer",
    "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": "default_result_storage",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "persist_result",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "late_after_seconds",
    "PREFECT_SERVER_UI_URL": "ui_url",
    "PREFECT_TASKS_DEFAULT_PERSIST_RESULT": "persist_result",
    "PREFECT_TASKS_DEFAULT_RETRIES": "task_default_retries",
    "PREFECT_TASKS_DEFAULT_RETRY_DELAY_SECONDS": "task_default_retry_delay_seconds",
    "PREFECT_TASKS_REFRESH_CACHE": "refresh_cache",
    "PREFECT_TASK_DEFAULT_RETRIES": "task_default_retries",
    "PREFECT_TASK_DEFAULT_RETRY_DELAY_SECONDS": "task_default_retry_delay_seconds",
    "PREFECT_UI_URL": "ui_url",
}
"""Variables of Prefect 3 -> settings that mean the same."""
OTHERWISE_HERE: Final = {
    "PREFECT_API_AUTH_STRING": "a key of a user, or the server's token, is ORCHESTRATOR_API_KEY",
    "PREFECT_API_DATABASE_CONNECTION_URL": "states are kept in Redis or Valkey: ORCHESTRATOR_REDIS_URL",
    "PREFECT_DEBUG_MODE": "write ORCHESTRATOR_LOG_LEVEL=debug",
    "PREFECT_FLOWS_DEFAULT_RETRIES": "flows say it themselves: @flow(retries=3)",
    "PREFECT_FLOW_DEFAULT_RETRIES": "flows say it themselves: @flow(retries=3)",
    "PREFECT_HOME": "ORCHESTRATOR_HOME is the private server's folder, ORCHESTRATOR_PROFILES_PATH the file of profiles",
    "PREFECT_LOCAL_STORAGE_PATH": "a folder for results is ORCHESTRATOR_DEFAULT_RESULT_STORAGE",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "call orchestrator.logging.get_run_logger() there",
    "PREFECT_LOGGING_TO_API_ENABLED": "ORCHESTRATOR_LOG_LINES_PER_RUN=0 keeps no lines of runs",
    "PREFECT_PROFILE": "the environment variable is ORCHESTRATOR_PROFILE",
    "PREFECT_PROFILES_PATH": "the environment variable is ORCHESTRATOR_PROFILES_PATH",
    "PREFECT_RESULTS_LOCAL_STORAGE_PATH": "a folder for results is ORCHESTRATOR_DEFAULT_RESULT_STORAGE",
    "PREFECT_RUNNER_PROCESS_LIMIT": "write serve(limit=...), or `orchestrator serve --limit`",
    "PREFECT_SERVER_API_AUTH_STRING": "people log in: ORCHESTRATOR_SERVER_PASSWORD, or `orchestrator user add`",
    "PREFECT_SERVER_API_HOST": "write `orchestrator server start --host`",
    "PREFECT_SERVER_API_PORT": "write `orchestrator server start --port`",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "states are kept in Redis or Valkey: ORCHESTRATOR_REDIS_URL",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "in seconds it is ORCHESTRATOR_EVENTS_TTL_SECONDS",
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "tasks are cached where they say so: cache_policy, or persist_result",
    "PREFECT_TASKS_DISABLE_CACHING": "ORCHESTRATOR_REFRESH_CACHE=true has tasks run though their result is cached",
    "PREFECT_TASKS_SCHEDULING_MAX_SCHEDULED_QUEUE_SIZE": "a limit of every queue is ORCHESTRATOR_QUEUE_LIMIT",
    "PREFECT_TASK_SCHEDULING_MAX_SCHEDULED_QUEUE_SIZE": "a limit of every queue is ORCHESTRATOR_QUEUE_LIMIT",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "it is ORCHESTRATOR_BEAT_SECONDS, at most half of ORCHESTRATOR_LEASE_SECONDS",
}
"""Variables of Prefect 3 that mean something else here, or are written in another place -> how."""


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
        if name in OTHERWISE_HERE:
            raise ConfigurationError(f"{name} is not taken over: {OTHERWISE_HERE[name]}")
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
