"""Gives back what waits in a child that is frozen in C code, or cut off from the server for a whole lease.

A child hands back by itself what waits behind a long call, unless that call keeps the interpreter's lock: then none of
its threads gets to run. The supervisor sees it from outside: the child's pulse has stopped, and there is a call that
the server holds for it and that it does not run, both for longer than half a lease. From then on the child itself asks
the server before it starts such a call (it may have been taken over), so that none is run twice. The exception is the
price: calls that had ended in the last milliseconds before the process froze, whose outcomes it could not send, are run
again as if it had died.

A child that has a pulse and does not reach the server may keep the outcomes of many calls that have ended: it is left
alone for a lease, like a worker that is cut off as a whole, and sends them when it is back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from brokers.messages import ASYNC_LANE, SYNC_LANE, Ack, AckKind, routes_of
from orchestrator.client.fleet import Fleet
from orchestrator.maintenance import Chore
from task_workers.supervisor.managed_process import ManagedProcess

log = logging.getLogger("orchestrator.worker")
MARGIN_SECONDS: Final = 0.5  # between the fetch, of which the child counts, and our first look


class Releaser(Chore):
    """Looks only at children with a call that runs for long.

    Args:
        fleet: whose store.
        queues: what the children read.
        children: those that live.
    """

    name = "releaser"

    def __init__(self, fleet: Fleet, queues: Sequence[str], children: Callable[[], Iterable[ManagedProcess]]) -> None:
        super().__init__()
        self._fleet, self._children = fleet, children
        self._lease = fleet.settings.lease_seconds
        self._patience = fleet.settings.lease_seconds / 2 + MARGIN_SECONDS
        self._routes = [route for lane in (SYNC_LANE, ASYNC_LANE) for route in routes_of(list(queues), lane)]
        self._first_seen: dict[str, float] = {}  # ticket of a call that waits -> when we saw it first

    def run_once(self) -> float:
        waiting: dict[str, float] = {}
        for child in self._children():
            waiting.update(self._look_at(child))
        self._first_seen = waiting
        return max(0.2, self._fleet.settings.lease_seconds / 8)

    def _look_at(self, child: ManagedProcess) -> dict[str, float]:
        now = time.monotonic()
        rows = child.table.rows()
        if not rows or now - min(row.started for row in rows) < self._patience / 2:
            return {}
        held = self._fleet.broker.deliveries.pending(child.consumer, self._routes)
        running = {row.run_id for row in child.table.rows()}
        seen = {ticket: self._first_seen.get(ticket, now) for ticket, run_id in held.items() if run_id not in running}
        stuck = [ticket for ticket, since in seen.items() if now - since > self._patience]
        why = self._why_out_of_reach(child)
        if stuck and why:
            log.warning("child %d %s: %d calls that wait in it are handed back", child.number, why, len(stuck))
            acks = [Ack(ticket, held[ticket], AckKind.HAND_BACK, b"", 0) for ticket in stuck]
            self._fleet.broker.deliveries.complete(child.consumer, acks)
            return {ticket: since for ticket, since in seen.items() if ticket not in stuck}
        return seen

    def _why_out_of_reach(self, child: ManagedProcess) -> str | None:
        now, pulse = time.monotonic(), child.table.pulse()
        if now - pulse.awake > self._patience:
            return "is stuck"
        if now - pulse.answered > self._lease + MARGIN_SECONDS:
            return "is cut off from the server"
        return None
