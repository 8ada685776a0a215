"""``prefect.logging.loggers``: loggers of runs that are not around the line, see the package."""

from orchestrator.logging import get_logger
from orchestrator.observability.run_logs import disable_run_logger, flow_run_logger, get_run_logger, task_run_logger

__all__ = ["disable_run_logger", "flow_run_logger", "get_logger", "get_run_logger", "task_run_logger"]
