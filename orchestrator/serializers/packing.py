"""Packing: one value, with everything inside it, becomes msgpack.

Duties of a :class:`Packing`: (1) answer msgpack when it meets a type it does not know, (2) note the runs that the value
waits for, (3) note whether it had to pickle, so that the body gets signed, (4) refuse what is nested too deeply before
the C stack does. It lives for one body; its packers, which own buffers, are used again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers import buffers, pickling, signing
from orchestrator.serializers.extensions import find_writer, known_writer
from orchestrator.serializers.signing import KeyRing
from orchestrator.serializers.wire import HANDLE, MAX_DEPTH, UPSTREAM, ExtType, Packer

TOO_DEEP = "it is nested too deeply, or contains itself"
WITHOUT_A_KEY = (
    "msgpack does not know this type and pickling is off because there is no secret key: "
    "set ORCHESTRATOR_SECRET_KEY (the same value on every client and worker), or pass something that travels without "
    "pickle (numbers, text, bytes, lists, dicts, dates, enums, dataclasses, pydantic models, ...)"
)

_NATIVE = frozenset((type(None), bool, float, str, bytes, list, dict, ExtType))
_FIRST_BUFFER_BYTES = 16_384
_NESTED_BUFFER_BYTES = 1_024
_KEPT_BODY_BYTES = 1_048_576  # a packer never gives its buffer back: one that packed a large body is not kept

# The C packer takes about 400 bytes of stack per list or dict that lies in another, and may do so 511 times each time
# we call it. The first levels may use that up; further inside we count.
_UNCOUNTED_LEVELS = 8
_PLAIN_DEPTH_INSIDE = 32


class Packing:
    """The packing of one body. Replacement functions meet it as their second argument."""

    __slots__ = (
        "_depth",
        "_packers",
        "_ring",
        "_unicode_errors",
        "exceptions_open",
        "in_call",
        "must_sign",
        "upstreams",
    )

    def __init__(self, *, in_call: bool = False, surrogates: bool = False, may_pickle: bool = True) -> None:
        self.in_call = in_call
        self.upstreams: dict[str, bool] | None = None
        self.must_sign = False
        self._ring: Any = may_pickle  # True: not asked for yet
        self._unicode_errors = "surrogatepass" if surrogates else None
        self._depth = 0
        self.exceptions_open = 0
        self._packers = [self._new_packer(_FIRST_BUFFER_BYTES)]

    def pack(self, value: Any) -> bytes:
        """The msgpack of ``value``; for writers, the inside of an extension."""
        depth = self._depth
        if depth >= _UNCOUNTED_LEVELS:
            _refuse_depth(depth, value)
        if depth == len(self._packers):
            self._packers.append(self._new_packer(_NESTED_BUFFER_BYTES))
        self._depth = depth + 1
        try:
            packed: bytes = self._packers[depth].pack(value)
            # msgpack packs bytearrays and memoryviews without asking, and they would arrive as bytes.
            if (b"\xc4" in packed or b"\xc5" in packed or b"\xc6" in packed) and buffers.among(value):
                packed = self._packers[depth].pack(buffers.marked(value, self))
        finally:
            self._depth = depth
        return packed

    def pack_plain(self, value: Any) -> bytes | None:
        """The msgpack of ``value``, or ``None`` if it would need a pickle or cannot be packed."""
        ring, self._ring = self._ring, False
        try:
            return self.pack(value)
        except UnicodeEncodeError:
            if self.strict_text:
                raise
            return None
        except Exception:
            return None
        finally:
            self._ring = ring

    def replace(self, obj: Any) -> object:
        """What msgpack is to pack in the place of ``obj``, which it does not know."""
        write = known_writer(type(obj)) or find_writer(type(obj))
        return write(obj, self)

    def replaced(self, obj: object) -> object:
        """``obj``, taken on until msgpack knows it."""
        return obj if type(obj) in _NATIVE else self.replace(obj)

    def upstream(self, run_id: str, goes_on_after_failure: bool = False) -> object:
        """Note that the call waits for this run, and return what is packed in the place of its result.

        Args:
            run_id: The id of the run.
            goes_on_after_failure: Whether the call runs even when that run fails. If a run is named more than once,
                all of them must agree to go on.

        In a result nothing waits: there the run becomes a handle for whoever reads the result.
        """
        if not self.in_call:
            return ExtType(HANDLE, run_id.encode())
        if self.upstreams is None:
            self.upstreams = {}
        self.upstreams[run_id] = goes_on_after_failure and self.upstreams.get(run_id, True)
        return ExtType(UPSTREAM, run_id.encode())

    @property
    def key_ring(self) -> KeyRing | None:
        """The keys that may sign this body; ``None``: it must not hold pickles."""
        if self._ring is True:
            self._ring = signing.key_ring()
        return self._ring or None

    @property
    def may_pickle(self) -> bool:
        """Whether pickles may go into this body, if there is a key."""
        return self._ring is not False

    @property
    def strict_text(self) -> bool:
        """Whether text with lone surrogates is still refused (a second packing will accept it)."""
        return self._unicode_errors is None

    def pickled(self, obj: object) -> bytes:
        """A pickle of ``obj``; the body will be signed.

        Raises:
            SerializationError: there is no key.
        """
        if self.key_ring is None:
            raise SerializationError(WITHOUT_A_KEY)
        self.must_sign = True
        return pickling.dump(obj, self)

    def put_back(self, body_bytes: int) -> None:
        """Keep it for the next body. One that raised is not put back, so it starts clean."""
        if self._unicode_errors is None and body_bytes <= _KEPT_BODY_BYTES:
            self.upstreams = None
            self.must_sign = False
            self._ring = True
            _idle.append(self)

    def _new_packer(self, buffer_bytes: int) -> Any:
        return Packer(
            strict_types=True, default=self.replace, unicode_errors=self._unicode_errors, buf_size=buffer_bytes
        )


# A list hands out and takes back atomically, so one list serves all threads; a packing inside a packing takes another.
_idle: list[Packing] = []


def pack_body(value: Any, in_call: bool) -> tuple[bytes, Packing]:
    """Pack one value; read what was noted from the packing, then :meth:`Packing.put_back` it."""
    try:
        packing = _idle.pop()
    except IndexError:
        packing = Packing()
    packing.in_call = in_call
    try:
        return packing.pack(value), packing
    except UnicodeEncodeError:
        # Text with lone surrogates (file names, mostly). Accepting it costs a copy of every text: only then.
        packing = Packing(in_call=in_call, surrogates=True)
        return packing.pack(value), packing


def _refuse_depth(depth: int, value: object) -> None:
    if depth > MAX_DEPTH or not _is_shallow(value, _PLAIN_DEPTH_INSIDE):
        raise SerializationError(TOO_DEEP)


def _is_shallow(value: object, levels: int) -> bool:
    layer: list[object] = [value]
    for _ in range(levels):
        parts = (part for item in layer for part in _parts(item) if type(part) is list or type(part) is dict)
        layer = list({id(part): part for part in parts}.values())  # each once, however often it is mentioned
        if not layer:
            return True
    return False


def _parts(item: object) -> Iterable[object]:
    if type(item) is list:
        return item
    return item.values() if type(item) is dict else ()
