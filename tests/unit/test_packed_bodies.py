"""Bodies of the calls of a map, kept joined: to whoever reads them a list like any other."""

from __future__ import annotations

import pytest

from brokers import framed_calls
from brokers.framed_calls import SMALL, PackedBodies
from tests.support.memory import made_with_size


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 256, 300])
@pytest.mark.parametrize("size", [0, 7, 2 * SMALL])
def test_they_are_those_that_were_put_in(count: int, size: int) -> None:
    plain = [b"%d" % number + b"x" * (number % 3 * size) for number in range(count)]
    bodies = PackedBodies(plain)
    assert list(bodies) == plain
    assert len(bodies) == count
    assert [bodies[at] for at in range(-count, count)] == plain * 2
    for chosen in (
        slice(None),
        slice(0, 128),
        slice(128, 256),
        slice(100, 140),
        slice(-5, None),
        slice(None, None, -3),
    ):
        assert bodies[chosen] == plain[chosen]
    for outside in (count, -count - 1):
        with pytest.raises(IndexError):
            bodies[outside]


def test_small_ones_cost_little_more_than_their_bytes() -> None:
    def packed() -> PackedBodies:
        return PackedBodies(b"0123456" + b"%d" % (number % 10) for number in range(12_800))

    bodies, taken = made_with_size(packed, framed_calls)
    assert len(bodies) == 12_800
    assert taken < 16 * 12_800
