"""Where in the arguments is the thing that cannot be packed? Looked for only after it has failed."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.errors import OrchestratorError, SerializationError
from orchestrator.serializers.known_types import is_pydantic_model
from orchestrator.serializers.packing import TOO_DEEP, Packing

_MAX_STEPS: Final = 20
_KEY_CHARS: Final = 60


def explained_call(args: Sequence[Any], kwargs: Mapping[str, Any], error: Exception) -> Exception:
    """The error to raise for a call whose packing failed: it names the argument."""
    named = [(f"args[{index}]", value) for index, value in enumerate(args)]
    named += [(f"kwargs[{_short(name)}]", value) for name, value in kwargs.items()]
    for name, value in named:
        found = _failure(value, in_call=True)
        if found is not None:
            return explained(name, value, found, in_call=True)
    return explained("the call", None, error, in_call=True)


def explained(where: str, value: Any, error: Exception, in_call: bool) -> Exception:
    """The error to raise for a value whose packing failed: it names the part and its type."""
    if isinstance(error, OrchestratorError) and type(error) is not SerializationError:
        return error
    reason = _reason(error)
    if reason != TOO_DEEP:  # of a cycle every part fails, so there is nothing to find
        where, value = _narrowed(where, value, in_call)
    of_type = "" if value is None else f" ({_type_name(type(value))})"
    explanation = SerializationError(f"{where}{of_type} cannot be packed: {reason}")
    explanation.__cause__ = error.__cause__ if isinstance(error, SerializationError) else error
    return explanation


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError) or "recursion limit" in str(error):
        return TOO_DEEP
    return str(error) if isinstance(error, SerializationError) else f"{type(error).__name__}: {error}"


def _narrowed(where: str, value: Any, in_call: bool) -> tuple[str, Any]:
    for _ in range(_MAX_STEPS):
        for step, part in _parts(value):
            if _failure(part, in_call) is not None:
                where, value = where + step, part
                break
        else:
            return where, value
    return where, value


def _failure(value: Any, in_call: bool) -> Exception | None:
    try:
        Packing(in_call=in_call, surrogates=True).pack(value)
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f" (key {_short(key)})", key
            yield f"[{_short(key)}]", item
    elif isinstance(value, list | tuple | deque):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f" (element {_short(item)})", item) for item in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        yield from ((f".{name}", getattr(value, name)) for name in names)
    elif is_pydantic_model(type(value)):
        yield from ((f".{name}", item) for name, item in vars(value).items())


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # we are explaining an error, not making another
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _KEY_CHARS else text[: _KEY_CHARS - 3] + "..."


def _type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
