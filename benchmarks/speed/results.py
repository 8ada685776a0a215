"""What a run has found: values by figure and system, one for each round in which they were measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.environments import PEERS
from benchmarks.peers.rig import OURS
from benchmarks.speed.figures import FIGURES, Spread, spread


class Best(NamedTuple):
    """The best of the peers."""

    name: str
    value: float


class Results:
    """Values of a run, with what belongs to them.

    Args:
        facts: the machine, the settings, the rounds (see :meth:`as_json`).
        values: figure -> system -> values.
    """

    def __init__(self, facts: dict[str, Any], values: dict[str, dict[str, list[float]]] | None = None) -> None:
        self.facts = facts
        self.values = values or {}

    def add(self, system: str, found: dict[str, float]) -> None:
        """What one system did in one round."""
        for key, value in found.items():
            self.values.setdefault(key, {}).setdefault(system, []).append(value)

    def spread(self, key: str, system: str) -> Spread | None:
        """Median and range; ``None`` if it was not measured."""
        values = self.values.get(key, {}).get(system)
        return spread(values) if values else None

    def median(self, key: str, system: str = OURS) -> float | None:
        """The median; ``None`` if it was not measured."""
        found = self.spread(key, system)
        return found.median if found else None

    def best_peer(self, key: str, among: Iterable[str] = PEERS) -> Best | None:
        """The peer that is best at a figure, of all or of some; ``None`` if none of them was measured."""
        found = [Best(peer, median) for peer in among if (median := self.median(key, peer)) is not None]
        if not found:
            return None
        choose = max if FIGURES[key].more_is_better else min
        return choose(found, key=lambda best: best.value)

    def systems(self, keys: Iterable[str]) -> list[str]:
        """Those that have any of these figures, us first."""
        found = {system for key in keys for system in self.values.get(key, {})}
        return sorted(found, key=lambda name: (name != OURS, name not in PEERS, name))

    def as_json(self) -> str:
        """For a file."""
        return json.dumps({**self.facts, "values": self.values}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, file: Path) -> Results:
        """From a file that :meth:`as_json` has made."""
        facts = json.loads(file.read_text())
        return cls(facts, facts.pop("values"))
