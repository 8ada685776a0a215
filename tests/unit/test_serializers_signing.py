"""Keys, and what a signature covers."""

from __future__ import annotations

import hmac
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers import (
    NO_PROTECTION,
    KeyRing,
    Protection,
    pack_call,
    pack_value,
    protect,
    set_key_ring,
    unpack_call,
    unpack_value,
)
from orchestrator.serializers.outcomes import end_context
from orchestrator.serializers.signing import SharedContext, joined
from orchestrator.submission.signed_calls import LONGEST_REMEMBERED, _shared_context, call_context

RUN = "0199f1c2-0000-8000-8000-00000000002a"


class Plain:
    def __init__(self, inside: Any) -> None:
        self.inside = inside


def context() -> tuple[str | bytes, ...]:
    return ("call", "1", "shop.order", "default", "run-1", b"meta")


@pytest.fixture(autouse=True)
def forget_keys() -> Any:
    yield
    set_key_ring(lambda: None)


def use(*keys: bytes) -> None:
    set_key_ring(lambda: KeyRing(keys))


def test_without_a_key_nothing_is_pickled_and_the_error_says_what_to_do() -> None:
    with pytest.raises(SerializationError) as caught:
        pack_call([1, {"callback": [len, Plain(1)]}], {}, context=context)
    text = str(caught.value)
    assert "args[1]['callback'][0]" in text
    assert "builtin_function_or_method" in text
    assert "ORCHESTRATOR_SECRET_KEY" in text


def test_plain_bodies_ask_neither_for_keys_nor_for_the_context() -> None:
    set_key_ring(lambda: pytest.fail("asked for keys"))
    body = pack_call([(1, {2})], {}, context=lambda: pytest.fail("asked for the context")).body
    assert unpack_call(body, context=lambda: pytest.fail("asked"), upstream_values={})[0] == [(1, {2})]


def test_a_pickle_comes_back_under_the_same_key() -> None:
    use(b"a" * 32)
    body = pack_call([Plain(1)], {"x": Plain(2)}, context=context).body
    args, kwargs = unpack_call(body, context=context, upstream_values={})
    assert (args[0].inside, kwargs["x"].inside) == (1, 2)


def test_keys_can_be_changed_without_a_pause() -> None:
    use(b"old" * 11)
    body = pack_value(Plain(1), context=context)
    use(b"new" * 11, b"old" * 11)
    assert unpack_value(body, context=context).inside == 1
    newer = pack_value(Plain(2), context=context)
    use(b"new" * 11)
    assert unpack_value(newer, context=context).inside == 2
    with pytest.raises(UntrustedPayload, match="another ORCHESTRATOR_SECRET_KEY"):
        unpack_value(body, context=context)


def test_without_a_key_no_pickle_is_read() -> None:
    use(b"a" * 32)
    body = pack_value(Plain(1), context=context)
    set_key_ring(lambda: None)
    with pytest.raises(UntrustedPayload, match="set ORCHESTRATOR_SECRET_KEY"):
        unpack_value(body, context=context)


parts = st.lists(st.text(max_size=4) | st.binary(max_size=4), max_size=4)


def as_bytes(context: list[str | bytes]) -> list[bytes]:
    return [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in context]


@given(parts, parts)
def test_a_body_is_good_in_its_own_context_only(mine: list[str | bytes], other: list[str | bytes]) -> None:
    use(b"a" * 32)
    body = pack_call([Plain(1)], {}, context=lambda: mine).body
    unpack_call(body, context=lambda: mine, upstream_values={})
    if as_bytes(mine) != as_bytes(other):
        with pytest.raises(UntrustedPayload):
            unpack_call(body, context=lambda: other, upstream_values={})


ids = st.text(max_size=300) | st.text("0123456789abcdef-", min_size=36, max_size=36)


@given(parts, ids, parts)
def test_what_contexts_share_changes_none_of_them(
    before: list[str | bytes], its_id: str, after: list[str | bytes]
) -> None:
    assert SharedContext(before, after).of(its_id) == joined((*before, its_id, *after))


def test_a_context_of_too_many_parts_is_not_shared() -> None:
    assert SharedContext(["a"] * 7, ["b"] * 7).of("i") == joined(["a"] * 7 + ["i"] + ["b"] * 7)
    with pytest.raises(ValueError, match="15 parts"):
        SharedContext(["a"] * 8, ["b"] * 7)


@pytest.mark.parametrize("meta", [b"", b"\x81\xa1q\xa4mail", b"m" * 2000], ids=len)
@pytest.mark.parametrize("args", [[7, "text"], [(1, 2)]], ids=["scalars", "others"])
def test_workers_of_earlier_versions_check_the_same_signature(meta: bytes, args: list[Any]) -> None:
    """The text that it is made of, written down once more: it must never change."""
    ring = KeyRing([b"a" * 32])
    set_key_ring(lambda: ring)
    protect(Protection(signs=True, demands=True))
    try:
        body = pack_call(args, {}, context=lambda: call_context("shop.order", RUN, meta)).body
    finally:
        protect(NO_PROTECTION)
    assert body[0] == 0x81
    context = msgpack.packb(["call", "1", "shop.order", RUN, meta])
    text = b"orchestrator body 2" + b"\x81" + context + body[33:]
    assert body[1:33] == hmac.digest(b"a" * 32, text, "sha256")


@pytest.mark.parametrize("letter", "CFKZN")
def test_the_context_of_an_end_is_what_it_was(letter: str) -> None:
    assert joined(end_context(RUN, letter)) == msgpack.packb(["outcome", RUN, letter])


def test_a_large_meta_is_not_remembered() -> None:
    before = _shared_context.cache_info().currsize
    call_context("shop.order", RUN, b"m" * LONGEST_REMEMBERED)
    assert _shared_context.cache_info().currsize == before


def test_parts_do_not_run_into_each_other() -> None:
    use(b"a" * 32)
    body = pack_value(Plain(1), context=lambda: ("ab", "c"))
    with pytest.raises(UntrustedPayload):
        unpack_value(body, context=lambda: ("a", "bc"))


def test_a_large_body_is_signed_as_it_is_sent_and_compressed() -> None:
    use(b"a" * 32)
    body = pack_value(Plain("x" * 100_000), context=context)
    assert body[0] == 0xC1
    assert len(body) < 2_000
    assert unpack_value(body, context=context).inside == "x" * 100_000


@pytest.mark.parametrize("keys", [[], [b""], [b"a", b""]])
def test_a_ring_without_keys_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)


def test_keys_do_not_show() -> None:
    assert "secret" not in repr(KeyRing([b"secret"]))
