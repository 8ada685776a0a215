"""An exception becomes a dict of plain values: its name, text, arguments, attributes, notes, members, traceback."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, Final

from orchestrator.errors import OrchestratorError
from orchestrator.serializers.naming import attributes_of
from orchestrator.serializers.packing import Packing

TRACEBACK_BYTES: Final = 65_536
_MEMBER_TRACEBACK_BYTES: Final = 8_192
_PART_BYTES: Final = 262_144  # an argument larger than this is described, not carried
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


def fields_of_exception(exc: BaseException) -> dict[str, Any]:
    """The shortest description of an exception: all of it text, none of it large."""
    return {**_names(exc), "s": _text_of(exc), "t": traceback_of(exc, _MEMBER_TRACEBACK_BYTES)}


def described(
    exc: BaseException, packing: Packing, traceback_bytes: int, depth: int = 0, *, strict: bool = False
) -> dict[str, Any]:
    """The full description of an exception; the traceback keeps its last ``traceback_bytes``.

    What cannot be carried, or is large, is described as text; ``strict``: then the packing fails.
    """
    part = Packing.pack if strict else _part
    description: dict[str, Any] = {
        **_names(exc),
        "s": _text_of(exc),
        "a": [part(packing, arg) for arg in _args_of(exc)[: None if strict else _MAX_PARTS]],
        "d": _all_attributes(exc, packing) if strict and not _is_ours(exc) else _attributes(exc, packing),
        "h": {name: part(packing, getattr(exc, name)) for name in _hidden(type(exc)) if getattr(exc, name)},
        "n": [note if strict else _cut(str(note)) for note in _notes(exc)[: None if strict else _MAX_PARTS]],
        "t": traceback_of(exc, traceback_bytes) if traceback_bytes else "",
    }
    if isinstance(exc, BaseExceptionGroup) and (strict or depth < _MAX_GROUP_DEPTH):
        members = exc.exceptions[: None if strict else _MAX_MEMBERS]
        description["e"] = [
            described(member, packing, _MEMBER_TRACEBACK_BYTES, depth + 1, strict=strict) for member in members
        ]
    return description


def _args_of(exc: BaseException) -> tuple[Any, ...]:
    return (
        (exc.message,) if isinstance(exc, BaseExceptionGroup) else exc.args
    )  # the members of a group go by themselves


def _names(exc: BaseException) -> dict[str, Any]:
    return {"m": str(type(exc).__module__), "q": str(type(exc).__qualname__)}


def _part(packing: Packing, value: object) -> bytes:
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
    return packing.pack(_cut(value) if type(value) is str else _repr_of(value))


def _all_attributes(exc: BaseException, packing: Packing) -> dict[str, bytes]:
    return {name: packing.pack(value) for name, value in attributes_of(exc).items() if not name.startswith("__")}


def _is_ours(exc: BaseException) -> bool:
    return isinstance(exc, OrchestratorError)  # those hold the state of a run, which their text describes


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
        return _cut(str(exc))
    except Exception:
        return "(it has no text: str() of it fails)"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}... ({len(text):,} characters, cut here)"


def _repr_of(value: object) -> str:
    try:
        return _cut(repr(value))
    except Exception:
        return f"<{type(value).__qualname__} whose repr() fails>"


def _from_users_code(first: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames in front that are ours: how the task was called helps nobody."""
    step = first
    while step is not None and str(step.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        step = step.tb_next
    return step or first


def traceback_of(exc: BaseException, max_bytes: int) -> str:
    """The traceback as text, from the user's code on; of one that is too large, the end. Never raises."""
    try:
        text = "".join(traceback.format_exception(type(exc), exc, _from_users_code(exc.__traceback__)))
    except Exception as error:
        return f"(it has no traceback: {type(error).__name__})"
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return "...\n" + encoded[4 - max_bytes :].decode("utf-8", "ignore")  # the end is where it happened


def _hidden(cls: type[BaseException]) -> list[str]:
    return [name for owner, names in HIDDEN.items() if issubclass(cls, owner) for name in names]
