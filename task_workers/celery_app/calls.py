"""Our tasks as Celery sees them.

Every task of ours is a Celery task of the same name. A message of ours names calls, which are claimed and run; any
other message is a call by name from a Celery client (``app.send_task("shop.tasks.add", (1, 2))``), which runs here and
now, with the task's retries and timeouts, and whose result Celery keeps.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from celery import Task
from celery.exceptions import Reject

from brokers.celery.broker import CarriedBroker
from brokers.celery.messages import MARK, Carried, calls_of
from orchestrator import lending, registry
from orchestrator.errors import UntrustedPayload
from orchestrator.fleet import current_fleet
from orchestrator.slots.carried import Stopping
from task_workers.celery_app import process

log = logging.getLogger("orchestrator.worker")
PAUSE_SECONDS: Final = 1.0  # a broker counts how often a message comes back


class CallsOfTask(Task):  # type: ignore[misc]
    """Runs what a message names.

    Acknowledged late: a message whose process died comes again, and what it names and nobody else has claimed meanwhile
    is run then. Celery stores no result for our own calls: the message says so.
    """

    acks_late = True
    reject_on_worker_lost = True
    acks_on_failure_or_timeout = True
    max_retries = 0
    typing = False  # the arguments of our own messages are calls, not the task's

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(self.request, MARK, None) is None:
            return self._run_by_name(args, kwargs)
        try:
            process.run_message(calls_of(args))
        except Stopping as stopping:
            raise Reject("the worker stops", requeue=True) from stopping
        except Exception as error:  # ours, not a task's: acknowledged, the calls would wait for ever
            log.exception("a message of task %s is given back", self.name)
            time.sleep(PAUSE_SECONDS)
            raise Reject(str(error), requeue=True) from error
        return None

    def _run_by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import asyncio

        if current_fleet().settings.require_signature:
            raise UntrustedPayload(
                f"{self.name} was called by name, in a message that nobody signed, and ORCHESTRATOR_REQUIRE_SIGNATURE "
                "is set here: call it with delay() or apply_async() of the task"
            )
        task = registry.find(self.name)
        lending.here.slot = PlaceByName()
        try:
            result = task(*args, **kwargs)
            return asyncio.run(result) if task.isasync else result
        finally:
            lending.here.slot = None


class PlaceByName:
    """The place of a call by name: while it waits for other runs, the process may take their messages."""

    def lend(self) -> None:
        """Let other calls run meanwhile."""
        process.slots().note_lent(1)

    def take_back(self) -> None:
        """The wait is over."""
        process.slots().note_lent(-1)


def add_tasks(app: Any) -> list[str]:
    """Make every task of ours known to a Celery application, unless it has one of that name; returns their names."""
    names = []
    for task in registry.known():
        if task.task_key not in app.tasks:
            app.register_task(type("CallsOfTask", (CallsOfTask,), {"name": task.task_key, "__doc__": task.__doc__})())
        names.append(task.task_key)
    return names


def on_unknown_task(message: Any = None, name: str = "", **_: Any) -> None:
    """A message of ours whose task this worker does not know: its calls are dead letters, with that reason.

    Celery drops such messages; it tells so by the signal ``task_unknown``, before the message is gone.
    """
    if message is None or MARK not in message.headers:
        return
    try:
        process.run_message(calls_of(message.payload[0]))  # the task is looked up there, and the refusal is settled
    except Exception:
        log.exception("calls of the unknown task %s could not be settled", name)


def on_revoked(request: Any = None, **_: Any) -> None:
    """Somebody revoked a message (``celery control revoke``, Flower): Celery has dropped it, and tells so.

    The call that gave the message its id is cancelled; others that travelled with it are sent anew.
    """
    if request is None or getattr(request, MARK, None) is None:
        return
    try:
        broker = current_fleet().broker
        assert isinstance(broker, CarriedBroker)
        broker.cancel([request.id], "revoked by Celery's remote control")
        others = [Carried(*call, request.task) for call in calls_of(request.args) if call[0] != request.id]
        if others:
            broker.publish(others)
    except Exception:
        log.exception("the revoked message %s could not be settled", request.id)


def bury_message(calls: list[tuple[str, str]], reason: str) -> None:
    """These calls' message was delivered too often: those that still wait for it are dead letters."""
    fleet = current_fleet()
    broker = fleet.broker
    assert isinstance(broker, CarriedBroker)
    consumer = f"undertaker-{fleet.process}"
    deliveries, _ = broker.claim(consumer, calls)
    broker.take_over(
        consumer,
        running={delivery.run_id: reason for delivery in deliveries},
        max_deliveries=1,
        dead_letter_ttl_seconds=fleet.settings.dead_letter_ttl_seconds,
    )
