"""A description becomes an exception again, of its own class where that is safe.

Safe means: the class is loaded already, is a subclass of ``Exception``, and is made by the builtin class below it, so
that no code of its own runs. The description may come from anybody.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from orchestrator.errors import RemoteError, RemoteTraceback, SerializationError
from orchestrator.serializers import known_types
from orchestrator.serializers.exception_describing import HIDDEN
from orchestrator.serializers.reading import Reading

_MAX_CLASS_DEPTH: Final = 16
_HEAP_TYPE: Final = 1 << 9  # set on classes made by a class statement


def built(description: Any, reading: Reading) -> BaseException:
    """The exception that was described, with the remote traceback as its ``__cause__``."""
    if type(description) is not dict:
        raise SerializationError("these bytes hold no exception")
    exc = _instance(description, reading)
    for note in _list(description, "n"):
        exc.add_note(str(note))
    text = _str(description, "t")
    if text:
        exc.__cause__ = RemoteTraceback(text)
    return exc


def comes_back(exc: BaseException) -> bool:
    """Whether a reader that has the class loaded builds the same exception from its description."""
    cls = type(exc)
    found = _loaded_class(cls.__module__, cls.__qualname__)
    if isinstance(exc, ExceptionGroup):
        return found is cls and all(comes_back(member) for member in exc.exceptions)
    return found is cls


def _instance(description: dict[str, Any], reading: Reading) -> BaseException:
    module, qualname = _str(description, "m"), _str(description, "q")
    cls = _loaded_class(module, qualname)
    if "e" in description:
        return _group(cls, description, reading)
    if cls is not None and "a" in description:
        exc = _own_type(cls, [_read_part(part, reading) for part in _list(description, "a")])
        if exc is not None:
            _restore(exc, description, reading)
            return exc
    name = qualname if module == "builtins" else f"{module}.{qualname}"
    return RemoteError(name, _str(description, "s"), _str(description, "t"))


def _loaded_class(module: str, qualname: str) -> type[Exception] | None:
    """The class of this name, if it is an Exception subclass that exists here already.

    Reads dictionaries only: ``getattr`` could run a module's ``__getattr__``, and that may import.
    """
    found: Any = known_types.learned(f"{module}:{qualname}")
    if found is None:
        names = qualname.split(".")
        found = known_types.namespace(sys.modules.get(module)).get(names[0])
        for name in names[1:_MAX_CLASS_DEPTH]:
            found = known_types.namespace(found).get(name) if known_types.is_class(found) else None
    return found if known_types.is_class(found) and issubclass(found, Exception) else None


def _own_type(cls: type[Exception], args: list[Any]) -> Exception | None:
    """An instance made by the builtin class below ``cls``; ``None`` if that cannot be."""
    if issubclass(cls, BaseExceptionGroup):
        return None
    for base in cls.__mro__:
        if not base.__flags__ & _HEAP_TYPE and issubclass(base, Exception):
            exc = _made_by(base, cls, args)
            if exc is not None:
                return exc
    return None


def _made_by(base: type[Exception], cls: type[Exception], args: list[Any]) -> Exception | None:
    try:
        exc = base.__new__(cls, *args)
        base.__init__(exc, *args)
    except Exception:  # UnicodeDecodeError and its like insist on certain arguments
        try:
            exc = base.__new__(cls)
        except Exception:
            return None
    if type(exc) is not cls and not isinstance(exc, cls):  # OSError(2) makes a FileNotFoundError
        return None
    BaseException.args.__set__(exc, tuple(args))  # type: ignore[attr-defined]
    return exc


def _restore(exc: Exception, description: dict[str, Any], reading: Reading) -> None:
    hidden = _dict(description, "h")
    for owner, names in HIDDEN.items():
        for name in names if isinstance(exc, owner) else ():
            if name in hidden:
                vars(owner)[name].__set__(exc, _read_part(hidden[name], reading))
    attributes = {name: _read_part(part, reading) for name, part in _dict(description, "d").items()}
    vars(exc).update((name, value) for name, value in attributes.items() if _is_attribute(name))


def _is_attribute(name: object) -> bool:
    return isinstance(name, str) and not name.startswith("__")


def _group(cls: type[Exception] | None, description: dict[str, Any], reading: Reading) -> BaseException:
    members = [built(member, reading) for member in _list(description, "e")]
    errors = [member for member in members if isinstance(member, Exception)]
    message = "".join(str(_read_part(part, reading)) for part in _list(description, "a")[:1])
    kind: Any = cls if cls is not None and issubclass(cls, ExceptionGroup) else ExceptionGroup
    group: BaseException = ExceptionGroup.__new__(kind, message, errors)
    if kind is ExceptionGroup and _str(description, "q") != "ExceptionGroup":
        group.add_note(f"(raised as {_str(description, 'm')}.{_str(description, 'q')})")
    else:
        _restore(group, description, reading)  # type: ignore[arg-type]
    return group


def _read_part(part: Any, reading: Reading) -> Any:
    try:
        return reading.unpack(part)
    except Exception as error:  # an argument must not hide the exception
        return f"(cannot be read here: {type(error).__name__}: {error})"


def _str(description: dict[str, Any], key: str) -> str:
    value = description.get(key, "")
    return value if isinstance(value, str) else ""


def _list(description: dict[str, Any], key: str) -> list[Any]:
    value = description.get(key, [])
    return value if isinstance(value, list) else []


def _dict(description: dict[str, Any], key: str) -> dict[Any, Any]:
    value = description.get(key, {})
    return value if isinstance(value, dict) else {}
