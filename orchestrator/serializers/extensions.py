"""Which function writes a value that msgpack does not know, and which reads it back.

Three tables: replacements (a class and its subclasses, set from outside), exact types, and finders, which look at a
class nobody has met yet. What they answer is remembered per class, so that a value costs one dict lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from orchestrator.serializers.packing import Packing
    from orchestrator.serializers.reading import Reading

Writer: TypeAlias = Callable[[Any, "Packing"], object]
Reader: TypeAlias = Callable[[bytes, "Reading"], Any]
Finder: TypeAlias = Callable[[type], "Writer | None"]

readers: dict[int, Reader] = {}

_exact: dict[type, Writer] = {}
_finders: list[Finder] = []
_replacements: dict[type, Writer] = {}

# Classes can be made without end (inside functions), so what is remembered of them must not grow without end.
_REMEMBERED_CLASSES = 4096
_writers: dict[type, Writer] = {}
_replaced: dict[type, bool] = {}

known_writer = _writers.get
"""The remembered writer of a class, or ``None``: the hot half of :func:`find_writer`."""


def extend(cls: type, code: int, write: Writer, read: Reader) -> None:
    """Say how instances of exactly ``cls`` travel: under which number of ``wire.py``, written and read by whom."""
    _exact[cls] = write
    readers[code] = read


def use_finders(finders: Sequence[Finder]) -> None:
    """Set the functions that are asked, in this order, for the writer of a class without an entry of its own."""
    _finders[:] = finders
    forget_writers()


def register_replacement(cls: type, fn: Writer) -> None:
    """Have something else packed in the place of every instance of ``cls`` and its subclasses, at any depth.

    Args:
        cls: The class. Not one that msgpack packs by itself (``str``, ``list``, ``dict``, ...).
        fn: ``fn(obj, packing)`` returns what is packed instead: any value that can be packed, or what
            ``packing.upstream(run_id, goes_on_after_failure)`` returned. What it raises ends the packing; errors of
            this project reach the caller as they are.

    >>> class Celsius:
    ...     def __init__(self, degrees): self.degrees = degrees
    >>> register_replacement(Celsius, lambda obj, packing: obj.degrees)
    """
    _replacements[cls] = fn
    forget_writers()


def forget_writers() -> None:
    """Ask the tables again for every class."""
    _writers.clear()
    _replaced.clear()


def find_writer(cls: type) -> Writer:
    """The function that writes instances of ``cls``."""
    writer = _replacement_of(cls) or _exact.get(cls) or _ask_finders(cls)
    if len(_writers) >= _REMEMBERED_CLASSES:
        forget_writers()
    _writers[cls] = writer
    return writer


def is_replaced(cls: type) -> bool:
    """Whether instances of ``cls`` have a replacement; asked for every object inside a pickle."""
    answer = _replaced.get(cls)
    if answer is None:
        answer = _replaced[cls] = _replacement_of(cls) is not None
        if len(_replaced) >= _REMEMBERED_CLASSES:
            _replaced.clear()
    return answer


def _replacement_of(cls: type) -> Writer | None:
    for base in cls.__mro__:
        if base in _replacements:
            return _through(_replacements[base])
    return None


def _through(fn: Writer) -> Writer:
    return lambda obj, packing: packing.replaced(fn(obj, packing))


def _ask_finders(cls: type) -> Writer:
    for find in _finders:
        writer = find(cls)
        if writer is not None:
            return writer
    raise LookupError(f"no finder took {cls!r}")  # the last finder takes everything
