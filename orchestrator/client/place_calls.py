"""Who waits in this process for places under limits, or for inputs: woken when the inbox says that there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brokers.facets.inputs import INPUT_ORDER


class PlaceCalls:
    """Lease, or receiver of inputs -> what wakes whoever waits. Changed by single dict operations, from any thread.

    Args:
        listen: called when somebody begins to wait.
    """

    def __init__(self, listen: Callable[[], object] = lambda: None) -> None:
        self._waiting: dict[str, Callable[[], None]] = {}
        self._listen = listen

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def expect(self, lease_id: str, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the lease's turn has come, or when it may have come; it must return at once."""
        self._waiting[lease_id] = wake
        self._listen()

    def forget(self, lease_id: str) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(lease_id, None)

    def notify(self, orders: Sequence[tuple[str, str]]) -> None:
        """What came to the inbox: (what, for whom)."""
        for what, lease_id in orders:
            wake = self._waiting.get(lease_id) if what in ("place", INPUT_ORDER) else None
            if wake is not None:
                wake()

    def wake_all(self) -> None:
        """Messages were lost: everybody asks again."""
        for wake in list(self._waiting.values()):
            wake()
