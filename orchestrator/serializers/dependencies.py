"""Runs inside values: what a future looks like to the serializers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.serializers.extensions import readers, register_replacement
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import HANDLE


class Dependency:
    """Something that stands for the result of a run; futures are.

    A subclass has the attribute ``run_id``. In the arguments of a call it is replaced by the result of that run, in a
    result it travels as a handle.

    >>> class Future(Dependency):
    ...     def __init__(self, run_id): self.run_id = run_id
    """

    __slots__ = ()

    run_id: str


class Handle(Dependency):
    """A run found inside a result, as long as nobody has set a factory for something better."""

    __slots__ = ("run_id",)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def __repr__(self) -> str:
        return f"Handle({self.run_id!r})"

    def __eq__(self, other: object) -> bool:
        return self.run_id == other.run_id if type(other) is Handle else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_id)


_handle_factory: Callable[[str], Any] = Handle


def set_handle_factory(fn: Callable[[str], Any]) -> None:
    """Say what a run id that is found in a result becomes; futures set this.

    >>> set_handle_factory(Handle)
    """
    global _handle_factory
    _handle_factory = fn


def _as_upstream(dependency: Dependency, packing: Packing) -> object:
    return packing.upstream(dependency.run_id, False)


def _read_handle(data: bytes, reading: Reading) -> Any:
    return _handle_factory(data.decode())


register_replacement(Dependency, _as_upstream)
readers[HANDLE] = _read_handle
