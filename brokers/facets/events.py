"""Events: what happened beside runs, which the journal has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from brokers.records import BEGINNING

Labels = Mapping[str, str]
EVENTS_TTL_SECONDS: Final = 7 * 86_400.0


class StoredEvent(NamedTuple):
    """One event. What scripts write has no id, no moment and no sealed payload of its own.

    Attributes:
        name: such as ``prefect.deployment.created``.
        resource: labels of what it happened to.
        related: labels of what has to do with it.
        payload: JSON, as a script has written it.
        id: a UUID; empty: it is made of the place in the stream.
        occurred: unix seconds; 0: when it was written.
        follows: id of the event that came before; empty: none.
        sealed: JSON, signed and encrypted where the fleet has keys.
    """

    name: str
    resource: Labels
    related: Sequence[Labels] = ()
    payload: bytes = b""
    id: str = ""
    occurred: float = 0.0
    follows: str = ""
    sealed: bytes = b""


class Events(Protocol):
    """Events in order, in entries as the journal's: what one script writes is one entry, at one position."""

    def append(self, events: Sequence[StoredEvent]) -> None:
        """Write events, each as an entry of its own; one whose id was written in the last minutes is passed over."""

    def watch(
        self, *, every_seconds: float, lease_seconds: float, late_after_seconds: float, served_within_seconds: float
    ) -> bool:
        """Write events of what nobody does: workers that are lost, pools and deployments that are ready or not any
        more, runs of deployments that are late, each once.

        Args:
            every_seconds: of all processes that ask one looks in this time.
            lease_seconds: a worker without a heartbeat for so long is lost.
            late_after_seconds: a run that should have begun so long ago is late.
            served_within_seconds: a deployment that nobody has served for so long is not ready.

        Returns:
            Whether this process has looked. Raises BrokerError.
        """

    def newest(self) -> str:
        """The position after everything that has been written until now."""

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[tuple[str, list[StoredEvent | None]]]:
        """At most ``count`` entries after a position, the oldest first. Of what is damaged there is a ``None``."""

    def backwards(self, first: str = "+", count: int = 100) -> list[tuple[str, list[StoredEvent | None]]]:
        """At most ``count`` entries, the newest first.

        Args:
            first: position of the first one, itself included; ``(`` in front of it: not included.
            count: how many at most; fewer come at the beginning only.
        """
