"""Reading: msgpack becomes one value, with everything inside it.

Classes are looked up by name among those that are here; imports happen for signed bodies only. Extensions are read by
the functions in ``extensions.readers``; those that need a pickle ask :meth:`Reading.demand_trust` first.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import OrchestratorError, SerializationError, UntrustedPayload
from orchestrator.serializers import known_types
from orchestrator.serializers.extensions import readers
from orchestrator.serializers.wire import MAX_DEPTH, UPSTREAM, unpackb

NO_UPSTREAMS: Final[Mapping[str, Any]] = {}


class Reading:
    """The reading of one body."""

    __slots__ = ("_depth", "trusted", "upstream_values")

    def __init__(self, trusted: bool = False, upstream_values: Mapping[str, Any] = NO_UPSTREAMS) -> None:
        self.trusted = trusted
        self.upstream_values = upstream_values
        self._depth = 0

    def unpack(self, data: bytes) -> Any:
        """The value in some msgpack; for readers, the inside of an extension."""
        if self._depth > MAX_DEPTH:
            raise SerializationError("the body is nested too deeply")
        self._depth += 1
        # How long a text, list or dict may claim to be is bounded by msgpack with the size of the input.
        value = unpackb(data, ext_hook=self.extension, strict_map_key=False, unicode_errors="surrogatepass")
        self._depth -= 1
        return value

    def unpack_list(self, data: bytes, at_least: int) -> list[Any]:
        """A list of at least so many items; a newer writer may have put more behind them."""
        items = self.unpack(data)
        if type(items) is not list or len(items) < at_least:
            raise SerializationError("a value in the body has another shape than it should")
        return items

    def extension(self, code: int, data: bytes) -> Any:
        """The value behind an extension number."""
        read = readers.get(code)
        if read is None:
            raise SerializationError(f"unknown extension {code}: was this written by a newer version?")
        return read(data, self)

    def upstream(self, run_id: str) -> Any:
        """The result that stands in for an upstream run."""
        try:
            return self.upstream_values[run_id]
        except KeyError:
            raise SerializationError(f"the result of the upstream run {run_id} is not at hand") from None

    def class_of(self, name: object) -> type | None:
        """The class that a name in the body means; ``None``: this reading restores plain values only.

        Raises:
            SerializationError: it is not here, and nothing vouches for a body that wants it imported.
        """
        cls = known_types.find(name) or self._imported(name)
        if cls is None:
            raise SerializationError(
                f"the class {str(name)[:200]} is not loaded here: import its module in this process (for a worker: in "
                "the module that -A names) before it is read"
            )
        if not self.trusted and hasattr(cls, "__del__") and not known_types.is_learned(cls):
            raise SerializationError(
                f"{known_types.name_of(cls)} has a __del__, which would run on fields that anybody may have written: "
                "annotate a parameter of a task with it, or set ORCHESTRATOR_SECRET_KEY"
            )
        return cls

    def _imported(self, name: object) -> type | None:
        if not self.trusted or not isinstance(name, str):
            return None
        with contextlib.suppress(ImportError, ValueError):  # what fails is reported as a class that is not here
            importlib.import_module(name.partition(":")[0])
        return known_types.find(name)

    def demand_trust(self) -> None:
        """Go on only under a good signature."""
        if not self.trusted:
            raise UntrustedPayload(
                "a body without a signature holds a pickled object and was not read. Bodies with pickles are signed "
                "by whoever has the fleet's ORCHESTRATOR_SECRET_KEY; this one was not written by this project"
            )


def unreadable(what: str, error: Exception) -> Exception:
    """The error to raise for an error met while reading: one of ours, whatever the bytes were."""
    if isinstance(error, OrchestratorError):
        return error
    reason = str(error) or "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return SerializationError(f"{what} cannot be read: {type(error).__name__}: {reason[:500]}")


def _read_upstream(data: bytes, reading: Reading) -> Any:
    return reading.upstream(data.decode())


readers[UPSTREAM] = _read_upstream
