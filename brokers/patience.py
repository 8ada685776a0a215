"""Parcels for which nobody waits, and whose queue is full: they are tried again for as long as they have patience."""

from __future__ import annotations

import threading

from brokers.parcel import Parcel


class PatientParcels:
    """Those of one sender; for any thread."""

    def __init__(self) -> None:
        self._all: set[Parcel] = set()
        self._resting: list[Parcel] = []  # those that are not being tried just now
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def some_rest(self) -> bool:
        """Whether one is to be tried again."""
        return bool(self._resting)

    def add(self, parcel: Parcel) -> None:
        """Its queue was full."""
        self._all.add(parcel)
        with self._lock:
            self._resting.append(parcel)

    def discard(self, parcel: Parcel) -> None:
        """It was sent, or has no patience any more."""
        self._all.discard(parcel)

    def take(self) -> list[Parcel]:
        """Those that rest, to be tried again."""
        with self._lock:
            again, self._resting = self._resting, []
        for parcel in again:
            parcel.error, parcel.done = None, False
        return again
