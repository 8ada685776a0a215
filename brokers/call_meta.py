"""The meta of a call: what its sender records beside the arguments, under letters that older workers know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgpack


def _is(*types: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, types)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


class TickOfCall(NamedTuple):
    """A tick of a schedule."""

    schedule_id: str
    tick_ms: int
    missed: int  # ticks before it that had no run, since nobody was there
    note: str  # for people, such as "3 earlier ticks missed"


class CallMeta(NamedTuple):
    """What the sender says of a call beside its arguments, packed into one field of the record.

    >>> CallMeta.unpack(CallMeta(tags=["nightly"], task_name="load").pack()).tags
    ['nightly']
    >>> CallMeta().pack() is None
    True
    """

    tags: Sequence[str] = ()
    task_name: str | None = None  # for people; absent where it is the function's
    parent_run_id: str | None = None  # the task run that made the call
    log_prints: bool | None = None
    class_left_out: bool = False  # the class of a class method does not travel: the worker's task knows it
    script: str | None = None  # the file of a task that was defined in ``__main__``
    options: bytes | None = None  # packed options that differ from the task's
    flow_parameters_hash: str | None = None
    signed_for: str | list[str] | None = None  # the queues in which a signed call may be found
    trace: list[Any] | None = None  # W3C traceparent, tracestate, whether it is a link
    written_by: int = 1
    readable_by: int = 1
    scheduled: list[Any] | None = None  # the schedule that made the call, its tick (ms), ticks missed before it, a note

    @property
    def tick(self) -> TickOfCall | None:
        """The tick of a schedule for which the call was made; ``None``: for none, or it cannot be read."""
        match self.scheduled:
            case [str(schedule_id), int(tick_ms), int(missed), *more]:
                return TickOfCall(schedule_id, tick_ms, missed, more[0] if more and isinstance(more[0], str) else "")
        return None

    def pack(self) -> bytes | None:
        """The bytes of it; ``None`` when there is nothing to say."""
        fields = {
            letter: value for letter, value, absent in zip(_META, self, _META_DEFAULTS, strict=True) if value != absent
        }
        return msgpack.packb(fields) if fields else None

    @classmethod
    def unpack(cls, packed: bytes | None) -> CallMeta:
        """Read what came with a delivery; what is not known here is ignored.

        Raises:
            ValueError: it is no meta, or one of its parts is of another type than it should be.
        """
        return cls._read(packed, _refuse) if packed else NO_META

    @classmethod
    def shown(cls, packed: bytes | None) -> CallMeta:
        """The same for a list or a page: parts that cannot be read are absent. Never raises."""
        try:
            return cls._read(packed, lambda letter: None) if packed else NO_META
        except ValueError:
            return NO_META

    @classmethod
    def _read(cls, packed: bytes, on_misfit: Callable[[str], None]) -> CallMeta:
        try:
            read = msgpack.unpackb(packed)
        except Exception as error:  # msgpack raises half a dozen kinds for foreign bytes
            raise ValueError(f"the call's meta cannot be read: {error}") from None
        if not isinstance(read, dict):
            raise ValueError("the call's meta is not a table")
        found: dict[str, Any] = {}
        for letter, value in read.items():
            part = _META.get(letter)
            if part is None:
                continue
            name, fits = part
            if fits(value):
                found[name] = value
            else:
                on_misfit(letter)
        return cls(**found)


def _refuse(letter: str) -> None:
    raise ValueError(f"the call's meta has a {letter!r} that is none")


_META: Final[dict[str, tuple[str, Callable[[object], bool]]]] = {
    "g": ("tags", _is_texts),
    "N": ("task_name", _is(str)),
    "P": ("parent_run_id", _is(str)),
    "L": ("log_prints", _is(bool)),
    "c": ("class_left_out", _is(bool)),
    "S": ("script", _is(str)),
    "o": ("options", _is(bytes)),
    "F": ("flow_parameters_hash", _is(str)),
    "q": ("signed_for", lambda value: isinstance(value, str) or (_is_texts(value) and bool(value))),
    "t": ("trace", _is(list)),
    "v": ("written_by", _is(int)),
    "n": ("readable_by", _is(int)),
    "s": ("scheduled", _is(list)),
}
"""Letter in the packed meta -> the part of :class:`CallMeta`, in its order, and whether a value can be that part."""

_META_DEFAULTS: Final = tuple(CallMeta._field_defaults[name] for name, _ in _META.values())
NO_META: Final = CallMeta()
