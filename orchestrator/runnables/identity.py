"""The key of a task: by it another process finds the same function, and never another.

It is where the function is written, ``module.qualname``, and more where several tasks are written at one place:
``[name]`` for a local function, a lambda, or a function that has a name of its own beside the task; ``#digest`` for a
lambda (of its code) and for a closure (of the values it holds). A key is made of the task alone, whatever else is
known, so that every process gives the same one; but where a loop makes several functions of one piece of code, each
has a ``#digest`` of its defaults (see ``registry.add``).
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import inspect
import os
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from brokers.schema import FLOW_CALL, is_flow_call
from orchestrator.errors import ConfigurationError

MAIN: Final = ("__main__", "__mp_main__")  # the second is what the children of multiprocessing call their parent's
DIGEST_CHARACTERS: Final = 10
MAX_PARTS: Final = 10_000  # of the values of a closure; what comes after is not looked at
_NOT_IN_KEYS: Final = re.compile(r"[^\w.-]+")
_LOCAL: Final = ("<locals>", "<lambda>")
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
_DESCRIBED_BY_REPR: Final = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    range,
    re.Pattern,
    uuid.UUID,
)


def key_of(fn: Callable[..., Any], name: str | None) -> str:
    """The key of a task.

    Args:
        fn: its function.
        name: the name that its author gave it, if any.

    >>> key_of(json_dumps := __import__("json").dumps, None)
    'json.dumps'
    >>> key_of(json_dumps, "to text")
    'json.dumps[to_text]'
    """
    inner = inspect.unwrap(fn) if inspect.isfunction(fn) else _innermost(fn)
    module, qualname = module_of(inner), qualname_of(inner)
    key = f"{module}.{qualname}"
    if name is not None and name != getattr(inner, "__name__", None) and _needs_name(fn, qualname):
        key += f"[{_NOT_IN_KEYS.sub('_', name)}]"
    if more := list(_beyond_its_place(fn, qualname)):
        key += "#" + hashlib.sha256("\0".join(more).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
    return key


def digest_of_defaults(fn: Any) -> str:
    """A few characters that stand for the defaults of a function; alike where they cannot be distinguished."""
    parts = _Parts()
    text = (
        parts.describe(getattr(fn, "__defaults__", None)) + "\0" + parts.describe(getattr(fn, "__kwdefaults__", None))
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]


def qualname_of(fn: Any) -> str:
    """Where in its module a function, or the class of a callable object, is written."""
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__


def module_of(fn: Any) -> str:
    """The module of a function as another process imports it: a script's by its path, or by what ``-m`` named."""
    module = getattr(fn, "__module__", None) or type(fn).__module__ or "unknown"
    if module not in MAIN:
        return str(module)
    return module_of_names(getattr(fn, "__globals__", None) or vars(sys.modules.get(module) or sys.modules["__main__"]))


def module_of_names(names: Mapping[str, Any]) -> str:
    """The same for the code that runs with these global names."""
    module = str(names.get("__name__") or "unknown")
    if module not in MAIN:
        return module
    spec, file = names.get("__spec__"), names.get("__file__")
    if spec is not None and spec.name not in MAIN:
        return str(spec.name)
    return _module_of_script(file) if file else "__main__"


def script_of(fn: Any) -> str | None:
    """A mark of the file of the running script, if that is where a function is written.

    A worker may know the same file by another name: as ``jobs.nightly`` where ``python jobs/nightly.py`` says
    ``nightly``, ``jobs`` being a folder without ``__init__.py``. It believes that only if the file is the same.
    """
    fn = _innermost(fn)
    names = getattr(fn, "__globals__", {}) if getattr(fn, "__module__", None) in MAIN else {}
    file = names.get("__file__")
    return mark_of(file) if file and names.get("__spec__") is None else None


def mark_of(file: str) -> str:
    """A few characters that stand for a file on this machine."""
    return hashlib.sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:DIGEST_CHARACTERS]


def name_as_script(key: str, fn: Any) -> str | None:
    """The key that a task has when its module is run as a script, with the mark; ``None`` if it is the same key.

    >>> name_as_script("json.dumps", __import__("json").dumps) is None
    True
    """
    if is_flow_call(key):
        name = name_as_script(key.removeprefix(FLOW_CALL), fn)
        return None if name is None else FLOW_CALL + name
    module = getattr(_innermost(fn), "__module__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if not module or module in MAIN or "." not in module or not file or not key.startswith(f"{module}."):
        return None
    as_script = _module_of_script(file)
    return None if as_script == module else f"{as_script}{key[len(module) :]}@{mark_of(file)}"


@functools.lru_cache(maxsize=256)
def _module_of_script(file: str) -> str:
    try:
        return module_of_path(Path(file))[1]
    except ConfigurationError:  # it has been removed meanwhile
        return Path(file).stem


def module_of_path(path: Path) -> tuple[Path, str]:
    """The directory to import a file or package from, and the module's name there: packages above it count.

    Raises:
        ConfigurationError: there is no such file, or it is no module.
    """
    path = path.resolve()
    if not path.exists():
        raise ConfigurationError(f"{path}: there is no such file")
    if path.name == "__init__.py":
        path = path.parent
    elif path.is_dir() and not (path / "__init__.py").exists():
        raise ConfigurationError(f"{path} is a directory without __init__.py: name a module in it")
    parts = [path.stem if path.is_file() else path.name]
    root = path.parent
    while (root / "__init__.py").exists() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    return root, ".".join(parts)


def at_its_place(fn: Any) -> Any:
    """What is found now where a function is written; ``None`` for local functions and in modules that are gone."""
    found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
    for part in qualname_of(fn).split("."):
        if found is None or part in _LOCAL:
            return None
        found = inspect.getattr_static(found, part, None)
    return found.__func__ if isinstance(found, staticmethod | classmethod) else found


def _innermost(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _needs_name(fn: Any, qualname: str) -> bool:
    return any(part in qualname for part in _LOCAL) or not inspect.isfunction(fn) or at_its_place(fn) is fn


def _beyond_its_place(fn: Any, qualname: str) -> Iterator[str]:
    """What distinguishes this function from another that is written at the same place."""
    parts = _Parts()
    while isinstance(fn, functools.partial):
        yield parts.describe(fn.args)
        yield parts.describe(fn.keywords)
        fn = fn.func
    if not inspect.isfunction(fn):
        return
    if qualname.endswith("<lambda>"):
        yield repr(described_code(fn.__code__))
        yield parts.describe(fn.__defaults__)
        yield parts.describe(fn.__kwdefaults__)
    if fn.__closure__:
        yield parts.describe(cells_of(fn))


def cells_of(fn: types.FunctionType) -> dict[str, Any]:
    """The values that a closure holds; one that gets its value later is left out, as the function's own name."""
    held: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:
            continue
    return held


def described_code(code: types.CodeType) -> tuple[Any, ...]:
    """What code does, without the lines it is written on."""
    constants = [
        described_code(part) if isinstance(part, types.CodeType) else _described_constant(part)
        for part in code.co_consts
    ]
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)


def _described_constant(value: Any) -> tuple[str, str]:
    if isinstance(value, frozenset):  # in an order of their own in every process
        return "frozenset", repr(sorted(map(repr, value)))
    return type(value).__name__, repr(value)


class _Parts:
    """Describes values so that equal ones read alike in every process; others are described by their type."""

    def __init__(self) -> None:
        self._left = MAX_PARTS
        self._open: set[int] = set()

    def describe(self, value: Any) -> str:
        self._left -= 1
        if self._left < 0 or id(value) in self._open:
            return "..."
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, enum.Enum):
            return f"{kind}.{value.name}"
        if type(value) in _PLAIN or isinstance(value, _DESCRIBED_BY_REPR):
            return f"{kind}:{value!r}"
        self._open.add(id(value))
        try:
            return f"{kind}:{self._inside(value)}"
        finally:
            self._open.discard(id(value))

    def _inside(self, value: Any) -> str:
        if type(value) in (list, tuple):
            return ",".join(map(self.describe, value))
        if type(value) in (set, frozenset):
            return ",".join(sorted(map(self.describe, value)))
        if type(value) is dict:
            return ",".join(f"{self.describe(key)}={self.describe(held)}" for key, held in value.items())
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            place = f"{module_of(value)}.{qualname_of(value)}"
            return place + "".join(map(self.describe, _beyond_its_place(value, place)))
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(key := getattr(value, "task_key", None), str):
            return key
        if dataclasses.is_dataclass(value):
            return self.describe({field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)})
        return ""


__all__ = [
    "at_its_place",
    "cells_of",
    "described_code",
    "digest_of_defaults",
    "key_of",
    "mark_of",
    "module_of",
    "module_of_path",
    "name_as_script",
    "qualname_of",
    "script_of",
]
