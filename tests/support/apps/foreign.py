"""Somebody's Celery application, which knows nothing of us; but for one line, if the environment asks for it."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject

app = Celery("foreign", broker=os.environ.get("SHOP_BROKER"), backend=os.environ.get("SHOP_BACKEND") or None)
app.conf.worker_lost_wait = 0.3
app.conf.broker_connection_retry_on_startup = True
app.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "celery")
if os.environ.get("SHOP_LINE") == "report":
    from orchestrator.contrib.celery import report_ends

    report_ends()
elif os.environ.get("SHOP_LINE") == "install":
    from task_workers.celery import install

    install(app)


class OutOfStock(Exception):
    """What a shop may raise."""


@app.task(name="foreign.add")
def add(a: int, b: int) -> int:
    return a + b


@app.task(name="foreign.now")
def now() -> float:
    return time.time()


@app.task(name="foreign.sell")
def sell(what: str) -> None:
    raise OutOfStock(what, 42)


@app.task(name="foreign.third_time", bind=True, max_retries=3)
def third_time(self: Any, word: str) -> str:
    if self.request.retries < 2:
        raise self.retry(exc=OutOfStock("not yet"), countdown=0)
    return f"{word} after {self.request.retries} retries"


@app.task(name="foreign.replaced", bind=True)
def replaced(self: Any, a: int) -> None:
    raise self.replace(add.s(a, 1))


@app.task(name="foreign.ignored", bind=True)
def ignored(self: Any, how: str) -> None:
    if how == "stored":  # as Celery's manual says for states of one's own
        self.backend.store_result(self.request.id, "by hand", "SUCCESS")
    if how == "rejected":
        raise Reject("no longer wanted", requeue=False)
    raise Ignore(how)


@app.task(name="foreign.sleep")
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.task(name="foreign.die")
def die() -> None:
    os._exit(7)


@app.task(name="foreign.keep")
def keep(path: str, text: str) -> None:
    """Leaves a trace of each time it runs."""
    with open(path, "a") as file:
        file.write(text + "\n")
