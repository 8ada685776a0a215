"""An exception becomes a dict of plain values: its name, text, arguments, attributes, notes, members, traceback."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, Final

from orchestrator.serializers.packing import Packing

TRACEBACK_BYTES: Final = 65_536
_MEMBER_TRACEBACK_BYTES: Final = 8_192
_PART_BYTES: Final = 262_144  # an argument larger than this is told, not carried
_TEXT_CHARS: Final = 4_096
_MAX_PARTS: Final = 100
_MAX_MEMBERS: Final = 100
_MAX_GROUP_DEPTH: Final = 8
_OURS: Final = ("orchestrator.", "task_workers.")

# State that lives in neither ``args`` nor ``__dict__``.
HIDDEN: Final[dict[type[Exception], tuple[str, ...]]] = {
    OSError: ("filename", "filename2"),
    ImportError: ("name", "path"),
    NameError: ("name",),
    AttributeError: ("name",),
}
_HEAP_TYPE: Final = 1 << 9  # set on classes made by a class statement


def told(exc: BaseException) -> dict[str, Any]:
    """The least that can be said of an exception: all of it text, none of it large."""
    return {**_names(exc), "s": _text_of(exc), "t": _traceback_of(exc, _MEMBER_TRACEBACK_BYTES)}


def described(exc: BaseException, packing: Packing, traceback_bytes: int, depth: int = 0) -> dict[str, Any]:
    """Everything that can be said of an exception; the traceback keeps its last ``traceback_bytes``."""
    description: dict[str, Any] = {
        **_names(exc),
        "s": _text_of(exc),
        "a": [_part(arg, packing) for arg in _args_of(exc)[:_MAX_PARTS]],
        "d": _attributes(exc, packing),
        "h": {name: _part(getattr(exc, name), packing) for name in _hidden(type(exc)) if getattr(exc, name)},
        "n": [str(note)[:_TEXT_CHARS] for note in _notes(exc)[:_MAX_PARTS]],
        "t": _traceback_of(exc, traceback_bytes) if traceback_bytes else "",
    }
    if isinstance(exc, BaseExceptionGroup) and depth < _MAX_GROUP_DEPTH:
        members = exc.exceptions[:_MAX_MEMBERS]
        description["e"] = [described(member, packing, _MEMBER_TRACEBACK_BYTES, depth + 1) for member in members]
    return description


def _args_of(exc: BaseException) -> tuple[Any, ...]:
    return (
        (exc.message,) if isinstance(exc, BaseExceptionGroup) else exc.args
    )  # the members of a group go by themselves


def _names(exc: BaseException) -> dict[str, Any]:
    return {"m": str(type(exc).__module__), "q": str(type(exc).__qualname__)}


def _part(value: object, packing: Packing) -> bytes:
    """Packed by itself: one that cannot be packed, or later not be read, then leaves the others alone."""
    try:
        packed = packing.pack(value)
        if len(packed) <= _PART_BYTES:
            return packed
    except UnicodeEncodeError:
        if packing.strict_text:
            raise  # the whole body is about to be packed again, with lone surrogates allowed
    except Exception:
        pass  # locks, connections, ...: their repr is what a reader can use
    return packing.pack(_repr_of(value))


def _attributes(exc: BaseException, packing: Packing) -> dict[str, bytes]:
    attributes = {}
    for name, value in list(vars(exc).items())[:_MAX_PARTS]:
        if isinstance(name, str) and not name.startswith("__"):
            try:
                packed = packing.pack(value)
            except UnicodeEncodeError:
                if packing.strict_text:
                    raise
            except Exception:
                continue  # an attribute is a convenience: better absent than of another type
            else:
                if len(packed) <= _PART_BYTES:
                    attributes[name] = packed
    return attributes


def _notes(exc: BaseException) -> list[Any]:
    notes = getattr(exc, "__notes__", ())
    return list(notes) if isinstance(notes, list | tuple) else []


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)[:_TEXT_CHARS]
    except Exception:
        return "(its text cannot be told: str() of it fails)"


def _repr_of(value: object) -> str:
    try:
        return repr(value)[:_TEXT_CHARS]
    except Exception:
        return f"<{type(value).__qualname__} whose repr() fails>"


def _from_users_code(first: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames in front that are ours: how the task was called helps nobody."""
    step = first
    while step is not None and str(step.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        step = step.tb_next
    return step or first


def _traceback_of(exc: BaseException, max_bytes: int) -> str:
    try:
        text = "".join(traceback.format_exception(type(exc), exc, _from_users_code(exc.__traceback__)))
    except Exception as error:
        return f"(the traceback cannot be told: {type(error).__name__})"
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return "...\n" + encoded[4 - max_bytes :].decode("utf-8", "ignore")  # the end is where it happened


def _hidden(cls: type[BaseException]) -> list[str]:
    return [name for owner, names in HIDDEN.items() if issubclass(cls, owner) for name in names]
