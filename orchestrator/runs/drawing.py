"""What a flow would call, noted while its own code runs and its tasks do not: for ``my_flow.visualize()``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, NoReturn, Protocol

from orchestrator.errors import OrchestratorError
from orchestrator.runs.nested_values import replace_nested

SMALL_INTEGERS: Final = range(-5, 257)  # Python has one object for each, which stands for no call


class FlowVisualizationError(OrchestratorError):
    """A flow could not be drawn."""


class VisualizationUnsupportedError(FlowVisualizationError):
    """A flow that is being drawn does what cannot be drawn; nothing was sent."""


class GraphvizExecutableNotFoundError(FlowVisualizationError):
    """The program that draws is not installed here; the message says where the graph is kept as text."""


class Callee(Protocol):
    """A task or flow, as far as drawing a call of it is concerned."""

    isasync: bool
    options: Any

    @property
    def name(self) -> str:
        """Of its box."""


class DrawnCall:
    """A call that is drawn and not made. It stands for the handle on it and, unless it is given one, for its result.

    Args:
        name: of its box.
        upstreams: the calls whose results it takes, or waits for.
        stand_in: what it returns; itself unless given.
    """

    def __init__(self, name: str, upstreams: Sequence[DrawnCall], stand_in: Any = None) -> None:
        self.name, self.upstreams = name, list(upstreams)
        self.returned = self if stand_in is None else stand_in

    def __repr__(self) -> str:
        return f"<what {self.name} returns>"

    def wait(self, timeout: float | None = None) -> None:
        """Nothing is waited for."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """What stands for its result."""
        return self.returned

    @property
    def state(self) -> DrawnCall:
        """It has none; its ``result()`` is what a state's would be."""
        return self


class Drawing:
    """The calls of one flow, in the order in which it makes them.

    >>> drawing = Drawing()
    >>> first = drawing.add("load", [])
    >>> second = drawing.add("load", [{"rows": [first]}])
    >>> print(drawing.dot())
    digraph {
      "load-0";
      "load-1";
      "load-0" -> "load-1";
    }
    """

    def __init__(self) -> None:
        self.calls: list[DrawnCall] = []
        self._counts: Counter[str] = Counter()
        self._by_value: dict[int, DrawnCall] = {}  # by the identity of what it returned, which the call keeps alive

    def add(self, name: str, values: Any, stand_in: Any = None) -> DrawnCall:
        """Note a call.

        Args:
            name: of what is called; a number is added to it.
            values: its arguments, and what it waits for.
            stand_in: what stands for its result.
        """
        call = DrawnCall(f"{name}-{self._counts[name]}", self._calls_in(values), stand_in)
        self._counts[name] += 1
        self.calls.append(call)
        if not _is_shared(stand_in):
            self._by_value[id(stand_in)] = call
        return call

    def call(self, callee: Callee, values: Any) -> Any:
        """Note a call that the flow waits for; what stands for its result, or the coroutine that gives it."""
        call = self.add(callee.name, values, getattr(callee.options, "viz_return_value", None))
        return _later(call.returned) if callee.isasync else call.returned

    def _calls_in(self, values: Any) -> list[DrawnCall]:
        found: dict[int, DrawnCall] = {}

        def look(part: Any) -> Any:
            call = part if isinstance(part, DrawnCall) else self._by_value.get(id(part))
            if call is not None:
                found[id(call)] = call
            return part

        replace_nested(values, look)
        return list(found.values())

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        boxes = [f"  {_quoted(call.name)};" for call in self.calls]
        arrows = [f"  {_quoted(up.name)} -> {_quoted(call.name)};" for call in self.calls for up in call.upstreams]
        return "\n".join(["digraph {", *boxes, *arrows, "}"])


def _is_shared(value: Any) -> bool:
    """Whether Python has one object for all that are equal to this one: it does not say which call returned it."""
    return value is None or isinstance(value, bool) or (type(value) is int and value in SMALL_INTEGERS)


async def _later(value: Any) -> Any:
    return value


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def refuse_to_draw(what: str) -> NoReturn:
    """Raise the error of something that a flow does while it is drawn."""
    raise VisualizationUnsupportedError(f"{what} cannot be drawn by visualize(); nothing was sent")


current_drawing: ContextVar[Drawing | None] = ContextVar("orchestrator_drawing", default=None)
