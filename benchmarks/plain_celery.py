"""The Celery application that ours is compared with: one task, Celery's own defaults, results in Redis."""

import os

from celery import Celery

BROKER = "BENCH_CELERY_BROKER"
RESULTS = "BENCH_CELERY_RESULTS"
LATE = "BENCH_CELERY_ACKS_LATE"

app = Celery("plain", broker=os.environ.get(BROKER), backend=os.environ.get(RESULTS))
app.conf.task_acks_late = bool(os.environ.get(LATE))


@app.task  # type: ignore[untyped-decorator]
def add(a: int, b: int) -> int:
    return a + b
