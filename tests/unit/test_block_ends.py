"""Ends of calls of a block that came together; what the store has written may be damaged."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from brokers.block_ends import BlockEnds, outcomes_in
from brokers.block_ids import BlockRunIds
from orchestrator.runs.run_ids import new_map_run_ids

BLOCK = b"0199f1c2-0000-8000-8000-00000000"


def test_ends_are_read_one_by_one() -> None:
    ends = BlockEnds.checked([BLOCK, b"\x02\x7f", b"CF", msgpack.packb([b"one", b""])])
    assert ends.each() == [(f"{BLOCK.decode()}0002", b"C", b"one"), (f"{BLOCK.decode()}007f", b"F", b"")]
    assert not ends.is_whole, "one outcome has to be read from the store"
    assert ends._replace(packed=msgpack.packb([b"one", b"other"])).is_whole
    without = BlockEnds.checked([BLOCK, b"\x02", b"C", b""])
    assert (without.is_whole, without.each()) == (False, [(f"{BLOCK.decode()}0002", b"C", b"")])


@pytest.mark.parametrize(
    "piece",
    [
        [BLOCK, b"\x02", b"C"],
        [BLOCK, b"\x02", b"CC", msgpack.packb([b"one"])],
        [BLOCK, b"\x02", b"R", msgpack.packb([b"one"])],
        [BLOCK, b"\x02", b"\0", msgpack.packb([b"one"])],
        [BLOCK, b"\x02\x03", b"CC", msgpack.packb([b"one"])],
        [BLOCK, b"\x02", b"C", msgpack.packb({b"a": b"b"})],
        [BLOCK, b"\x02", b"C", msgpack.packb([7])],
        [BLOCK, b"\x02", b"C", b"\xc1"],
        [BLOCK, b"\x02", b"C", b"\x91"],
        [b"\xff\xfe", b"\x02", b"C", msgpack.packb([b"one"])],
        [BLOCK, 2, b"C", msgpack.packb([b"one"])],
        [BLOCK, b"\x02", [b"C"], msgpack.packb([b"one"])],
        7,
    ],
)
def test_what_somebody_damaged_is_refused(piece: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        BlockEnds.checked(piece)


def test_outcomes_are_bytes() -> None:
    with pytest.raises(ValueError, match="not bytes"):
        outcomes_in(msgpack.packb([b"x", ["y"]]))


@pytest.mark.parametrize("count", [1, 3, 4, 127, 128, 129, 131, 132, 300])
def test_ids_of_a_map_are_those_of_a_list(count: int) -> None:
    run_ids = new_map_run_ids(count)
    plain = list(run_ids)
    assert len(run_ids) == len(plain) == len(set(plain)) == count
    assert [run_ids[at] for at in range(count)] == plain
    assert [run_ids[at - count] for at in range(count)] == plain
    for chosen in (
        slice(None),
        slice(5, 130),
        slice(-3, None),
        slice(None, None, -2),
        slice(200, 100),
        slice(128, 256),
    ):
        assert run_ids[chosen] == plain[chosen]
    for outside in (count, -count - 1):
        with pytest.raises(IndexError):
            run_ids[outside]
    assert [run_ids.position(run_id) for run_id in plain] == list(range(count))


def test_what_is_not_quite_an_id_of_a_map_is_none() -> None:
    run_ids = BlockRunIds([BLOCK.decode()], 5, [])
    for ending in ("", "0005", "0000 ", "00ff", "000A", "+001", "0", "00000"):
        assert run_ids.position(BLOCK.decode() + ending) is None
    assert 7 not in run_ids
