"""Who may travel by name, and what goes along: the decision that every named value makes before it is written.

By name go the instances of classes that a reader finds under that name. Others are pickled, whole; without a key to
sign the pickle with they are refused, because a reader could only make something else of them.
"""

from __future__ import annotations

import functools
import types
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.wire import PICKLE, ExtType

_STATE_METHODS: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs_ex__")
_HEAP_TYPE: Final = 1 << 9  # set on classes made by a class statement
_REBUILT: Final = ("pydantic.", "dataclasses", "typing", "enum")  # their state is known to records.py
_NOT_STATE: Final = frozenset(("__orig_class__", "__weakref__"))


def goes_by_name(cls: type, packing: Packing) -> bool:
    """Whether an instance of ``cls`` may be written as its name and parts.

    What nobody has named in an annotation may have to be imported by the reader: such a body is signed, if there is a
    key. A class of a running script without tasks is pickled by value then: workers may not be able to import it.
    """
    if not rebuilds_from_parts(cls):
        return False
    if known_types.is_learned(cls):
        return True
    if not known_types.is_known(cls):
        return False
    if packing.key_ring is not None:
        if known_types.is_of_the_script_only(cls):
            return False
        packing.must_sign = True
    return True


def as_pickle(obj: object, packing: Packing) -> object:
    """The value as a pickle.

    Raises:
        SerializationError: there is no key; says why it cannot go without.
    """
    cls = type(obj)
    if packing.key_ring is None:
        if not rebuilds_from_parts(cls):
            why = "its class says itself how it is pickled, and pickling is off because there is no secret key"
            raise SerializationError(f"{why}: {_WAYS_OUT}")
        why = f"nobody could find its class under its name, {known_types.name_of(cls)}"
        raise SerializationError(f"{why}: define the class at the top of a module that workers import. Or: {_WAYS_OUT}")
    return ExtType(PICKLE, packing.pickled(obj))


_WAYS_OUT: Final = (
    "set ORCHESTRATOR_SECRET_KEY (the same value on every client and worker), or pass its parts as a dict or list"
)


def is_written_in_python(cls: type) -> bool:
    """Whether a class was made by a class statement: it has no state but its attributes and that of its bases."""
    return bool(cls.__flags__ & _HEAP_TYPE)


def _rebuilds(cls: Any) -> bool:
    if hasattr(cls, "_sa_class_manager"):  # SQLAlchemy: what it knows of the object points back at it
        return False
    for base in cls.__mro__:
        if is_written_in_python(base) and base is not Counter and not base.__module__.startswith(_REBUILT):
            for name in _STATE_METHODS:
                method = vars(base).get(name)
                if method is not None and getattr(method, "__module__", "") != "dataclasses":
                    return False
    return True


rebuilds_from_parts: Final[Callable[[type], bool]] = functools.lru_cache(4096)(_rebuilds)
"""Whether a class leaves it to others how it is pickled, so that its attributes are all there is to it."""


def _find_slots(cls: type) -> tuple[tuple[str, Any], ...]:
    """The descriptors of the ``__slots__`` of a class and its bases, by attribute name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if is_written_in_python(base) and not base.__module__.startswith("pydantic."):
            members = {name: value for name, value in vars(base).items() if type(value) is types.MemberDescriptorType}
            found.update(members)
    return tuple(found.items())


_slots_of: Final[Callable[[type], tuple[tuple[str, Any], ...]]] = functools.lru_cache(4096)(_find_slots)


def attributes_of(obj: Any) -> dict[str, Any]:
    """What an instance holds, in its ``__dict__`` and its slots, without running its code; not cached properties."""
    cls = type(obj)
    held = getattr(obj, "__dict__", None)
    attributes = {name: value for name, value in held.items() if _is_state(cls, name)} if held else {}
    for name, slot in _slots_of(cls):
        try:
            attributes[name] = slot.__get__(obj, cls)
        except AttributeError:  # never set
            continue
    return attributes


def put_attributes(obj: Any, attributes: dict[Any, Any]) -> None:
    """Give an instance what :func:`attributes_of` took from another one, without running its code."""
    slots = dict(_slots_of(type(obj)))
    for name, value in attributes.items():
        if not isinstance(name, str) or name.startswith("__"):
            continue
        if name in slots:
            slots[name].__set__(obj, value)
        elif hasattr(obj, "__dict__"):
            obj.__dict__[name] = value


def _is_state(cls: type, name: object) -> bool:
    if name in _NOT_STATE:
        return False
    return type(_class_attribute(cls, name)) is not functools.cached_property


def _class_attribute(cls: type, name: object) -> Any:
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]  # type: ignore[index]
    return None
