"""The classes that come back as themselves.

Enums, dataclasses, pydantic models, named tuples and subclasses of ``str``, ``list``, ... travel under their name. A
reader looks the name up among the classes that its own code has named (annotations of tasks, :func:`learn`) and those
that are *loaded already* under that name; it imports nothing, unless a signature vouches for the body. A name that
means nothing is an error: nothing arrives as something else than was sent.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, TypeVar

from orchestrator.runnables.identity import module_of

_T = TypeVar("_T")

_classes: dict[str, type] = {}

_SCRIPTS = ("__main__", "__mp_main__")
_MAX_CLASS_DEPTH = 16
_PLAIN = (str, int, float, bytes, list, dict, tuple, set, frozenset)


def name_of(cls: type) -> str:
    """The name under which a class travels: ``"shop.models:Order"``.

    A class of the running script gets the name that a worker's import of the script would give it.
    """
    module = cls.__module__
    return f"{_script_name() if module in _SCRIPTS else module}:{cls.__qualname__}"


def find(name: object) -> type | None:
    """The class that this process has named or loaded under a name, or ``None``. Imports nothing."""
    if not isinstance(name, str):
        return None
    return loaded(name) or _classes.get(name)


def learned(name: object) -> type | None:
    """The class of this name that this process's own code has named, or ``None``."""
    return _classes.get(name) if isinstance(name, str) else None


def loaded(name: str) -> type | None:
    """The class that a loaded module holds under a name, if its instances travel by name.

    Reads dictionaries only: ``getattr`` could run a module's ``__getattr__``, and that may import.
    """
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get("__main__" if module == _script_name() else module)
    found = sys.modules.get(module) if found is None else found
    for part in qualname.split(".")[:_MAX_CLASS_DEPTH]:
        found = namespace(found).get(part)
    return found if is_class(found) and _travels_by_name(found) and name_of(found) == name else None


def namespace(owner: object) -> Any:
    """The dict of a module or class, past whatever it does when it is looked at; of anything else an empty one."""
    if issubclass(type(owner), types.ModuleType):
        return object.__getattribute__(owner, "__dict__")
    return type.__getattribute__(owner, "__dict__") if is_class(owner) else {}


def is_class(thing: object) -> bool:
    """Whether something is a class. ``isinstance`` would ask a proxy object, which may then do anything."""
    return issubclass(type(thing), type)


def is_learned(cls: type) -> bool:
    """Whether this process's own code has named the class."""
    return _classes.get(name_of(cls)) is cls


def is_known(cls: type) -> bool:
    """Whether instances of ``cls`` come back as themselves in this process."""
    return is_learned(cls) or loaded(name_of(cls)) is cls


def is_of_the_script_only(cls: type) -> bool:
    """Whether the class is defined in the file that was started, and no worker need have imported that file."""
    return cls.__module__ in _SCRIPTS and not _script_is_imported


_script_is_imported = False


def expect_script_at_workers(module: str | None) -> None:
    """A task is defined in this module: where it is the script's, workers import it, so they have its classes too."""
    global _script_is_imported
    _script_is_imported = _script_is_imported or module in _SCRIPTS


def with_script_named(text: str) -> str:
    """A text about classes in which those of the running script are called as :func:`name_of` calls them."""
    for module in _SCRIPTS:
        text = text.replace(f"{module}.", f"{_script_name()}.")
    return text


class _OfTheScript:
    __module__ = "__main__"


def _script_name() -> str:
    """What a worker that imports the running script would call its module."""
    return module_of(_OfTheScript)


def learn(cls: _T) -> _T:
    """Know a class from now on, and every class its fields name. Returns it, so it works as a decorator.

    Args:
        cls: A class, or any annotation (``list[Order]``, ``Order | None``). What does not travel by name is skipped.

    >>> @learn
    ... @dataclasses.dataclass
    ... class Point:
    ...     x: int
    >>> is_known(Point)
    True
    """
    _learn_all([cls])
    return cls


def learn_from_callable(fn: Callable[..., Any]) -> None:
    """Know every class in the annotations of a function: parameters, result, and what their fields name, at any depth.

    Annotations that cannot be resolved (names that exist only for the type checker) are skipped.

    >>> @dataclasses.dataclass
    ... class Order:
    ...     number: int
    >>> def ship(orders: list[Order]) -> None: ...
    >>> ship.__annotations__ = {"orders": list[Order]}
    >>> learn_from_callable(ship)
    >>> is_known(Order)
    True
    """
    _learn_all(_annotations(_innermost(fn)))


def _learn_all(annotations: list[Any]) -> None:
    seen: set[int] = set()
    kept: list[Any] = []  # ids are only good while the objects live
    waiting = list(annotations)
    while waiting:
        annotation = waiting.pop()
        if id(annotation) in seen:
            continue
        seen.add(id(annotation))
        kept.append(annotation)
        if _is_class(annotation) and _travels_by_name(annotation):
            _classes[name_of(annotation)] = annotation
        waiting.extend(_inside(annotation))


def _inside(annotation: Any) -> Iterator[Any]:
    """The annotations that an annotation is made of."""
    if isinstance(annotation, list | tuple):  # the parameters of a Callable
        yield from annotation
    elif isinstance(annotation, Enum):  # a member in a Literal
        yield type(annotation)
    elif isinstance(annotation, TypeVar):
        yield from (annotation.__bound__, *annotation.__constraints__)
    elif typing.get_origin(annotation) is not None:
        yield from (typing.get_origin(annotation), *typing.get_args(annotation))
    elif isinstance(annotation, type):
        yield from _fields_of(annotation)
    elif isinstance(annotation, typing.NewType):
        yield annotation.__supertype__
    elif type(annotation).__name__ == "TypeAliasType":  # "type X = ...", from Python 3.12 on
        yield annotation.__value__


def _fields_of(cls: type) -> list[Any]:
    if is_pydantic_model(cls):
        model: Any = cls
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False)
        return [field.annotation for field in model.model_fields.values()]
    if dataclasses.is_dataclass(cls) or typing.is_typeddict(cls) or hasattr(cls, "_field_defaults"):
        return _annotations(cls)
    return []


def _annotations(owner: Any) -> list[Any]:
    try:
        return list(typing.get_type_hints(owner, include_extras=True).values())
    except Exception:  # one name that does not resolve must not hide the others
        return [_resolved(owner, annotation) for annotation in getattr(owner, "__annotations__", {}).values()]


def _resolved(owner: Any, annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(getattr(owner, "__module__", ""))
    names = {**vars(module)} if module else {}
    try:
        # The same source text that the interpreter would have evaluated, had the annotation not been postponed.
        return eval(annotation, {**names, **getattr(owner, "__globals__", {})}, _closure(owner))
    except Exception:
        return None


def _closure(fn: Any) -> dict[str, Any]:
    code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None)
    if code is None or not cells:
        return {}
    filled = {name: cell for name, cell in zip(code.co_freevars, cells, strict=False) if _is_filled(cell)}
    return {name: cell.cell_contents for name, cell in filled.items()}


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _innermost(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    fn = getattr(fn, "__func__", fn)  # methods, class methods, static methods
    is_function = inspect.isfunction(fn) or inspect.isbuiltin(fn) or isinstance(fn, type)
    return fn if is_function else type(fn).__call__


def is_pydantic_model(cls: type) -> bool:
    """Whether ``cls`` is a pydantic model; answers without importing pydantic."""
    main = sys.modules.get("pydantic.main")
    return main is not None and issubclass(cls, main.BaseModel) and cls is not main.BaseModel


def is_namedtuple(cls: type) -> bool:
    """Whether ``cls`` was made by ``namedtuple`` or ``NamedTuple``."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _is_class(annotation: Any) -> bool:
    return isinstance(annotation, type) and typing.get_origin(annotation) is None  # list[int] says that it is a type


def _travels_by_name(cls: type) -> bool:
    if cls.__module__ == "builtins":
        return False
    is_record = dataclasses.is_dataclass(cls) or is_pydantic_model(cls)
    return is_record or (issubclass(cls, (Enum, *_PLAIN)) and cls is not Enum)


_classes.update((name_of(cls), cls) for cls in (OrderedDict, Counter))
