"""What tasks and flows have in common: a function, options, a signature, hooks, and a key by which workers know it."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from orchestrator.runnables.binding import Signature
from orchestrator.runnables.functions import is_async, unwrapped
from orchestrator.runnables.options import Hook, RunnableOptions, checked_names

if TYPE_CHECKING:
    from orchestrator.runnables.retries import DelayOption


class Runnable(ABC):
    """A function with options, each of which can be read as an attribute: ``my_task.timeout_seconds``.

    Attributes:
        fn: the plain function.
        options: all of them, frozen. Change them with ``with_options``.
        overrides: the options that ``with_options`` has changed since the decorator.
        bound: the ``self`` or ``cls`` of a method.
        signature: its parameters.
        isasync, isgenerator: what kind of function it is.

    Follows Prefect 3, where tasks and flows have their options as attributes.
    """

    noun: ClassVar[str]
    options_type: ClassVar[type[RunnableOptions]]
    options: Any

    if TYPE_CHECKING:
        version: str | None
        retry_delay_seconds: DelayOption
        timeout_seconds: float | None
        log_prints: bool | None
        persist_result: bool | None
        result_storage: Any
        result_storage_key: str | None
        result_serializer: str | None
        cache_result_in_memory: bool
    else:

        def __getattr__(self, name: str) -> Any:
            options = self.__dict__.get("options")
            if name in getattr(type(options), "__dataclass_fields__", ()):
                return getattr(options, name)
            if (hooks := name.removesuffix("_hooks")) in getattr(options, "HOOKS", ()):  # under Prefect's name
                return list(getattr(options, hooks))
            raise AttributeError(f"{type(self).__name__} has no attribute or option {name!r}")

    def __init__(self, fn: Any, options: RunnableOptions | None, more: dict[str, Any]) -> None:
        kind, plain = unwrapped(fn)
        if not callable(plain):
            raise TypeError(f"@{self.noun} needs a function, not {fn!r}")
        functools.update_wrapper(self, plain, updated=("__dict__",) if inspect.isroutine(plain) else ())  # type: ignore[arg-type]
        given = {name: value for name, value in more.items() if value is not None}
        options = (options or self.options_type()).using(**self.checked(given))
        self.given_name: str | None = options.name or None
        self.fn: Callable[..., Any] = plain
        self.options = options if options.name else options.using(name=self.default_name(plain))
        self._kind = kind
        self.signature = Signature(plain, skip_first=kind == "classmethod")
        self.isasync = is_async(plain)
        self.isgenerator = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
        self.overrides: dict[str, Any] = {}
        self.bound: tuple[Any, ...] = ()

    @staticmethod
    @abstractmethod
    def default_name(fn: Callable[..., Any]) -> str:
        """Its name where its author gave none."""

    @classmethod
    def checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        """The options among those that were given, made ready. Raises TypeError for a name that is none."""
        return checked_names(cls.noun, cls.options_type, options)

    @property
    def name(self) -> str:
        """Its name for people."""
        name: str = self.options.name
        return name

    @property
    def description(self) -> str | None:
        """What it does; the function's docstring unless given."""
        return self.options.description or inspect.getdoc(self.fn)

    @property
    def tags(self) -> frozenset[str]:
        """Tags of every run of it."""
        tags: frozenset[str] = self.options.tags
        return tags

    @property
    def retries(self) -> int:
        """How many attempts may follow the first."""
        return self.options.retries or 0

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: a copy whose first argument is bound."""
        if self._kind == "staticmethod" or (instance is None and self._kind != "classmethod"):
            return self
        return self._bound_to(owner or type(instance) if self._kind == "classmethod" else instance)

    def _bound_to(self, first: Any) -> Self:
        copy = self._copy()
        copy.bound = (first,)
        copy.signature = Signature(self.fn, skip_first=True)
        return copy

    def _copy(self) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def with_options(self, **options: Any) -> Self:
        """A copy with some options changed; everything else stays.

        Raises:
            TypeError: no such option. Wrong values: as for the decorator.
        """
        changes = self.checked(options)
        copy = self._copy()
        copy.options = self.options.using(**changes)
        copy.overrides = {**self.overrides, **changes}
        return copy

    # -- hooks as decorators: @my_task.on_completion, @my_flow.on_failure ---------------------------------------------

    def on_completion(self, fn: Hook) -> Hook:
        """Call ``fn(task or flow, run, state)`` when a run completed."""
        return self._add_hook("on_completion", fn)

    def on_failure(self, fn: Hook) -> Hook:
        """Call ``fn(task or flow, run, state)`` when a run failed for good."""
        return self._add_hook("on_failure", fn)

    def on_running(self, fn: Hook) -> Hook:
        """Call ``fn(task or flow, run, state)`` before each attempt."""
        return self._add_hook("on_running", fn)

    def _add_hook(self, name: str, fn: Hook) -> Hook:
        self.options = self.options.using(**{name: (*getattr(self.options, name), fn)})
        return fn
