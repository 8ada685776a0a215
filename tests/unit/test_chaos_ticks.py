"""What the oracle of `make chaos` says of the ticks of a schedule."""

from __future__ import annotations

import re

import pytest

from chaos.ticks import Found, lost

CERTAIN, POSSIBLE = range(2000, 5000, 1000), range(1000, 5000, 1000)


@pytest.mark.parametrize(
    ("found", "catchup", "said"),
    [
        (Found("x", [2000, 3000, 4000], 3, 0), "all", ""),
        (Found("x", [1000, 2000, 3000, 4000], 4, 0), "all", ""),  # due while it was written: with or without a run
        (Found("x", [2000, 4000], 2, 1), "latest", ""),
        (Found("x", [2000, 4000], 2, 1), "all", r"2 runs and 1 missed of 3 ticks; none at \[3000\]"),
        (Found("x", [2000, 4000], 2, 0), "latest", r"none at \[3000\]"),
        (Found("x", [2000, 3000, 4000], 4, 0), "all", "it counts 4 runs for 3 ticks"),
        (Found("x", [2000, 2500, 3000, 4000], 4, 0), "all", r"it fired when it was not due: \[2500\]"),
    ],
)
def test_a_tick_has_one_run_or_is_counted_as_missed(found: Found, catchup: str, said: str) -> None:
    wrong = lost(found, catchup, CERTAIN, POSSIBLE)
    assert [bool(re.search(said, text)) for text in wrong] == ([True] if said else [])
