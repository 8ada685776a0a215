"""How the index writes things down: numbers for names, keys for run ids, one number for a place in the journal."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
_ENTRY_BITS: Final = 11  # entries of one millisecond
_RUN_BITS: Final = 10  # runs of one entry
_SHIFT: Final = _ENTRY_BITS + _RUN_BITS
NEWEST: Final = (1 << 63) - 1


class Interned(Generic[T]):
    """Numbers for values that are few and repeated.

    >>> interned = Interned()
    >>> interned.number("a"), interned.number("b"), interned.number("a"), interned[1]
    (0, 1, 0, 'b')
    """

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._things: list[T] = []

    def number(self, thing: T) -> int:
        """The number of a thing, a new one if it has none."""
        found = self._numbers.get(thing)
        if found is None:
            found = self._numbers[thing] = len(self._things)
            self._things.append(thing)
        return found

    def known(self, thing: T) -> int | None:
        """Its number, if it has one."""
        return self._numbers.get(thing)

    def __getitem__(self, number: int) -> T:
        return self._things[number]

    def where(self, wanted: Callable[[T], object]) -> list[int]:
        """The numbers of the things that are wanted."""
        return [number for number, thing in enumerate(list(self._things)) if wanted(thing)]

    def all(self) -> list[T]:
        """Every thing."""
        return list(self._things)


def key_of(run_id: str) -> bytes:
    """16 bytes for an id that is a UUID, else its text with a mark.

    >>> id_of(key_of("01890a5d-ac96-774b-bcce-b302099a8057")), id_of(key_of("order-1234567-x"))
    ('01890a5d-ac96-774b-bcce-b302099a8057', 'order-1234567-x')
    """
    if len(run_id) == 36 and run_id[8] == run_id[13] == run_id[18] == run_id[23] == "-" and run_id.lower() == run_id:
        try:
            key = bytes.fromhex(run_id.replace("-", ""))
        except ValueError:
            key = b""
        if len(key) == 16:
            return key
    text = b"t" + run_id.encode("utf-8", "surrogateescape")
    return text + b"\0" if len(text) == 16 else text


def id_of(key: bytes) -> str:
    """The id of a key."""
    if len(key) != 16:
        return key[1:].removesuffix(b"\0").decode("utf-8", "surrogateescape")
    text = key.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def sequence_of(position: str, number: int = 0) -> int:
    """The place of a run: the number'th in an entry of the journal. Later runs have larger ones.

    It does not depend on what was read before, so cursors outlive a restart.

    >>> sequence_of("1700000000000-1", 2) > sequence_of("1700000000000-1", 1) > sequence_of("1700000000000-0", 999)
    True
    """
    moment, _, entry = position.partition("-")
    return (int(moment) << _SHIFT) + (int(entry or 0) << _RUN_BITS) + number


def sequence_at(milliseconds: float) -> int:
    """The first place of a moment."""
    return max(0, min(int(milliseconds), NEWEST >> _SHIFT)) << _SHIFT


def moment_of(sequence: int) -> int:
    """Unix milliseconds of a place.

    >>> moment_of(sequence_of("1700000000000-1", 2))
    1700000000000
    """
    return sequence >> _SHIFT


def cursor_from(text: str | None) -> int:
    """The place that a cursor names, :data:`NEWEST` for none.

    Raises:
        ValueError: it is not one of ours.
    """
    if text is None:
        return NEWEST
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError(f"{text[:40]!r} is not a cursor: give one that a page had, or none")
    return min(int(text), NEWEST)
