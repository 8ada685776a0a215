"""What runs beside the pool in a Celery worker's main process: the chores of a worker, and those of this engine."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps, signals
from celery.worker import state

from brokers.celery.broker import CarriedBroker
from brokers.celery.messages import MARK, calls_of
from brokers.celery.publisher import connection_to
from brokers.celery.relay import Relay
from brokers.redis import health
from brokers.redis.inbox import Inbox
from orchestrator.chores import Chore, Heartbeat, Janitor, Mover, Rescue
from orchestrator.errors import BrokerError, ConfigurationError
from orchestrator.fleet import Fleet, current_fleet
from task_workers.backlog import BacklogWatch
from task_workers.celery_app import calls, process
from task_workers.celery_app.children import PoolWatch
from task_workers.celery_app.command import BURST_VARIABLE
from task_workers.celery_app.places import Places
from task_workers.celery_app.process import WorkerFacts
from task_workers.child_handle import WAITING_ROWS
from task_workers.killer import Killer
from task_workers.undertaker import Undertaker

log = logging.getLogger("orchestrator.worker")
PLACES_PER_CHILD: Final = 4  # one lives, others may be dead and not buried yet
SPARE_PLACES: Final = 16
DEAD_MESSAGES_SECONDS: Final = 2.0
BURST_LOOK_SECONDS: Final = 0.3
SPARE_LOOK_SECONDS: Final = 0.1
SPARE_AFTER_SECONDS: Final = 0.1
SPARE_TTL_SECONDS: Final = 2.0


class RelayChore(Chore):
    """Publishes what the store's outbox holds."""

    name = "relay"

    def __init__(self, broker: CarriedBroker) -> None:
        super().__init__()
        self._relay = Relay(broker)

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

    def __init__(self, broker: CarriedBroker, fleet: Fleet) -> None:
        super().__init__()
        self._broker, self._fleet = broker, fleet

    def run_once(self) -> float:
        settings, topology = self._fleet.settings, self._broker.topology
        url = self._broker.url
        try:
            with connection_to(url, settings.connect_timeout_seconds, settings.command_timeout_seconds) as connection:
                queue = topology.queue(topology.dead_name)(connection.channel())
                queue.declare()
                while (message := queue.get(accept=["json"])) is not None and not self._stopping.is_set():
                    if MARK in message.headers:
                        calls.bury_message(calls_of(message.payload[0]), _why_dead(message.headers))
                    else:
                        log.error("a call by name is given up, %s", _why_dead(message.headers))
                    message.ack()
        except BrokerError:
            raise
        except Exception as error:  # whatever the transport raises
            log.debug("%s: %s", self.name, error)
        return DEAD_MESSAGES_SECONDS


def _why_dead(headers: dict[str, Any]) -> str:
    """RabbitMQ tells why it gave a message up: ``x-death``, newest first."""
    if (headers.get("x-death") or [{}])[0].get("reason") == "rejected":
        return f"UnknownTask: the worker that received it does not know the task {headers.get('task')!r}"
    return f"the message of the task {headers.get('task')!r} was delivered too often"


class SpareMessages(Chore):
    """Offers what the worker received and has no place for to its processes, which may have one that is lent.

    Celery receives a little more than it can run. A call that waits for such a message's call would wait for ever if
    that needed the very place in which it waits. Whoever comes first claims the calls; the other finds none left.
    """

    name = "spare-messages"

    def __init__(self, broker: CarriedBroker, worker_id: str) -> None:
        super().__init__()
        self._broker, self._worker_id = broker, worker_id
        self._waiting: dict[str, float] = {}  # message id -> when it is to be offered (again)

    def run_once(self) -> float:
        now = time.monotonic()
        waiting = {request.id: request for request in {*state.reserved_requests} - {*state.active_requests}}
        self._waiting = {name: self._waiting.get(name, now + SPARE_AFTER_SECONDS) for name in waiting}
        due = [name for name, moment in self._waiting.items() if now >= moment]
        messages = [calls_of(waiting[name].args) for name in due if MARK in waiting[name].request_dict]
        if messages:
            self._broker.offer_spare(self._worker_id, messages, SPARE_TTL_SECONDS)
        self._waiting.update(dict.fromkeys(due, now + SPARE_TTL_SECONDS))
        return SPARE_LOOK_SECONDS


class Burst(Chore):
    """Ends the worker when its queues are empty (``orchestrator worker --burst``)."""

    name = "burst"

    def __init__(self, backlog: BacklogWatch, watch: PoolWatch) -> None:
        super().__init__()
        self._backlog, self._watch = backlog, watch

    def run_once(self) -> float:
        busy = bool(state.reserved_requests) or any(child.table.rows() for child in self._watch.children())
        if not busy and self._backlog.is_empty([child.consumer for child in self._watch.children()]):
            log.info("the queues are empty")
            os.kill(os.getpid(), signal.SIGTERM)
            return 3600.0
        return BURST_LOOK_SECONDS


class FleetStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's worker blueprint: prepared before the pool is made, started after it.

    https://docs.celeryq.dev/en/stable/userguide/extending.html
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        self._chores: list[Chore] = []
        self._inbox: Inbox | None = None
        super().__init__(worker, **options)

    def create(self, worker: Any) -> FleetStep:
        """Before the pool is made: what its processes inherit."""
        fleet = current_fleet()
        if not isinstance(fleet.broker, CarriedBroker):
            raise ConfigurationError(
                "this Celery worker cannot find the calls: set ORCHESTRATOR_BROKER_URL to celery+ and the URL of the "
                "Celery application's broker, such as celery+amqp://guest@localhost//"
            )
        forks = "prefork" in str(getattr(worker.pool_cls, "__module__", worker.pool_cls))
        most = max(worker.concurrency or 1, worker.max_concurrency or 0)
        queues = fleet.broker.topology.ours(worker.app.amqp.queues.consume_from)
        process.facts = WorkerFacts(
            f"{str(worker.hostname).replace('.', '-')}-{secrets.token_hex(3)}",
            queues,
            1 if forks or "solo" in str(worker.pool_cls) else most,
            Places(PLACES_PER_CHILD * most + SPARE_PLACES, WAITING_ROWS) if forks else None,
        )
        return self

    def start(self, worker: Any) -> None:
        """The pool is there: begin the chores. Threads, which come after the first forks."""
        fleet, facts = current_fleet(), process.facts
        broker = fleet.broker
        assert facts is not None
        assert isinstance(broker, CarriedBroker)
        for warning in self._warnings(fleet):
            log.warning("%s", warning)
        undertaker, rescue = Undertaker(fleet), Rescue(fleet)
        watch = PoolWatch(worker, facts, undertaker)
        killer = Killer(watch.children, fleet.settings.kill_grace_seconds)
        watch.run_once()
        self._chores = [
            watch,
            Heartbeat(fleet, watch.living, rescue.take_over),
            rescue,
            undertaker,
            Mover(fleet),
            Janitor(fleet),
            RelayChore(broker),
            SpareMessages(broker, facts.worker_id),
        ]
        if facts.places is not None:
            self._chores.append(killer)
        if broker.topology.amqp:
            self._chores.append(DeadMessages(broker, fleet))
        heartbeat = self._chores[1]

        def obey(told: list[tuple[str, str]]) -> None:
            killer.obey(told)
            asked = {what for what, _ in told}
            if "stop" in asked:
                os.kill(os.getpid(), signal.SIGTERM)  # Celery's warm shutdown
            if "ping" in asked:
                heartbeat.wake()

        self._inbox = Inbox(broker, facts.worker_id, on_settled=lambda ends: None, on_orders=obey)
        if getattr(worker.app, "ends_in_time", False):
            self._end_in_time(watch, fleet.settings.shutdown_timeout_seconds)
        if os.environ.get(BURST_VARIABLE):
            self._chores.append(Burst(BacklogWatch(fleet, facts.queues), watch))
        with suppress(BrokerError):  # it is made as soon as the server is there
            self._inbox.start()
        for chore in self._chores:
            chore.start()

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

    def _warnings(self, fleet: Fleet) -> list[str]:
        try:
            return health.warnings(fleet.broker)
        except BrokerError as error:
            return [f"the store does not answer yet: {error}"]

    def stop(self, worker: Any) -> None:
        """After the pool has ended: say what died, and good-bye."""
        process.end()  # a pool of threads has its slots here
        for chore in self._chores:
            if isinstance(chore, PoolWatch):
                chore.run_once()
                chore.tell_status()
            if isinstance(chore, Undertaker):
                chore.finish(2.0)
        for chore in self._chores:
            chore.stop()
        if self._inbox is not None:
            self._inbox.stop()

    def terminate(self, worker: Any) -> None:
        """A cold shutdown: the same."""
        self.stop(worker)
