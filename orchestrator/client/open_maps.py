"""The maps of this process whose runs have not all ended: found by the block of a run when an end comes to the inbox.

A map is kept by those who hold its list, one of its handles, or wait for it. Of one that nobody holds any more, ends
come to nobody.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator
from itertools import islice

from brokers.block_ids import BLOCK_CHARACTERS
from orchestrator.client.map_runs import MapRuns


class OpenMaps:
    """Changed by single dict operations, from any thread, without a lock."""

    def __init__(self) -> None:
        self._by_name: weakref.WeakValueDictionary[str, MapRuns] = weakref.WeakValueDictionary()

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def add(self, runs: MapRuns) -> None:
        """Ends of these runs will come."""
        self._by_name.update(dict.fromkeys(runs.run_ids.names, runs))

    def forget(self, runs: MapRuns) -> None:
        """Nobody gets handles on these runs."""
        for name in runs.run_ids.names:
            self._by_name.pop(name, None)

    def of_block(self, block: str) -> MapRuns | None:
        """The map that a block belongs to."""
        return self._by_name.get(block)

    def find(self, run_id: str) -> tuple[MapRuns, int] | None:
        """The map that a run belongs to, and where it is in it."""
        for name in (run_id[:BLOCK_CHARACTERS], run_id):
            runs = self._by_name.get(name)
            position = runs.run_ids.position(run_id) if runs is not None else None
            if runs is not None and position is not None:
                return runs, position
        return None

    def is_open(self, run_id: str) -> bool:
        """Whether a run is one of a map, and has not ended."""
        found = self.find(run_id)
        return found is not None and not found[0].ends.letters[found[1]]

    @property
    def some_left(self) -> bool:
        """Whether a run of one of them has not ended."""
        return bool(self._by_name) and bool(self._maps())

    def open_run_ids(self) -> Iterator[str]:
        """All runs of maps that have not ended."""
        for runs in self._maps():
            yield from runs.open_run_ids()

    def some_open(self, most: int) -> list[str]:
        """Some of them, of each map by chance."""
        return [
            run_id for runs in self._maps() for run_id in islice(runs.open_run_ids(random.randrange(len(runs))), most)
        ]

    def _maps(self) -> list[MapRuns]:
        maps = {id(runs): runs for ref in self._by_name.valuerefs() if (runs := ref()) is not None}
        return [runs for runs in maps.values() if runs.ends.left]
