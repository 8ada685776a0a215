"""This process's connection to the fleet: what sends calls, resolves handles and asks for runs, wired together.

One per process, found at the first use (``current_fleet``), made anew after a fork.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brokers.base import Broker
from brokers.connect import BrokerOptions, connect
from brokers.private_server import default_home
from brokers.sender import Sender
from orchestrator import serializers
from orchestrator.client.call_sender import CallSender
from orchestrator.client.flow_reports import FlowReports
from orchestrator.client.handles import Handle, count_open
from orchestrator.client.keys import ProcessKeys
from orchestrator.client.live_workers import IdleQueueWarning, LiveWorkers
from orchestrator.client.open_futures import OpenFutures
from orchestrator.client.project import namespace_for
from orchestrator.client.run_lookup import RunLookup
from orchestrator.client.standstill import Standstill
from orchestrator.client.waiting import Latch
from orchestrator.errors import BrokerError
from orchestrator.observability import console
from orchestrator.observability.log_shipper import LogShipper
from orchestrator.observability.loggers import keep_on
from orchestrator.runnables.binding import Lack, Surplus
from orchestrator.runs.run_ids import new_block
from orchestrator.serializers import NO_PROTECTION, CipherRing, KeyRing, PayloadLimits
from orchestrator.settings import Settings
from orchestrator.settings import current as current_settings
from orchestrator.states import State

log = logging.getLogger("orchestrator.fleet")


class Fleet:
    """Everything a process needs to talk to one fleet. Nothing is opened before it is needed.

    Args:
        settings: which server, which namespace, how patient.

    Attributes:
        settings: with the namespace of the project, if the private server is used.
        project: directory of the project on the private server; ``None`` elsewhere, or if a namespace was asked for.
        process: name of this process, and of its inbox.
        calls: sends calls.
        open_futures: settles the futures of this process.
        lookup: looks runs up, and cancels them.
        logs: log lines and progress of runs.
        flow_reports: reports the flow runs of this process to the store.
        worker: the name under which this process takes calls, once it does.
        keeps_calls: this process runs the calls of its flows by itself, as no worker does.
        stale_after_fork: it belongs to the parent of this process: its threads and sockets are not here.
    """

    def __init__(self, settings: Settings) -> None:
        keep_on()
        self.settings, self.project = _in_project(settings)
        settings = self.settings
        self.process = secrets.token_hex(6)
        self.stale_after_fork = False
        self.worker = ""
        self.keeps_calls = False
        self.queues_used: set[str] = set()
        self.calls_made: set[tuple[str, str, str | None]] = set()  # queue, task and its script
        self.limits = PayloadLimits(settings.compress_above_bytes, settings.max_payload_bytes)
        self.broker = self._connect()
        self.embedded = self.broker.private_server
        self._keys = ProcessKeys(settings, self.embedded.home if self.embedded is not None else None)
        self.protection = self._keys.protection
        self.sender = self._make_sender()
        self.open_futures = self._make_open_futures()
        start_server = self.embedded.ensure if self.embedded is not None else None
        in_groups = self.broker.runs.keeps_blocks and not settings.queue_limit
        self.calls = CallSender(self.sender, self.broker, self.open_futures, start_server, in_groups)
        self.lookup = RunLookup(self.broker, self.sender, self.open_futures, self.broker.seconds)
        self.logs = self._make_logs()
        self.flow_reports = FlowReports(self.broker.flow_runs, settings.lease_seconds, settings.beat_seconds)
        self._workers = LiveWorkers(self.broker, settings.lease_seconds)
        self._idle_queues = IdleQueueWarning(self._workers, self.project)
        self._standstill = Standstill(self.broker)
        _all.add(self)

    # -- parts, which a fleet without a server makes otherwise ---------------------------------------------------

    def work_as(self, consumer: str) -> None:
        """From now on this process takes calls, under that name."""
        self.worker = consumer

    def keep_calls(self, here: bool) -> None:
        """Whether this process runs its flows' calls by itself from now on (no worker does)."""
        self.keeps_calls = here

    def _connect(self) -> Broker:
        settings = self.settings
        return connect(
            BrokerOptions(
                broker_url=settings.broker_url,
                redis_url=settings.redis_url,
                home=settings.home,
                namespace=settings.namespace,
                result_ttl_seconds=settings.result_ttl_seconds,
                queue_limit=settings.queue_limit,
                map_blocks=settings.map_blocks,
                command_timeout_seconds=settings.command_timeout_seconds,
                connect_timeout_seconds=settings.connect_timeout_seconds,
            )
        )

    def _make_sender(self) -> Sender:
        return Sender(
            self.broker.runs.submit,
            seconds=self.broker.seconds,
            wait_for_room_seconds=self.settings.queue_full_wait_seconds,
            new_block=new_block if self.broker.runs.keeps_blocks else None,
        )

    def _make_open_futures(self) -> OpenFutures:
        return OpenFutures(self.broker, self.sender, self.process, self.broker.seconds)

    def _make_logs(self) -> LogShipper:
        return LogShipper(self.broker.logs, self.settings.log_lines_per_run)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """Directory of the private server."""
        return self.settings.home or default_home()

    @property
    def ready(self) -> bool:
        """Whether a connection has been made."""
        return self.broker.connected

    def key_ring(self) -> KeyRing | None:
        """The keys that sign."""
        return self._keys.ring()

    def secrets_ring(self) -> CipherRing | None:
        """The keys that encrypt secrets of blocks, whatever else is encrypted; ``None``: there is none."""
        return self._keys.secrets_ring()

    def open_inbox(self) -> str:
        """The name of this process's inbox, which is being read from now on. Raises BrokerError."""
        return self.open_futures.open_inbox()

    def live_workers(self) -> dict[str, dict[str, str]]:
        """The live consumers with their descriptions. Raises BrokerError."""
        return self._workers.all()

    def other_worker_knows(self, queue: str, task_key: str, script: str | None) -> bool:
        """Whether a live worker of the queue, other than this process, knows a task. Raises BrokerError."""
        return self._workers.know(queue, task_key, script, beside=self.worker)

    def other_worker_takes(self, queue: str, task_key: str, script: str | None, misfit: Surplus | Lack) -> bool:
        """Whether one of these has a version of the task that may take a call that does not fit the version here.

        Raises:
            BrokerError: the server does not answer.
        """
        return self._workers.know(queue, task_key, script, beside=self.worker, misfit=misfit)

    # -- the source of this process's futures: see orchestrator.client.handles.Source ----------------------------

    def attach(self, futures: Sequence[Handle]) -> None:
        """Make sure that these futures will be settled. Raises BrokerError."""
        if not self.stale_after_fork:
            return self.open_futures.attach(futures)
        successor = current_fleet()  # of this process, which was forked after the handles were made
        for future in futures:
            future.move_to(successor)
        successor.attach(futures)

    def read_here(self, future: Handle, latch: Latch, until: float) -> None:
        """The thread that waits for this future reads the inbox by itself meanwhile, if that can be."""
        if not self.stale_after_fork:
            self.open_futures.read_here(future, latch, until)

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run by its id. A run nobody knows is Crashed, named Lost. Raises BrokerError."""
        return (current_fleet() if self.stale_after_fork else self).lookup.latest_state(run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Ask runs to stop; whether there was anything left to stop. Raises BrokerError."""
        return (current_fleet() if self.stale_after_fork else self).lookup.cancel(run_ids)

    def still_waiting(self, futures: Sequence[Handle]) -> None:
        """Warn once per queue when no live worker serves it, and once per task when none knows it."""
        if not self.keeps_calls:  # else this process is the worker
            self._idle_queues.check(count_open(futures), self.calls_made, self.worker)

    def look_for_standstill(self, futures: Sequence[Handle], any_of: bool) -> bool:
        """See :meth:`orchestrator.client.standstill.Standstill.check`. Raises LimitDeadlock."""
        return not self.stale_after_fork and self._standstill.check(futures, any_of)

    def stop_watching(self, futures: Sequence[Handle]) -> None:
        """Keep no second handles on runs for which nobody waits any more."""
        self.open_futures.stop_watching(futures)

    # -- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits and close everything."""
        self.flow_reports.close()
        try:
            self.calls.flush(wait_for_room=True)
            self.logs.flush()
        except BrokerError as error:
            log.warning("closing, although not everything could be sent: %s", error)
        self.sender.close()
        self.logs.close()
        self.open_futures.close()
        self.broker.close()
        if self.embedded is not None:
            self.embedded.release()


def _in_project(settings: Settings) -> tuple[Settings, str | None]:
    """The settings with the namespace of the project, and its directory, on the private server without a namespace."""
    if not settings.private or "namespace" in settings.model_fields_set:
        return settings, None
    namespace, project = namespace_for(settings.project, settings.namespace)
    return settings.model_copy(update={"namespace": namespace}), project


_current: Fleet | None = None
_current_lock = threading.Lock()
_all: weakref.WeakSet[Fleet] = weakref.WeakSet()


def current_fleet() -> Fleet:
    """The fleet of this process, by its settings; made at the first use."""
    global _current
    if _current is None:
        with _current_lock:
            if _current is None:
                console.show()
                _current = Fleet(current_settings())
                serializers.set_key_ring(_current.key_ring)
                serializers.protect(_current.protection)
    return _current


def known_fleet() -> Fleet | None:
    """The fleet of this process, if it has one already."""
    return _current


def fleet_is_ready(with_inbox: bool) -> bool:
    """Whether the fleet can be used without blocking for set-up."""
    fleet = _current
    return fleet is not None and fleet.ready and (not with_inbox or fleet.open_futures.has_inbox)


def use_fleet(fleet: Fleet | None) -> Fleet | None:
    """Make this the process's fleet (``None``: find it anew at the next use); returns the one before."""
    global _current
    before, _current = _current, fleet
    serializers.set_key_ring(fleet.key_ring if fleet is not None else lambda: None)
    serializers.protect(fleet.protection if fleet is not None else NO_PROTECTION)
    return before


def _forget_after_fork() -> None:
    global _current, _current_lock
    _current = None
    for fleet in _all:
        fleet.stale_after_fork = True
    _current_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
