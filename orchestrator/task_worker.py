"""``serve``, where Prefect has it (``prefect.task_worker``)."""

from orchestrator.runnables.servable_task import serve

__all__ = ["serve"]
