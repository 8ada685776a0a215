"""The arguments of a call, there and back. This is on the way of every call: the plain path stays short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import SerializationError
from orchestrator.serializers import protection
from orchestrator.serializers.explaining import explained_call
from orchestrator.serializers.framing import DEFAULT_LIMITS, MSGPACK, PLAIN_MSGPACK, PayloadLimits, open_body, seal
from orchestrator.serializers.packing import pack_body, put_back
from orchestrator.serializers.reading import Reading, unreadable
from orchestrator.serializers.signing import Context
from orchestrator.serializers.stdlib_types import carry_bytearrays


class PackedCall(NamedTuple):
    """The arguments of a call in bytes.

    ``upstreams`` are the runs whose results are among the arguments, each once, in the order met: pairs of the run id
    and whether the call goes on when that run fails. ``None``: none.
    """

    body: bytes
    upstreams: list[tuple[str, bool]] | None


def pack_call(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    context: Context,
    limits: PayloadLimits = DEFAULT_LIMITS,
) -> PackedCall:
    """Pack the arguments of a call.

    Args:
        args: The positional arguments.
        kwargs: The keyword arguments.
        context: Where the body belongs, for example ``("call", "1", task, run_id, options)``; called only if the body
            is signed or encrypted. Reading it needs the same.
        limits: Sizes in bytes.

    Raises:
        SerializationError: an argument cannot be packed; the message names it, its type, and what to do.
        PayloadTooLarge: all of it together is above the hard limit.

    >>> packed = pack_call([1], {"when": None}, context=lambda: ("call", "shop.order"))
    >>> packed.upstreams is None
    True
    >>> unpack_call(packed.body, context=lambda: ("call", "shop.order"), upstream_values={})
    ([1], {'when': None})
    """
    positional = carry_bytearrays(list(args))
    named = kwargs if type(kwargs) is dict and not kwargs else _named(kwargs)
    try:
        data, packing = pack_body([positional, named], True)
    except Exception as error:
        explanation = explained_call(args, kwargs, error)
        raise explanation from explanation.__cause__
    size = len(data)
    plain = not packing.must_sign and not protection.wanted
    if plain and size <= limits.compress_above_bytes and size <= limits.max_bytes:
        body = PLAIN_MSGPACK + data
    else:
        body = seal(MSGPACK, data, limits, must_sign=packing.must_sign, context=context)
    upstreams = None if packing.upstreams is None else list(packing.upstreams.items())
    put_back(packing, size)
    return PackedCall(body, upstreams)


def unpack_call(
    body: bytes,
    *,
    context: Context,
    upstream_values: Mapping[str, Any],
    limits: PayloadLimits = DEFAULT_LIMITS,
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, with the results of upstream runs in their places.

    Args:
        body: What :func:`pack_call` made.
        context: The same parts that it was packed with; called only if the body is signed or encrypted.
        upstream_values: The results, under the run ids that ``PackedCall.upstreams`` named.
        limits: ``max_bytes`` bounds what a compressed body may grow to.

    Raises:
        UntrustedPayload: a signature that is missing where one is needed or does not fit, a changed ciphertext, or a
            decompression bomb.
        EncryptionKeyMissing: it is encrypted, and the key is not here.
        SerializationError: the bytes are no call, or one that cannot be restored here.
    """
    return read_call(open_call(body, context=context, limits=limits), upstream_values)


class OpenedCall(NamedTuple):
    """The arguments of a call, still packed, after its signature was checked."""

    data: bytes
    trusted: bool


def open_call(body: bytes, *, context: Context, limits: PayloadLimits = DEFAULT_LIMITS) -> OpenedCall:
    """The first half of :func:`unpack_call`: nothing has been decoded yet. What is in ``context`` may then be used."""
    if body[:1] == PLAIN_MSGPACK and not protection.demanded:
        return OpenedCall(body[1:], False)
    try:
        form, data, trusted = open_body(body, context, limits)
        _expect_msgpack(form)
    except Exception as error:
        raise unreadable("the call", error) from error
    return OpenedCall(data, trusted)


def read_call(opened: OpenedCall, upstream_values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The second half."""
    try:
        return _arguments(Reading(opened.trusted, upstream_values).unpack(opened.data))
    except Exception as error:
        raise unreadable("the call", error) from error


def _named(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if bytearray not in map(type, kwargs.values()):
        return kwargs if type(kwargs) is dict else dict(kwargs)
    return dict(zip(kwargs, carry_bytearrays(list(kwargs.values())), strict=True))


def _expect_msgpack(form: int) -> None:
    if form != MSGPACK:
        raise SerializationError(f"format {form} is not one that calls are written in")


def _arguments(call: Any) -> tuple[list[Any], dict[str, Any]]:
    if type(call) is list and len(call) >= 2:  # a newer writer may have put more behind them
        args, kwargs = call[0], call[1]
        if type(args) is list and type(kwargs) is dict and all(type(name) is str for name in kwargs):
            return args, kwargs
    raise SerializationError("the body holds something else than the arguments of a call")
