"""Arguments against a signature, on the caller's side; and what ``map`` makes of its arguments."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

from orchestrator.errors import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    ParameterTypeError,
    ReservedArgumentError,
)
from orchestrator.runnables.annotations import allow_failure, opaque, quote, unmapped
from orchestrator.runnables.functions import qualified_name_of
from orchestrator.serializers import Dependency
from orchestrator.states import State

RESERVED: Final = ("return_state", "wait_for")
MASK: Final = "**********"
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Arguments: TypeAlias = tuple[Sequence[Any], dict[str, Any]]


class Surplus(NamedTuple):
    """More arguments than a function has parameters for; a newer version of it may have them."""

    parameters: frozenset[str]
    """Those that it has."""
    by_place: int
    """How many arguments are given so."""
    by_name: frozenset[str]

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a version with these parameters, which has all of this one's and more, may take the call."""
        there = frozenset(names)
        return self.parameters < there >= self.by_name and self.by_place + len(self.by_name) <= len(there)


class Lack(NamedTuple):
    """Fewer arguments than a function must have; an older version of it may do without."""

    parameters: frozenset[str]
    """Those that it has."""
    missing: frozenset[str]
    by_place: int
    by_name: frozenset[str]

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a version with these parameters, some of this one's and none that is missing, may take the call."""
        there = frozenset(names)
        fewer = self.parameters > there >= self.by_name and not there & self.missing
        return fewer and self.by_place + len(self.by_name) <= len(there)


class Signature:
    """A function's signature, prepared so that the common call costs a comparison instead of ``inspect``'s 5 us.

    Args:
        fn: the function.
        skip_first: the first parameter is bound by the call itself (``cls`` of a class method).

    Raises:
        ReservedArgumentError: a parameter is called ``return_state`` or ``wait_for``.
    """

    def __init__(self, fn: Callable[..., Any], *, skip_first: bool = False) -> None:
        signature = inspect.signature(fn)
        parameters = list(signature.parameters.values())[1 if skip_first else 0 :]
        for parameter in parameters:
            if parameter.name in RESERVED:
                raise ReservedArgumentError(
                    f"{qualified_name_of(fn)[1]}() has a parameter named {parameter.name!r}, which has a meaning of "
                    "its own for submit(): rename it"
                )
        self.full = signature.replace(parameters=parameters)
        self.fn = fn
        self._name = qualified_name_of(fn)[1]
        simple = all(parameter.kind in _PLAIN for parameter in parameters)
        required = sum(parameter.default is parameter.empty for parameter in parameters)
        self._fewest, self._most = (required, len(parameters)) if simple else (1, 0)
        self._validated: Any = None
        self._secret_names: frozenset[str] | None = None

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ParameterBindError unless the function can be called so."""
        if not kwargs and self._fewest <= len(args) <= self._most:  # as fits() does; every delay comes along here
            return
        self._bind(args, kwargs)

    def fits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether it is plain that the function can be called so; :meth:`check` looks closely."""
        return not kwargs and self._fewest <= len(args) <= self._most

    def surplus(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Surplus | None:
        """What there are no parameters for, of a call that does not fit; ``None`` where it is something else."""
        kinds = [parameter.kind for parameter in self.full.parameters.values()]
        names = frozenset(self.full.parameters)
        too_many = inspect.Parameter.VAR_POSITIONAL not in kinds and len(args) > sum(kind in _PLAIN for kind in kinds)
        unexpected = inspect.Parameter.VAR_KEYWORD not in kinds and not names.issuperset(kwargs)
        return Surplus(names, len(args), frozenset(kwargs)) if too_many or unexpected else None

    def misfit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Surplus | Lack | None:
        """What another version has to have or to lack for a call that does not fit here; ``None``: none helps."""
        return self.surplus(args, kwargs) or self._lack(args, kwargs)

    def _lack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Lack | None:
        try:
            given = self.full.bind_partial(*args, **kwargs).arguments
        except TypeError:
            return None
        missing = {
            name
            for name, parameter in self.full.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and name not in given
        }
        names = frozenset(self.full.parameters)
        return Lack(names, frozenset(missing), len(args), frozenset(kwargs)) if missing else None

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self.full.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterBindError(f"{self._name}{self._shown()}: {error}") from None

    def parameters(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, defaults included."""
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    @property
    def secret_names(self) -> frozenset[str]:
        """The parameters whose annotation names one of pydantic's secrets: their values are not to be shown."""
        if self._secret_names is None:
            hints = _hints_of(self.fn)
            self._secret_names = frozenset(name for name in self.full.parameters if _is_secret(hints.get(name)))
        return self._secret_names

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, as far as they fit: for calls that may not fit."""
        try:
            return dict(self.full.bind_partial(*args, **kwargs).arguments)
        except TypeError:
            return dict(kwargs)

    def masked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, fit to be shown: text that was passed for a secret is masked."""
        return {name: MASK if name in self.secret_names else value for name, value in parameters.items()}

    def _shown(self) -> inspect.Signature:
        shown = [
            parameter.replace(default=MASK)
            if parameter.name in self.secret_names and parameter.default is not parameter.empty
            else parameter
            for parameter in self.full.parameters.values()
        ]
        return self.full.replace(parameters=shown)

    def validated(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, defaults: bool = False, keep: bool = False
    ) -> Arguments:
        """The arguments as their annotations want them (pydantic: converted and checked); ``defaults``: these, too.

        ``keep``: they are checked only; iterators are converted all the same, since checking empties them. Futures and
        other placeholders are left alone. Raises ParameterTypeError naming the parameter.
        """
        from pydantic import TypeAdapter, ValidationError

        bound = self._bind(args, kwargs)
        if defaults:
            bound.apply_defaults()
        if self._validated is None:
            self._validated = self._adapters(TypeAdapter)
        for name, value in bound.arguments.items():
            adapter = self._validated.get(name)
            if adapter is None or _is_placeholder(value):
                continue
            try:
                valid = adapter.validate_python(value)
                if not keep or isinstance(value, Iterator):
                    bound.arguments[name] = valid
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise ParameterTypeError(f"{self._name}(): argument {name!r}: {first['msg']}") from None
        return bound.args, dict(bound.kwargs)

    def _adapters(self, adapter_class: Any) -> dict[str, Any]:
        from pydantic import ConfigDict, PydanticUserError

        try:
            hints = typing.get_type_hints(self.fn, include_extras=True)
        except Exception:
            return {}  # annotations that cannot be read are not checked
        adapters: dict[str, Any] = {}
        for name, parameter in self.full.parameters.items():
            if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            try:
                adapters[name] = adapter_class(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
            except PydanticUserError:  # a type that brings its own configuration
                adapters[name] = adapter_class(hints[name])
        return adapters


def _hints_of(fn: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception:  # a name that exists only for the type checker
        return getattr(fn, "__annotations__", {})


def _is_secret(annotation: Any) -> bool:
    """Whether an annotation, or a part of it, is one of pydantic's secrets."""
    if isinstance(annotation, str):  # one that could not be evaluated
        return "Secret" in annotation
    types = sys.modules.get("pydantic.types")
    if types is None:
        return False
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return issubclass(annotation, (types.SecretStr, types.SecretBytes, types.Secret))
    return any(_is_secret(part) for part in (typing.get_origin(annotation), *typing.get_args(annotation)) if part)


def _is_placeholder(value: Any) -> bool:
    if isinstance(value, Dependency | State | allow_failure | quote | opaque):
        return True
    if isinstance(value, list | tuple | set | frozenset):
        return any(_is_placeholder(member) for member in value)
    if isinstance(value, dict):
        return any(_is_placeholder(member) for member in value.values())
    return False


def is_mapped(value: Any) -> bool:
    """Whether ``map`` goes through this argument: iterable, but no text, bytes or file."""
    if isinstance(value, str | bytes | bytearray | unmapped | allow_failure):
        return False
    if hasattr(value, "read") and hasattr(value, "readline"):
        return False
    return isinstance(value, Iterable) and not hasattr(type(value), "__pydantic_fields__")  # a model is one value


class Rows:
    """The arguments of many calls: how many, and each when its turn comes, so that a large map does not hold them all.

    Args:
        count: how many.
        make: goes through them from the first one on, as often as it is asked.
    """

    def __init__(self, count: int, make: Callable[[], Iterable[Arguments]]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Arguments]:
        return iter(self._make() if self._count else ())


def mapped_arguments(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rows:
    """The arguments of each call that ``map`` makes.

    Raises:
        MappingMissingIterable: nothing to go through.
        MappingLengthMismatch: iterables of unequal lengths.
        ParameterBindError: the arguments do not fit the signature.
    """
    signature.check(args, kwargs)
    return rows_of(signature._name, args, kwargs)


def rows_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rows:
    """The same, of arguments that are known to fit the function of that name."""
    args = [_column(value) for value in args]
    named = {parameter: _column(value) for parameter, value in kwargs.items()}
    columns = {f"#{index + 1}": value for index, value in enumerate(args) if isinstance(value, _Column)}
    columns |= {parameter: value for parameter, value in named.items() if isinstance(value, _Column)}
    if not columns:
        raise MappingMissingIterable(
            f"map of {name}() got no iterable argument: pass a list, or use submit() for a single call"
        )
    lengths = {parameter: len(column.values) for parameter, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{parameter} has {length}" for parameter, length in lengths.items())
        raise MappingLengthMismatch(f"map of {name}() got iterables of unequal lengths: {counts}")
    count = next(iter(lengths.values()))
    return Rows(count, lambda: _rows(args, named, count))


class _Column:
    """What a map goes through. Sequences are not copied: ``range(1_000_000)`` stays as small as it is."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = values if isinstance(values, list | tuple | range) else list(values)


def _column(value: Any) -> Any:
    """What a map goes through, or the value itself; ``allow_failure`` around a list is around each of its members."""
    if isinstance(value, allow_failure) and is_mapped(value.value):
        return _Column([allow_failure(member) for member in value.value])
    return _Column(value) if is_mapped(value) else value


def _rows(args: Sequence[Any], kwargs: Mapping[str, Any], count: int) -> Iterable[Arguments]:
    positional = [_cells(value, count) for value in args]
    names = list(kwargs)
    named = [_cells(value, count) for value in kwargs.values()]
    if not names:
        return ((row, {}) for row in zip(*positional, strict=True))
    columns = zip(*named, strict=True)
    if not positional:
        return (((), dict(zip(names, row, strict=True))) for row in columns)
    rows = zip(zip(*positional, strict=True), columns, strict=True)
    return ((row, dict(zip(names, values, strict=True))) for row, values in rows)


def _cells(value: Any, count: int) -> Iterable[Any]:
    if isinstance(value, _Column):
        return value.values
    return repeat(value.value if isinstance(value, unmapped) else value, count)
