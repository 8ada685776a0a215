"""The meta of a call: what the sender says beside the arguments, packed under letters that older workers know."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.call_meta import TickOfCall
from brokers.schema import NO_META, CallMeta

WHOLE = CallMeta(
    ["a", "b"], "load", "parent", True, True, "shop.py", b"options", "hash", ["q", "~p"], ["trace", "", False], 2, 1
)
OF_0_1: dict[str, Any] = {
    "g": ["a", "b"],
    "N": "load",
    "P": "parent",
    "L": True,
    "c": True,
    "S": "shop.py",
    "o": b"options",
    "F": "hash",
    "q": ["q", "~p"],
    "t": ["trace", "", False],
    "v": 2,
}


def test_it_is_written_with_the_letters_of_0_1_and_read_again() -> None:
    packed = WHOLE.pack()
    assert packed == msgpack.packb(OF_0_1)
    assert CallMeta.unpack(packed) == CallMeta.shown(packed) == WHOLE


def test_nothing_to_say_is_no_bytes() -> None:
    assert NO_META.pack() is None
    assert CallMeta.unpack(None) == CallMeta.unpack(b"") == CallMeta.shown(None) == NO_META


def test_what_a_later_version_says_is_ignored() -> None:
    assert CallMeta.unpack(msgpack.packb({"zz": {"later": [1]}, b"g": 1, "N": "load"})).task_name == "load"


@pytest.mark.parametrize(
    "misfit",
    [{"g": "a"}, {"g": [1]}, {"P": 1}, {"c": 1}, {"o": "text"}, {"q": []}, {"q": [1]}, {"v": "1"}, {"L": None}],
)
def test_a_part_of_another_type_is_refused_by_workers_and_absent_in_lists(misfit: dict[str, Any]) -> None:
    (letter,) = misfit
    packed = msgpack.packb({**misfit, "N": "load"})
    with pytest.raises(ValueError, match=f"the call's meta has a '{letter}' that is none"):
        CallMeta.unpack(packed)
    assert CallMeta.shown(packed) == CallMeta(task_name="load")


@given(st.binary(max_size=80))
def test_whatever_the_store_holds_is_read_or_a_value_error(packed: bytes) -> None:
    shown = CallMeta.shown(packed)
    with suppress(ValueError):
        assert CallMeta.unpack(packed) == shown


@pytest.mark.parametrize(
    ("scheduled", "read"),
    [
        (None, None),
        (["s", 1000, 3, "3 earlier ticks missed"], TickOfCall("s", 1000, 3, "3 earlier ticks missed")),
        (["s", 1000, 0], TickOfCall("s", 1000, 0, "")),
        (["s", 1000, 0, 7, "later"], TickOfCall("s", 1000, 0, "")),
        (["s", "noon", 0], None),
        ([], None),
    ],
)
def test_the_tick_of_a_call_is_read_or_absent(scheduled: list[Any] | None, read: TickOfCall | None) -> None:
    assert CallMeta(scheduled=scheduled).tick == read
