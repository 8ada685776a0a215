"""Inputs of flow runs in memory."""

from __future__ import annotations

from collections.abc import Callable

from brokers.errors import BrokerConflict
from brokers.facets.inputs import FIRST, INPUT_ORDER, StoredInput

from .store import MemoryStore


class MemoryInputs:
    """See :class:`brokers.base.Inputs`.

    Args:
        store: has the lock, and whoever reads an inbox.
        is_known: whether there is a flow run of this id.
    """

    def __init__(self, store: MemoryStore, is_known: Callable[[str], bool]) -> None:
        self._store, self._is_known = store, is_known
        self._inputs: dict[str, list[StoredInput]] = {}
        self._waiting: dict[str, set[tuple[str, str]]] = {}
        self._last = 0

    def add(self, flow_run_id: str, key: str, value: bytes) -> bool:
        self._store.check()
        with self._store.changed:
            if not self._is_known(flow_run_id):
                return False
            before = self.read(flow_run_id, key)
            if before is not None and before.value != value:
                raise BrokerConflict(f"flow run {flow_run_id} has an input {key!r} already; nothing was written")
            if before is None:
                self._last += 1
                self._inputs.setdefault(flow_run_id, []).append(StoredInput(str(self._last), key, value))
                for inbox, receiver in self._waiting.pop(flow_run_id, ()):
                    if (reader := self._store.reader_of(inbox)) is not None:
                        reader.orders([(INPUT_ORDER, receiver)])
            return True

    def after(
        self, flow_run_id: str, position: str = FIRST, count: int = 100, inbox: str = "", receiver: str = ""
    ) -> list[StoredInput]:
        self._store.check()
        with self._store.changed:
            known = self._inputs.get(flow_run_id, ())
            found = [one for one in known if int(one.position) > int(position)][:count]
            if not found and inbox:
                self._waiting.setdefault(flow_run_id, set()).add((inbox, receiver))
            return found

    def read(self, flow_run_id: str, key: str) -> StoredInput | None:
        with self._store.changed:
            return next((one for one in self._inputs.get(flow_run_id, ()) if one.key == key), None)

    def delete(self, flow_run_id: str, key: str) -> bool:
        with self._store.changed:
            known = self._inputs.get(flow_run_id, [])
            kept = [one for one in known if one.key != key]
            self._inputs[flow_run_id] = kept
            return len(kept) < len(known)
