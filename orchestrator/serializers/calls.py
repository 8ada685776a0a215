"""The arguments of a call, there and back. This is on the way of every call: the plain path stays short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgpack import Packer

from orchestrator.errors import SerializationError
from orchestrator.serializers import protection
from orchestrator.serializers.explaining import explained_call
from orchestrator.serializers.framing import DEFAULT_LIMITS, MSGPACK, PLAIN_MSGPACK, PayloadLimits, open_body, seal
from orchestrator.serializers.packing import pack_body
from orchestrator.serializers.reading import NO_UPSTREAMS, Reading, unreadable
from orchestrator.serializers.signing import Context

KEPT_BUFFER_BYTES: Final = 65_536
_SCALARS: Final = frozenset((int, float, bool, str, type(None)))
_pack_scalars = Packer(strict_types=True).pack  # it calls no code of ours: one serves all threads


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
    if not kwargs and _SCALARS.issuperset(map(type, args)):
        short = _packed_scalars(args, limits, context)
        if short is not None:
            return PackedCall(short, None)
    positional, named = list(args), kwargs if type(kwargs) is dict else dict(kwargs)
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
    packing.put_back(size)
    return PackedCall(body, upstreams)


def _packed_scalars(args: Sequence[Any], limits: PayloadLimits, context: Context) -> bytes | None:
    """The body of a call with nothing but numbers and texts, as most calls of maps; ``None``: go the long way."""
    global _pack_scalars
    try:
        data: bytes = _pack_scalars([list(args), {}])
    except Exception:  # an integer of more than 64 bits, a lone surrogate
        return None
    size = len(data)
    if size > KEPT_BUFFER_BYTES:  # its buffer stays as large as that
        _pack_scalars = Packer(strict_types=True).pack
    if size > limits.compress_above_bytes or size > limits.max_bytes:
        return None
    return seal(MSGPACK, data, limits, context=context) if protection.wanted else PLAIN_MSGPACK + data


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


def is_plain_call(body: bytes) -> bool:
    """Whether a call is as plain as most are: not signed, encrypted or compressed, and need not be signed."""
    return body[:1] == PLAIN_MSGPACK and not protection.demanded


def read_plain_call(
    body: bytes, upstream_values: Mapping[str, Any] = NO_UPSTREAMS
) -> tuple[list[Any], dict[str, Any]] | None:
    """The arguments of a call that is as plain as most are: not signed, not compressed.

    ``None``: it is something else, or cannot be read; :func:`open_call` and :func:`read_call` say what.
    """
    if body[:1] != PLAIN_MSGPACK or protection.demanded:
        return None
    try:
        return _arguments(Reading(False, upstream_values).unpack(body[1:]))
    except Exception:
        return None


def resealed_call(
    body: bytes, *, context: Context, new_context: Context, limits: PayloadLimits = DEFAULT_LIMITS
) -> bytes:
    """The same arguments in another place; nothing of them is decoded.

    Args:
        body: What :func:`pack_call` made.
        context: What it was packed with.
        new_context: What reading it there needs.
        limits: ``max_bytes`` bounds what a compressed body may grow to.

    Raises:
        UntrustedPayload, EncryptionKeyMissing, SerializationError: as :func:`unpack_call` does.

    >>> body = pack_call([1], {}, context=lambda: ("call", "first")).body
    >>> body = resealed_call(body, context=lambda: ("call", "first"), new_context=lambda: ("call", "second"))
    >>> unpack_call(body, context=lambda: ("call", "second"), upstream_values={})
    ([1], {})
    """
    if body[:1] == PLAIN_MSGPACK and not protection.wanted and not protection.demanded:
        return body
    try:
        form, data, trusted = open_body(body, context, limits)
        _expect_msgpack(form)
    except Exception as error:
        raise unreadable("the call", error) from error
    return seal(form, data, limits, must_sign=trusted, context=new_context)


def _expect_msgpack(form: int) -> None:
    if form != MSGPACK:
        raise SerializationError(f"format {form} is not one that calls are written in")


def _arguments(call: Any) -> tuple[list[Any], dict[str, Any]]:
    if type(call) is list and len(call) >= 2:  # a newer writer may have put more behind them
        args, kwargs = call[0], call[1]
        if type(args) is list and type(kwargs) is dict and (not kwargs or all(type(name) is str for name in kwargs)):
            return args, kwargs
    raise SerializationError("the body holds something else than the arguments of a call")
