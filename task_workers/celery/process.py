"""The slots of a process that runs calls for Celery: a prefork pool's child, or a worker with another kind of pool.

They begin with the first message and end with the process. What they need to know of their worker is written down here
before the pool is made, and inherited.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from brokers.messages import Named
from orchestrator.client.fleet import current_fleet
from orchestrator.errors import BrokerError
from orchestrator.execution import interrupt
from orchestrator.slots import SlotsOptions
from orchestrator.slots.message_consumer import MessageSlots
from task_workers.celery.inherited import close_inherited
from task_workers.celery.overflow_consumer import OverflowConsumer
from task_workers.celery.places import Place, Places
from task_workers.supervisor.child_signals import die_with_parent
from task_workers.supervisor.last_stack import report_stacks
from task_workers.supervisor.slot_table import SlotTable

log = logging.getLogger("orchestrator.worker")
DRAIN_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 1.0


@dataclass(slots=True)
class WorkerFacts:
    """What a worker's processes have in common.

    Args:
        worker_id: unique for each start of a worker.
        queues: ours that it reads.
        threads: sync calls at once in a process.
        places: for processes that others watch; ``None`` when there is only this one.
        connection: returns kombu's connection on which the worker receives messages, ``None`` where it has none.
    """

    worker_id: str
    queues: tuple[str, ...]
    threads: int
    places: Places | None = None
    connection: Callable[[], Any] = lambda: None

    def consumer(self, pid: int) -> str:
        """The name under which a process claims calls; what is before the dot gets orders too."""
        return f"{self.worker_id}.{pid}"


facts: WorkerFacts | None = None  # set by the worker before its pool is made
_slots: MessageSlots | None = None
_hands: OverflowConsumer | None = None
_pid = 0
_lock = threading.Lock()


def _forget_after_fork() -> None:
    global _slots, _hands, _lock
    _slots = _hands = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)


def begin_child() -> None:
    """In a new child of a prefork pool, before its first call."""
    die_with_parent(os.getppid())
    if facts is not None:
        close_inherited(facts.connection())
    interrupt.install()  # its main thread runs the calls: one that sleeps can be woken


def slots() -> MessageSlots:
    """The slots of this process. Raises BrokerError when they cannot begin."""
    global _slots, _hands
    if _slots is None:
        with _lock:
            if _slots is None:
                _slots, _hands = _begin()
    return _slots


def _begin() -> tuple[MessageSlots, OverflowConsumer]:
    known = facts or WorkerFacts(f"celery-{os.getpid()}", (current_fleet().settings.default_queue,), 1)
    fleet, pid = current_fleet(), os.getpid()
    place = known.places.of(pid) or known.places.take(pid) if known.places is not None else None
    if place is not None:
        report_stacks(place.stacks.fd)
        _die_uncharged_at_sigterm(place)
    hands = OverflowConsumer(fleet, known.worker_id, known.queues, run_message)
    options = SlotsOptions(known.queues, known.threads, consumer=known.consumer(pid))
    made = MessageSlots(fleet, options, SlotTable(place.table_fd) if place is not None else None, hands.allow)
    made.start()
    return made, hands


def _die_uncharged_at_sigterm(place: Place) -> None:
    """Celery takes the process away (a cold shutdown, a revoke with terminate), or an operator the whole group.

    Celery's own handler raises SystemExit in the running task, which would be the end of that call. Here what runs is
    struck off the table, so that it is charged with nothing, and given to others.
    """

    def die(*_: object) -> None:
        place.wipe()
        os.kill(os.getpid(), signal.SIGKILL)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, die)


def run_message(calls: Sequence[Named]) -> None:
    """Run the calls of a message. Raises ``Stopping`` when the process ends before it could take them.

    While the store is away a message waits here, in a slot that has nothing else to do: given back to the broker it
    would only come again, and after ten times it would be taken for poisonous.
    """
    _slots_when_the_store_is_there().run_message(calls)


def _slots_when_the_store_is_there() -> MessageSlots:
    pause, logged = 0.1, False
    while True:
        try:
            return slots()
        except BrokerError as error:
            if not logged:
                logged = True
                log.warning("calls wait here for the store: %s", error)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def end() -> None:
    """The process ends: what runs is finished for a moment, the rest handed back, every outcome sent."""
    global _slots, _hands
    with _lock:
        ending, _slots = _slots, None
        hands, _hands = _hands, None
    if hands is not None:
        hands.close()
    if ending is not None:
        ending.stop(DRAIN_SECONDS)
