"""The deployments of a work pool, as its workers need them every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.base import Broker
from brokers.records import in_portions
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of

PAGE: Final = 50


def members_of(broker: Broker, pool_name: str) -> list[DeploymentRecord]:
    """The deployments that name a pool, what was written last first. Raises BrokerError."""
    found = [
        record
        for ids in in_portions(broker.documents.newest(KIND, limit=None)[1], 10 * PAGE)
        for record in map(record_of, broker.documents.read(KIND, ids))
    ]
    return [record for record in found if record is not None and record.work_pool_name == pool_name]


class PoolMembers:
    """The ids of a pool's deployments. What has not been written since the last look is not read again.

    Args:
        broker: the store.
        pool_name: of the pool.
    """

    def __init__(self, broker: Broker, pool_name: str) -> None:
        self._broker, self._pool_name = broker, pool_name
        self._ids: set[str] = set()
        self._seen_ms = -1

    def __call__(self) -> list[str]:
        """Those of now. A deployment that has been deleted may still be among them. Raises BrokerError."""
        documents, seen_ms = self._broker.documents, self._seen_ms
        if not self._note(documents.newest(KIND, 0, PAGE)[1], seen_ms):
            for ids in in_portions(documents.newest(KIND, limit=None)[1], PAGE):
                if self._note(ids, seen_ms):
                    break
        return sorted(self._ids)

    def _note(self, ids: Sequence[str], seen_ms: int) -> bool:
        """Note which of these belong to the pool; whether they are all, or reach back to what was seen before."""
        records = [record_of(document) for document in self._broker.documents.read(KIND, ids)]
        there = [record for record in records if record is not None]
        for record in there:
            (self._ids.add if record.work_pool_name == self._pool_name else self._ids.discard)(record.id)
        written = [record.written_at_ms for record in there]
        self._seen_ms = max([self._seen_ms, *written])
        return len(ids) < PAGE or (bool(written) and min(written) < seen_ms)
