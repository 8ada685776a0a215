"""Where it is written down which call runs in which place, for a supervisor that outlives this process."""

from __future__ import annotations

from typing import Protocol


class SlotTable(Protocol):
    """Rows, one per place; a supervisor reads them when this process has died."""

    def take_place(self) -> int:
        """A free row."""

    def free_place(self, place: int) -> None:
        """The row is not needed any more."""

    def note(self, place: int, run_id: str) -> None:
        """This call runs there now."""

    def note_deadline(self, place: int, seconds: float, retry_seconds: float | None) -> None:
        """The call is to be killed if it still runs after so many seconds, and what is to follow then."""

    def clear(self, place: int) -> None:
        """Nothing runs there."""


class NoTable:
    """Null object: no supervisor reads the table."""

    def take_place(self) -> int:
        return 0

    def free_place(self, place: int) -> None:
        return None

    def note(self, place: int, run_id: str) -> None:
        return None

    def note_deadline(self, place: int, seconds: float, retry_seconds: float | None) -> None:
        return None

    def clear(self, place: int) -> None:
        return None
