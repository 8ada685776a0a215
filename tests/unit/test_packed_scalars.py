"""Calls with nothing but numbers and texts take a short way to the same bytes as all others."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.serializers import (
    NO_PROTECTION,
    CipherRing,
    PayloadLimits,
    Protection,
    calls,
    pack_call,
    protect,
    unpack_call,
)


class Number(int):
    """No plain number."""


VALUES: list[list[Any]] = [
    [],
    [1],
    [-1, 0, 2**63, 1.5, float("inf"), True, None, "", "text", "ÿ\N{SNOWMAN}"],
    ["lone \udce9 surrogate"],
    [b"bytes", 1],
    [Number(4)],
    [(1, "a")],
    ["x" * 100_000],
    ["x" * 3_000_000],
]


def _context() -> tuple[str, ...]:
    return ("call", "app.task")


def _packed(args: list[Any], limits: PayloadLimits) -> Any:
    try:
        return pack_call(args, {}, context=_context, limits=limits)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("args", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("limits", [PayloadLimits(), PayloadLimits(compress_above_bytes=10, max_bytes=50_000)])
def test_the_short_way_leads_to_the_same_bytes(
    args: list[Any], limits: PayloadLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = _packed(args, limits)
    monkeypatch.setattr(calls, "_SCALARS", frozenset({dict}) if args else frozenset())
    monkeypatch.setattr(calls, "_packed_scalars", lambda *given: None)
    assert short == _packed(args, limits)


def test_an_integer_of_more_than_64_bits_goes_the_long_way_and_the_next_call_the_short_one() -> None:
    for value in (1 << 70, 1):
        body = pack_call([value], {}, context=_context).body
        assert unpack_call(body, context=_context, upstream_values={}) == ([value], {})


def test_what_is_encrypted_takes_no_short_way() -> None:
    plain = pack_call(["secret"], {}, context=_context).body
    protect(Protection(False, False, CipherRing([b"k" * 32])))
    try:
        assert b"secret" not in pack_call(["secret"], {}, context=_context).body
    finally:
        protect(NO_PROTECTION)
    assert b"secret" in plain
