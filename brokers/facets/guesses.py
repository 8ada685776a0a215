"""How often somebody may guess: wrong answers are counted where every server sees them, and forgotten in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol


class Pace(NamedTuple):
    """How guesses are slowed down: some are free, then the wait doubles with each."""

    free: int  # guesses without a wait
    first_wait_ms: int  # after these
    longest_wait_ms: int


class Guesses(Protocol):
    """Guesses by who makes them, or at what."""

    def begin(self, paces: Mapping[str, Pace], forgotten_after_ms: int) -> int:
        """Count a guess before its answer is known, so that many at once are not looked at before one is counted.

        Args:
            paces: who guesses and what is guessed at, with the pace of each.
            forgotten_after_ms: how long guesses are remembered after the last one.

        Returns:
            For how many milliseconds nobody may guess yet, and then nothing was counted; 0: the guess is counted.
        """

    def forget(self, names: Sequence[str], shares: Mapping[str, str] = MappingProxyType({})) -> None:
        """Somebody knew the answer: the wrong guesses were slips.

        Args:
            names: whose guesses are forgotten.
            shares: name of a part -> name of the whole, counted together: the part is forgotten and taken out of the
                whole, which keeps the guesses of others.
        """
