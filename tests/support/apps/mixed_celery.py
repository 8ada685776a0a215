"""Somebody's Celery application whose workers serve our calls too: one line more."""

from __future__ import annotations

import os

from celery import Celery

from brokers.celery.topology import kombu_url
from orchestrator import task
from task_workers.celery import install

app = Celery("mixed", broker=kombu_url(os.environ.get("ORCHESTRATOR_BROKER_URL", "")) or None)
app.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "celery")
app.conf.result_backend = os.environ.get("SHOP_BACKEND")
install(app)


@app.task(name="mixed.theirs")
def theirs(a: int, b: int) -> int:
    return a * b


@task
def ours(a: int, b: int) -> int:
    return a + b
