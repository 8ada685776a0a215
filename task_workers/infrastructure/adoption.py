"""Finds what workers of the pool have started that are gone: runs in it are looked after here, the rest is ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import Row
from brokers.threads import unending
from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.work_pools.lookup import pool_named
from orchestrator.work_pools.members import members_of
from orchestrator.work_pools.run_labels import AUTO_REMOVE, DELIVERY, RUN, WORKER, delivery_label
from task_workers.infrastructure.base import Found, Handle, Infrastructure, InfrastructureError
from task_workers.infrastructure.output import OutputStream
from task_workers.infrastructure.variables import OwnCall
from task_workers.infrastructure.watch import Limits, Watch

log = logging.getLogger("orchestrator.infrastructure")
LOOK_SECONDS: Final = 15.0
STALE_SECONDS: Final = 45.0  # a process whose ticket is stale says so and ends by itself, should it begin at all


class Adoption(Chore):
    """Looks now and then.

    Args:
        fleet: whose store.
        pool_name: of the pool.
        labels: of all that is started for it.
        infrastructure: where that is.
        watched: handles that are looked after in this process; what is adopted comes to them.
        is_draining: whether this worker is to end.
        stale_seconds: what nobody needs is ended after so long.
    """

    name = "adoption"

    def __init__(
        self,
        fleet: Fleet,
        pool_name: str,
        labels: Mapping[str, str],
        infrastructure: Infrastructure,
        watched: set[Handle],
        is_draining: Callable[[], bool],
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        super().__init__()
        self._fleet, self._pool_name, self._labels, self._infrastructure = fleet, pool_name, labels, infrastructure
        self._watched, self._is_draining, self._stale_seconds = watched, is_draining, stale_seconds
        self._stale_since: dict[Handle, float] = {}

    def run_once(self) -> float:
        try:
            self.look()
        except InfrastructureError as error:
            if str(error) not in self._logged:
                self._logged.add(str(error))
                log.warning("what other workers have started cannot be looked at: %s", error)
        return min(LOOK_SECONDS, self._fleet.settings.lease_seconds)

    def look(self) -> None:
        """One round. Raises BrokerError, InfrastructureError."""
        broker = self._fleet.broker
        alive = broker.consumers.alive(self._fleet.settings.lease_seconds)
        found = self._infrastructure.find(self._labels, self._namespaces())
        orphans = [one for one in found if one.handle not in self._watched and one.labels.get(WORKER) not in alive]
        rows = broker.records.rows([one.labels.get(RUN, "") for one in orphans]) if orphans else []
        now, stale = time.monotonic(), {}
        for one, row in zip(orphans, rows, strict=True):
            if _is_of(one, row):
                holder = broker.records.holder(row)
                if holder is not None and holder != one.labels.get(WORKER):
                    self._adopt(one, row)
            else:
                stale[one.handle] = self._stale_since.get(one.handle, now)
                if now - stale[one.handle] >= self._stale_seconds:
                    self._end(one)
        self._stale_since = stale

    def _namespaces(self) -> list[str]:
        """Where Jobs of this pool may be: as its template says, or its deployments."""
        pool = pool_named(self._fleet.broker, self._pool_name)
        if pool is None or "namespace" not in _table(pool.template["variables"].get("properties")):
            return []
        default = _table(pool.template["variables"]["properties"]["namespace"]).get("default")
        records = members_of(self._fleet.broker, self._pool_name)
        named = [default, *(record.job_variables.get("namespace") for record in records)]
        return list(dict.fromkeys(one for one in named if isinstance(one, str) and "{{" not in one))

    def _adopt(self, one: Found, row: Row) -> None:
        log.info("flow run %s goes on in %s, whose worker is gone: it is looked after here", row.run_id, one.handle)
        self._watched.add(one.handle)
        wake = threading.Event()
        output = OutputStream(self._infrastructure, one.handle, row.run_id, True, wake.set)
        output.start(from_now=True)
        call = OwnCall(row.run_id, row.ticket, one.labels.get(WORKER, ""))
        watch = Watch(
            self._fleet,
            self._infrastructure,
            one.handle,
            call,
            Limits(0.0),
            output,
            auto_remove=one.labels.get(AUTO_REMOVE) == "yes",
            is_draining=self._is_draining,
            wake=wake,
        )
        threading.Thread(target=unending(partial(self._look_after, watch)), name="adopted", daemon=True).start()

    def _look_after(self, watch: Watch) -> None:
        try:
            watch.until_the_end()
        finally:
            self._watched.discard(watch.handle)

    def _end(self, one: Found) -> None:
        """Nobody needs it: it is ended if it still runs, and removed where that is wanted."""
        if not self._infrastructure.look(one.handle).is_over:
            log.warning("%s runs for nobody: flow run %s is not its any more", one.handle, one.labels.get(RUN))
            self._infrastructure.end(one.handle, self._fleet.settings.kill_grace_seconds)
        if one.labels.get(AUTO_REMOVE) == "yes":
            self._infrastructure.remove(one.handle)


def _is_of(one: Found, row: Row) -> bool:
    """Whether the run is still in the delivery for which this was started."""
    if row.status == Status.UNKNOWN or row.status in FINAL_STATUSES:
        return False
    return delivery_label(row.ticket) == one.labels.get(DELIVERY)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
