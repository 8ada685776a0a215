"""One thread of a process renews all of its leases, each at a third of its time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from brokers.threads import unending
from orchestrator.concurrency.requests import LeaseRequest
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.concurrency")
AGAIN_SECONDS: Final = 1.0  # after a renewal that did not get through


@dataclass(slots=True)
class _Kept:
    request: LeaseRequest
    on_lost: Callable[[], object]
    renewed_at: float = field(default_factory=time.monotonic)
    next_at: float = 0.0

    def __post_init__(self) -> None:
        self.next_at = self.renewed_at + self.request.lease_seconds / 3


class LeaseKeeper:
    """Renews leases until they are let go; started with the first one."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def keep(self, request: LeaseRequest, on_lost: Callable[[], object]) -> None:
        """Renew this lease from now on; ``on_lost`` is called once if that fails for good, in another thread."""
        with self._changed:
            self._kept[request.lease_id] = _Kept(request, on_lost)
            if self._thread is None:
                self._thread = threading.Thread(target=unending(self._run), name="limit-leases", daemon=True)
                self._thread.start()
            self._changed.notify()

    def let_go(self, lease_id: str) -> None:
        """Renew it no more."""
        with self._changed:
            self._kept.pop(lease_id, None)

    def _run(self) -> None:
        while True:
            for kept in self._wait_for_due():
                self._renew(kept)

    def _wait_for_due(self) -> list[_Kept]:
        with self._changed:
            while True:
                now = time.monotonic()
                due = [kept for kept in self._kept.values() if kept.next_at <= now]
                if due:
                    return due
                next_at = min((kept.next_at for kept in self._kept.values()), default=None)
                self._changed.wait(None if next_at is None else next_at - now)

    def _renew(self, kept: _Kept) -> None:
        request, now = kept.request, time.monotonic()
        try:
            lost = request.fleet.broker.limits.renew({request.lease_id: request.lease_seconds})
        except BrokerError as error:
            kept.next_at = time.monotonic() + min(AGAIN_SECONDS, request.lease_seconds / 3)
            if time.monotonic() - kept.renewed_at < request.lease_seconds:
                return
            self._lose(kept, str(error))
            return
        if lost:
            self._lose(kept, "it was not renewed in time, or the delivery around it is over")
        else:
            kept.renewed_at, kept.next_at = now, now + request.lease_seconds / 3

    def _lose(self, kept: _Kept, why: str) -> None:
        with self._changed:
            if self._kept.pop(kept.request.lease_id, None) is None:
                return  # the block is over
        names = ", ".join(kept.request.wish.names)
        log.warning("the lease of the places under %s is lost, others may have them: %s", names, why)
        kept.on_lost()


keeper = LeaseKeeper()


def _renew_after_fork() -> None:
    global keeper
    keeper = LeaseKeeper()  # the leases are the parent's


os.register_at_fork(after_in_child=_renew_after_fork)
