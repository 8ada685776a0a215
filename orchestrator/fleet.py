"""This process's connection to the fleet: sends calls, resolves handles, asks and orders.

One per process, found at the first use (``current_fleet``), made anew after a fork. It owns one sender (group commit)
and one inbox (one thread, one connection for any number of handles).
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brokers.contract import SETTLED, Envelope, Settled, Status
from brokers.embedded import EmbeddedServer, default_home, secret_key
from brokers.redis.asker import Asker
from brokers.redis.broker import RedisBroker
from brokers.redis.inbox import Inbox
from brokers.redis.sender import Parcel, Sender
from brokers.redis.wire import Wires
from brokers.urls import ServerAddress, parse_url
from orchestrator import serializers
from orchestrator.errors import BrokerError, BrokerRefused, BrokerUnavailable, QueueFull
from orchestrator.log_shipper import LogShipper
from orchestrator.outcomes import open_state, read_outcome
from orchestrator.serializers import NO_PROTECTION, CipherRing, KeyRing, PayloadLimits, Protection
from orchestrator.settings import Settings
from orchestrator.states import State, StateType

if TYPE_CHECKING:
    from orchestrator.futures import PrefectFuture

log = logging.getLogger("orchestrator.fleet")
LOOK_FOR_ROOM_SECONDS: Final = 0.05
BEING_SENT_SECONDS: Final = 0.5


class Fleet:
    """Everything a process needs to talk to one fleet. Nothing is opened before it is needed.

    Args:
        settings: which server, which namespace, how patient.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process = secrets.token_hex(6)
        self.left_behind = False  # it belongs to the parent of this process: its threads and sockets are not here
        self.embedded: EmbeddedServer | None = None
        self._key_ring: KeyRing | None = None
        self.protection = _protection_from(settings)
        self.limits = PayloadLimits(settings.compress_above_bytes, settings.max_payload_bytes)
        self.wires = Wires(
            self._locator(),
            command_timeout_seconds=settings.command_timeout_seconds,
            connect_timeout_seconds=settings.connect_timeout_seconds,
        )
        self.broker = self._make_broker()
        self.sender = Sender(self._submit)
        self.asker = Asker(lambda run_ids: self.broker.expect(run_ids, self.process))
        self.logs = LogShipper(self.broker, settings.log_lines_per_run)
        self.queues_used: set[str] = set()
        self._open: dict[str, PrefectFuture[Any]] = {}
        self._also_open: dict[str, list[PrefectFuture[Any]]] = {}
        self._inbox: Inbox | None = None
        self._inbox_lock = threading.Lock()
        self._warned: set[str] = set()
        self._looking = threading.Lock()
        _all.add(self)
        self.worker = ""  # the name under which this process takes calls, once it does
        self.keeps_calls = False  # this process runs its flows' calls by itself (no worker does)

    @property
    def home(self) -> Path:
        """Directory of the private server."""
        return self.settings.home or default_home()

    def _make_broker(self) -> RedisBroker:
        settings = self.settings
        more: dict[str, Any] = {"result_ttl_seconds": settings.result_ttl_seconds, "queue_limit": settings.queue_limit}
        if settings.broker_url is None or not settings.carried:
            return RedisBroker(self.wires, settings.namespace, **more)
        from brokers.celery.broker import CarriedBroker  # kombu, which only this engine needs, takes 0.1 s to import

        return CarriedBroker(
            self.wires,
            settings.namespace,
            settings.broker_url,
            timeout_seconds=settings.command_timeout_seconds,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            **more,
        )

    def _locator(self) -> Callable[[], ServerAddress]:
        url = self.settings.redis_url or (None if self.settings.carried else self.settings.broker_url)
        if url is None:
            self.embedded = EmbeddedServer(self.home)
            embedded = self.embedded
            return lambda: parse_url(embedded.ensure())
        address = parse_url(url)
        return lambda: address

    def key_ring(self) -> KeyRing | None:
        """The keys that sign: those of the settings, else the private server's own, which is for pickles only."""
        if self._key_ring is None:
            keys: Sequence[bytes] = self.settings.secret_keys
            if not keys and self.embedded is not None:
                keys = [secret_key(self.home)]
            self._key_ring = KeyRing(keys) if keys else None
        return self._key_ring

    @property
    def ready(self) -> bool:
        """Whether a connection has been made."""
        return self.wires.used

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, envelopes: Sequence[Envelope]) -> list[str]:
        """Send now; returns the run ids once the server has confirmed. Raises BrokerError."""
        try:
            return self.sender.send(envelopes)
        except BrokerRefused:
            self._withdraw(envelopes)
            raise

    def _withdraw(self, envelopes: Sequence[Envelope]) -> None:
        """A later slice was refused: the slices before it must not run, since nobody gets handles on them."""
        with suppress(BrokerError):
            self.broker.cancel([envelope.run_id for envelope in envelopes], "withdrawn: not all of its map was taken")

    def _submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        """The broker's verb; where a queue is full, patient for as long as the settings say."""
        deadline = time.monotonic() + self.settings.queue_full_wait_seconds
        while True:
            try:
                return self.broker.submit(envelopes)
            except QueueFull:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(LOOK_FOR_ROOM_SECONDS)

    def send_soon(self, envelopes: Sequence[Envelope], futures: Sequence[PrefectFuture[Any]]) -> None:
        """Send within about a millisecond; if that fails the futures are Crashed with the error, loudly."""

        def sent(parcel: Parcel) -> None:
            if parcel.error is not None:
                if isinstance(parcel.error, BrokerRefused):
                    self._withdraw(envelopes)
                self._fail(futures, parcel.error)

        self.sender.send_soon(envelopes, sent)

    def _fail(self, futures: Sequence[PrefectFuture[Any]], error: BaseException) -> None:
        log.error("%d calls could not be sent: %s", len(futures), error)
        for future in futures:
            self._open.pop(future.run_id, None)
            future.settle_state(
                State(
                    StateType.CRASHED, "NotSent", f"could not be sent: {error}", data=error, task_run_id=future.run_id
                )
            )

    def open_inbox(self) -> str:
        """The name of this process's inbox, which is being read from now on."""
        if self._inbox is None:
            with self._inbox_lock:
                if self._inbox is None:
                    inbox = Inbox(self.broker, self.process, on_settled=self._on_settled, on_gap=self._on_gap)
                    inbox.start()
                    self._inbox = inbox
        return self.process

    # -- resolving -----------------------------------------------------------------------------------------------

    def watch(self, future: PrefectFuture[Any]) -> None:
        """The end of this future's run will come to the inbox: its call names the inbox, or will when it is sent."""
        future.watched = True
        self._open[future.run_id] = future

    def attach(self, futures: list[PrefectFuture[Any]]) -> None:
        """Make sure that these futures will be settled: flush what waits to be sent, register at the store."""
        if self.left_behind:
            return self._hand_over(futures)
        self.sender.flush()
        strange = [future for future in futures if not future.settled and self._add(future)]
        if not strange:
            return
        try:
            self.open_inbox()
            self._on_settled(self.asker.ask(list({future.run_id for future in strange})))
        except BrokerUnavailable:
            if self._inbox is None:
                self._forget(strange)
                raise
            self._inbox.ask_again()  # they are open: it asks for them when the server is back, as after any absence
        except BaseException:
            self._forget(strange)
            raise

    def _add(self, future: PrefectFuture[Any]) -> bool:
        """Whether this run was not being watched yet."""
        first = self._open.setdefault(future.run_id, future)
        if first is not future:
            others = self._also_open.setdefault(future.run_id, [])
            if not any(other is future for other in others):
                others.append(future)
                return True
            return False
        news, future.watched = not future.watched, True
        return news

    def _forget(self, futures: list[PrefectFuture[Any]]) -> None:
        """The store may not know that we wait for these: whoever asks again registers them again."""
        for future in futures:
            future.watched = False
            others = self._also_open.get(future.run_id, [])
            others[:] = [other for other in others if other is not future]

    def detach(self, future: PrefectFuture[Any]) -> None:
        """Nobody waits for this handle any more: forget it, so that handles on a run that never ends do not pile up."""
        run_id = future.run_id
        others = [other for other in self._also_open.pop(run_id, ()) if other is not future and not other.settled]
        if self._open.get(run_id) is future:
            del self._open[run_id]
            if others:
                self._open[run_id] = others.pop()
        if others:
            self._also_open[run_id] = others
        future.watched = False

    def _on_settled(self, ends: list[Settled]) -> None:
        long_ones: list[str] = []
        for run_id, status, outcome in ends:
            if not outcome and status != Status.UNKNOWN:
                long_ones.append(run_id)
                continue
            self._settle(run_id, status, outcome)
        if long_ones:
            for record in self.broker.read(long_ones):
                self._settle(record.run_id, record.status, record.outcome or b"\0")

    def _settle(self, run_id: str, status: bytes, outcome: bytes) -> None:
        future = self._open.pop(run_id, None)
        if future is not None:
            future.settle(status, outcome)
        for other in self._also_open.pop(run_id, ()):
            other.settle(status, outcome)

    def _on_gap(self) -> None:
        """Messages may have been lost: ask again for everything that is open."""
        unknown = self._ask_again(list(self._open))
        if unknown:  # a call is watched a moment before it is sent, and is not lost then
            time.sleep(BEING_SENT_SECONDS)
            self._on_settled(self._ask_again([run_id for run_id, _, _ in unknown]))

    def _ask_again(self, run_ids: list[str]) -> list[Settled]:
        """Settle what has ended; returns those that the store does not know."""
        self.sender.flush()
        ends = self.broker.expect(run_ids, self.process) if run_ids else []
        self._on_settled([end for end in ends if end[1] != Status.UNKNOWN])
        return [end for end in ends if end[1] == Status.UNKNOWN]

    def _hand_over(self, futures: list[PrefectFuture[Any]]) -> None:
        """These handles were made before this process was forked: its own fleet looks after them now."""
        heir = current_fleet()
        for future in futures:
            future.move_to(heir)
        heir.attach(futures)

    # -- asking and ordering -------------------------------------------------------------------------------------

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run by its id. A run nobody knows is Crashed, named Lost."""
        if self.left_behind:
            return current_fleet().latest_state(run_id)
        self.sender.flush()
        record = self.broker.read([run_id])[0]
        if record.status in SETTLED or record.status == Status.UNKNOWN:
            return read_outcome(run_id, record.status, record.outcome or b"\0")
        return open_state(run_id, record.status, record.retries, record.crashes)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Ask runs to stop; whether there was anything left to stop."""
        if self.left_behind:
            return current_fleet().cancel(run_ids)
        self.sender.flush()
        return [status not in SETTLED and status != Status.UNKNOWN for status in self.broker.cancel(run_ids)]

    def still_waiting(self, futures: list[PrefectFuture[Any]]) -> None:
        """Say once per queue when no live worker serves it."""
        if self.keeps_calls:  # this process is the worker
            return
        if not self._looking.acquire(blocking=False):  # another thread that waits as well is asking
            return
        try:
            self._warn_of_idle_queues(len(futures))
        finally:
            self._looking.release()

    def _warn_of_idle_queues(self, waiting: int) -> None:
        try:
            served = self.served_queues()
        except BrokerError as error:
            log.warning("waiting for %d runs; the server does not answer: %s", waiting, error)
            return
        idle = {queue for queue in self.queues_used if queue not in served} - self._warned
        if idle:
            self._warned |= idle
            log.warning(
                "waiting for %d runs, but no live worker serves the queue %s: the calls are kept; "
                "start one with `orchestrator worker -A your.module -Q %s`",
                waiting,
                ", ".join(sorted(idle)),
                ",".join(sorted(idle)),
            )

    def served_queues(self) -> set[str]:
        """The queues that live workers read."""
        return {queue for facts in self.live_workers().values() for queue in facts.get("queues", "").split(",")}

    def live_workers(self) -> dict[str, dict[str, str]]:
        """The live consumers, and what they say of themselves."""
        return self.broker.workers(self.settings.lease_seconds)

    def close(self) -> None:
        """Send what waits and close everything."""
        try:
            self.sender.flush()
            self.logs.flush()
        except BrokerError as error:
            log.warning("closing, although not everything could be sent: %s", error)
        if self._inbox is not None:
            self._inbox.stop()
            self._inbox = None
        self.broker.close()
        if self.embedded is not None:
            self.embedded.release()


def _protection_from(settings: Settings) -> Protection:
    """What happens to every body. The private server's own key signs pickles only: its directory is its user's."""
    keys = settings.encryption_keys
    return Protection(bool(settings.secret_keys), settings.require_signature, CipherRing(keys) if keys else None)


_current: Fleet | None = None
_current_lock = threading.Lock()
_all: weakref.WeakSet[Fleet] = weakref.WeakSet()


def current_fleet() -> Fleet:
    """The fleet of this process, by its settings; made at the first use."""
    global _current
    if _current is None:
        with _current_lock:
            if _current is None:
                from orchestrator.settings import current

                _current = Fleet(current())
                serializers.set_key_ring(_current.key_ring)
                serializers.protect(_current.protection)
    return _current


def known_fleet() -> Fleet | None:
    """The fleet of this process, if it has one already."""
    return _current


def fleet_is_ready(with_inbox: bool) -> bool:
    """Whether the fleet can be used without blocking for set-up."""
    fleet = _current
    return fleet is not None and fleet.ready and (not with_inbox or fleet._inbox is not None)


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
        fleet.left_behind = True
    _current_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
