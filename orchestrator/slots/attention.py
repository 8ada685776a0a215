"""How the slot monitor is woken."""

from __future__ import annotations

import threading


class Attention:
    """Asks the slot monitor to look; safe to use from several threads."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._is_awake = False

    @property
    def is_wanted(self) -> bool:
        """Whether somebody has asked since the monitor last woke."""
        return self._wanted.is_set()

    def ask(self) -> None:
        """Have the monitor look now."""
        if not self._wanted.is_set():
            self._wanted.set()

    def calls_have_come(self) -> None:
        """There is something to look after soon: a monitor that looks every few milliseconds need not be woken."""
        if not self._is_awake:
            self.ask()

    def note(self, *, awake: bool) -> None:
        """Whether the monitor looks every few milliseconds from now on."""
        self._is_awake = awake

    def wait(self, seconds: float) -> None:
        """Sleep for so long, unless somebody asks."""
        self._wanted.wait(seconds)
        self._wanted.clear()
