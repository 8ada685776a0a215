"""The name under which Celery applications install our calls: ``from task_workers.celery_app import install``."""

from task_workers.celery import install

__all__ = ["install"]
