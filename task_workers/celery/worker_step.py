"""What runs beside the pool in a Celery worker's main process: the chores of a worker, and those of this engine."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from typing import Any, Final

from celery import bootsteps, signals
from celery.worker import state

import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
from brokers.base import Carrier
from brokers.celery.messages import MARK, calls_of
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerError
from orchestrator.maintenance import Chore, WorkerHost
from orchestrator.maintenance.schedule_writer import ScheduleWriter
from orchestrator.slots.action_runner import ActionRunner
from orchestrator.slots.message_consumer import carrier_of
from task_workers.celery import message_task as calls
from task_workers.celery import process
from task_workers.celery.command import BURST_VARIABLE
from task_workers.celery.overdue_messages import OverdueMessages
from task_workers.celery.places import Places
from task_workers.celery.pool_children import PoolWatch
from task_workers.celery.process import WorkerFacts
from task_workers.supervisor.child_process import WAITING_ROWS
from task_workers.supervisor.crash_recovery import CrashRecovery
from task_workers.supervisor.killer import Killer

log = logging.getLogger("orchestrator.worker")
PLACES_PER_CHILD: Final = 4  # one lives, others may be dead and not reaped yet
SPARE_PLACES: Final = 16
DEAD_MESSAGES_SECONDS: Final = 2.0
BURST_LOOK_SECONDS: Final = 0.3
SPARE_LOOK_SECONDS: Final = 0.1
SPARE_AFTER_SECONDS: Final = 0.1
SPARE_TTL_SECONDS: Final = 2.0
CRASH_REPORT_SECONDS: Final = 2.0


class RelayChore(Chore):
    """Publishes what the store's outbox holds."""

    name = "relay"

    def __init__(self, carrier: Carrier) -> None:
        super().__init__()
        self._relay = carrier.relay()

    def run_once(self) -> float:
        self._relay.run_once()
        return 0.0

    def stop(self) -> None:
        self._stopping.set()
        self._relay.close()
        super().stop()


class DeadMessages(Chore):
    """Takes messages that the broker has delivered too often (RabbitMQ's delivery limit) to the dead letters."""

    name = "dead-messages"

    def __init__(self, carrier: Carrier, dead_queue: Any) -> None:
        super().__init__()
        self._carrier, self._dead_queue = carrier, dead_queue

    def run_once(self) -> float:
        try:
            with self._carrier.queues.connection() as connection:
                queue = self._dead_queue(connection.channel())
                queue.declare()
                while (message := queue.get(accept=["json"])) is not None and not self._stopping.is_set():
                    if MARK in message.headers:
                        calls.settle_dead(calls_of(message.payload[0]), _why_dead(message.headers))
                    else:
                        log.error("a call by name is given up, %s", _why_dead(message.headers))
                    message.ack()
        except BrokerError:
            raise
        except Exception as error:  # whatever the transport raises
            log.debug("%s: %s", self.name, error)
        return DEAD_MESSAGES_SECONDS


def _why_dead(headers: dict[str, Any]) -> str:
    """RabbitMQ notes why it gave a message up: ``x-death``, newest first."""
    if (headers.get("x-death") or [{}])[0].get("reason") == "rejected":
        return f"UnknownTask: the worker that received it does not know the task {headers.get('task')!r}"
    return f"the message of the task {headers.get('task')!r} was delivered too often"


class SpareMessages(Chore):
    """Offers what the worker received and has no place for to its processes, which may have one that is lent.

    Celery receives a little more than it can run. A call that waits for such a message's call would wait for ever if
    that needed the very place in which it waits. Whoever comes first claims the calls; the other finds none left.
    """

    name = "spare-messages"

    def __init__(self, carrier: Carrier, worker_id: str) -> None:
        super().__init__()
        self._carrier, self._worker_id = carrier, worker_id
        self._waiting: dict[str, float] = {}  # message id -> when it is to be offered (again)

    def run_once(self) -> float:
        now = time.monotonic()
        waiting = {request.id: request for request in {*state.reserved_requests} - {*state.active_requests}}
        self._waiting = {name: self._waiting.get(name, now + SPARE_AFTER_SECONDS) for name in waiting}
        due = [name for name, moment in self._waiting.items() if now >= moment]
        messages = [calls_of(waiting[name].args) for name in due if MARK in waiting[name].request_dict]
        if messages:
            self._carrier.offer_spare(self._worker_id, messages, SPARE_TTL_SECONDS)
        self._waiting.update(dict.fromkeys(due, now + SPARE_TTL_SECONDS))
        return SPARE_LOOK_SECONDS


class Burst(Chore):
    """Ends the worker when its queues are empty (``orchestrator worker --burst``)."""

    name = "burst"

    def __init__(self, host: WorkerHost, watch: PoolWatch) -> None:
        super().__init__()
        self._host, self._watch = host, watch

    def run_once(self) -> float:
        busy = bool(state.reserved_requests) or any(child.table.rows() for child in self._watch.children())
        if not busy and self._host.queues_are_empty([child.consumer for child in self._watch.children()]):
            log.info("the queues are empty")
            _shut_down()
            return 3600.0
        return BURST_LOOK_SECONDS


def _shut_down() -> None:
    """Celery's warm shutdown."""
    os.kill(os.getpid(), signal.SIGTERM)


class FleetStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's worker blueprint: prepared before the pool is made, started after it.

    https://docs.celeryq.dev/en/stable/userguide/extending.html
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        self._host: WorkerHost | None = None
        self._watch: PoolWatch | None = None
        self._crash_recovery: CrashRecovery | None = None
        super().__init__(worker, **options)

    def create(self, worker: Any) -> FleetStep:
        """Before the pool is made: what its processes inherit."""
        fleet = current_fleet()
        carrier = carrier_of(fleet)
        forks = "prefork" in str(getattr(worker.pool_cls, "__module__", worker.pool_cls))
        most = max(worker.concurrency or 1, worker.max_concurrency or 0)
        queues = carrier.queues.ours(worker.app.amqp.queues.consume_from)
        process.facts = WorkerFacts(
            f"{str(worker.hostname).replace('.', '-')}-{secrets.token_hex(3)}",
            queues,
            1 if forks or "solo" in str(worker.pool_cls) else most,
            Places(PLACES_PER_CHILD * most + SPARE_PLACES, WAITING_ROWS) if forks else None,
            lambda: getattr(getattr(worker, "consumer", None), "connection", None),
        )
        return self

    def start(self, worker: Any) -> None:
        """The pool is there: begin the chores. Threads, which come after the first forks."""
        fleet, facts = current_fleet(), process.facts
        assert facts is not None
        carrier, dead_queue = carrier_of(fleet), carrier_of(fleet).queues.dead_queue()
        self._crash_recovery = CrashRecovery(fleet)
        self._watch = watch = PoolWatch(worker, facts, self._crash_recovery)
        killer = Killer(watch.children, fleet.settings.kill_grace_seconds)
        self._host = host = WorkerHost(fleet, watch.living, queues=facts.queues, on_stop=_shut_down)
        watch.run_once()
        host.add(watch, self._crash_recovery, RelayChore(carrier), SpareMessages(carrier, facts.worker_id))
        host.add(OverdueMessages(carrier, facts.queues, fleet.settings.lease_seconds))
        host.add(ScheduleWriter(fleet), ActionRunner(fleet, host.reactor))
        if facts.places is not None:
            host.add(killer)
        if dead_queue is not None:
            host.add(DeadMessages(carrier, dead_queue))
        if os.environ.get(BURST_VARIABLE):
            host.add(Burst(host, watch))
        if getattr(worker.app, "ends_in_time", False):
            self._end_in_time(watch, fleet.settings.shutdown_timeout_seconds)
        host.listen(facts.worker_id, killer.obey, patiently=True)
        host.start()

    def _end_in_time(self, watch: PoolWatch, seconds: float) -> None:
        """From a warm shutdown on, calls have so long to end; then their processes are killed and they are handed back.

        At once, when the worker is asked a second time. Celery itself waits for as long as they take.
        """
        asked: list[str] = []

        def begin(**_: Any) -> None:
            again = bool(asked)
            asked.append("")
            why = "the worker was asked to stop a second time" if again else "the time for ending is over"
            # a thread, also for now: this is a signal's handler, and may have come in the middle of anything
            timer = threading.Timer(0.0 if again else seconds, watch.kill_all, (why,))
            timer.daemon = True
            timer.start()

        signals.worker_shutting_down.connect(begin, weak=False, dispatch_uid=f"orchestrator-{id(self)}")

    def stop(self, worker: Any) -> None:
        """A warm shutdown, which ends when the calls that run have ended."""
        try:
            if process.facts is not None and process.facts.places is not None:
                worker.pool.stop()  # Celery does it after this step: calls would be taken for lost, and run elsewhere
        finally:
            self._end()

    def _end(self) -> None:
        """The pool has ended: report what died, and deregister."""
        process.end()  # a pool of threads has its slots here
        if self._watch is not None:
            self._watch.run_once()
            self._watch.report_status()
        if self._crash_recovery is not None:
            self._crash_recovery.finish(CRASH_REPORT_SECONDS)
        if self._host is not None:
            self._host.stop()

    def terminate(self, worker: Any) -> None:
        """A cold shutdown: Celery kills the pool."""
        self._end()
