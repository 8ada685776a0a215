"""The Celery application, as it was; the last two lines are new."""

import os

from celery import Celery

app = Celery(
    "shop",
    broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"),
    include=["shop.tasks"],
)

from task_workers.celery import install  # noqa: E402

install(app)
