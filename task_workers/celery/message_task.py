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

from brokers.celery.messages import MARK, calls_of, without_first
from brokers.messages import Named
from orchestrator.client import slot_lending as lending
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import UntrustedPayload
from orchestrator.runnables import registry
from orchestrator.slots.message_consumer import Stopping, carrier_of
from task_workers.celery import process

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
        place = lending.Place(PlaceByName())
        token = lending.current_place.set(place)
        try:
            result = task(*args, **kwargs)
            return asyncio.run(result) if task.isasync else result
        finally:
            lending.current_place.reset(token)
            if place.close():
                place.lane.take_back()


class PlaceByName:
    """The place of a call by name: while it waits for other runs, the process may take their messages."""

    def lend(self) -> None:
        """Let other calls run meanwhile."""
        process.slots().note_lent(1)

    def take_back(self) -> None:
        """The wait is over."""
        process.slots().note_lent(-1)

    def take_at_once(self) -> None:
        """The wait was ended."""
        self.take_back()

    async def take_back_async(self) -> None:
        """The same on an event loop."""
        self.take_back()


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

    Celery drops such messages; it sends the signal ``task_unknown``, before the message is gone.
    """
    if message is None or MARK not in message.headers:
        return
    try:
        process.run_message(calls_of(message.payload[0]))  # the task is looked up there, and the refusal is settled
    except Exception:
        log.exception("calls of the unknown task %s could not be settled", name)


def on_revoked(request: Any = None, **_: Any) -> None:
    """Somebody revoked a message (``celery control revoke``, Flower): Celery has dropped it, and sends a signal.

    The call that gave the message its id is cancelled; others that travelled with it are sent anew, under another id.
    """
    if request is None or getattr(request, MARK, None) is None:
        return
    try:
        fleet = current_fleet()
        fleet.broker.runs.cancel([request.id], "revoked by Celery's remote control")
        others = without_first(calls_of(request.args))
        if others:
            carrier_of(fleet).publish(others, request.task)
    except Exception:
        log.exception("the revoked message %s could not be settled", request.id)


def settle_dead(calls: list[Named], reason: str) -> None:
    """These calls' message was delivered too often: those that still wait for it are dead letters.

    Those of ranges travel again, each for itself: workers of older versions, which give ranges back, read that; and
    should one of them be at fault, it alone is a dead letter then.
    """
    single = [call for call in calls if not call.calls]
    ranges = [call for call in calls if call.calls]
    if single:
        _take_over(single, reason)
    if ranges:
        _take_over(ranges, None)


def _take_over(calls: list[Named], reason: str | None) -> None:
    fleet = current_fleet()
    consumer = f"crash_recovery-{fleet.process}"
    deliveries, _ = carrier_of(fleet).claim(consumer, calls, whole=True)
    fleet.broker.deliveries.take_over(
        consumer,
        running={delivery.run_id: reason for delivery in deliveries} if reason is not None else None,
        charge_running=reason is not None,
        max_deliveries=1,
        dead_letter_ttl_seconds=fleet.settings.dead_letter_ttl_seconds,
    )
