"""The jinja2 of templates: in its sandbox, and within limits of memory and time that no template can leave.

Whatever could make much of little is measured before it is done: a loop and a filter ask how late it is, a filter how
large the values are that it is given. What would collect text before it is seen (macros, blocks of ``set`` and
``filter``) is refused when a template is written down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from jinja2 import nodes, pass_eval_context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import htmlsafe_json_dumps
from jinja2.visitor import NodeTransformer

LONGEST_SECONDS: Final = 2.0
LARGEST: Final = 1_000_000  # characters and parts of a value on the way: payloads of events have up to 512 KiB
_WIDE: Final = frozenset(
    ("batch", "center", "expandtabs", "format", "format_map", "indent", "ljust", "rjust", "slice", "wordwrap", "zfill")
)
_MANY: Final = frozenset(("join", "maketrans", "translate"))  # methods; the filter join is there, and measured
_COLLECTING: Final = (nodes.Macro, nodes.CallBlock, nodes.AssignBlock, nodes.FilterBlock)
_until: ContextVar[float] = ContextVar("until")


def start_clock() -> float:
    """From now on what is rendered here has two seconds; returns the moment of :func:`time.monotonic` at their end."""
    _until.set(time.monotonic() + LONGEST_SECONDS)
    return _until.get()


def refused_in(tree: nodes.Template) -> str | None:
    """What of a template's parts there are not."""
    if any(tree.find_all(_COLLECTING)) or any(loop.recursive for loop in tree.find_all(nodes.For)):
        return "macros, recursive loops, and blocks of set, call and filter"
    return None


def rendered_whole(template: str, context: Mapping[str, Any]) -> str:
    """What a template makes of values, all of it.

    Raises:
        jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError: it fails, makes too
            much, or takes too long.
    """
    sandbox = Sandbox()
    if (refused := refused_in(sandbox.parse(template))) is not None:
        raise ValueError(f"a template has no {refused}")
    start_clock()
    parts, size = [], 0
    for part in sandbox.from_string(template).generate(context):
        _in_time()
        size = _fits(size + len(part))
        parts.append(part)
    return "".join(parts)


def _in_time() -> None:
    if time.monotonic() > _until.get(float("inf")):
        raise ValueError(f"it takes longer than {LONGEST_SECONDS:g} s")


def _fits(size: int) -> int:
    if size > LARGEST:
        raise ValueError(f"a value becomes larger than {LARGEST:,} characters")
    return size


def _size(value: Any, size: int = 0) -> int:
    """The size so far with that of a value as text, about. Raises ValueError: it is larger than values may be."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            size = _size(part, _size(key, size))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            size = _size(part, size)
    elif isinstance(value, str | bytes):
        size += len(value)
    return _fits(size + 1)


def _measured(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that first looks how late it is, and how large what it is given."""

    @wraps(function)  # with jinja2's marks of what else it is given
    def measured(*args: Any, **kwargs: Any) -> Any:
        _in_time()
        _size([*args, *kwargs.values()])
        return function(*args, **kwargs)

    return measured


def _joined(eval_context: Any, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
    """The filter ``join``."""
    from jinja2.filters import make_attrgetter

    parts = list(value if attribute is None else map(make_attrgetter(eval_context.environment, attribute), value))
    _fits(_size(parts) + len(parts) * len(str(d)))
    return str(d).join(map(str, parts))


def _replaced(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """The filter and the method ``replace``."""
    text, old, new, most = str(value), str(old), str(new), -1 if count is None else int(count)
    found = text.count(old) if most < 0 else min(most, text.count(old))
    _fits(len(text) + found * max(0, len(new) - len(old)))
    return text.replace(old, new, most)


def _timed(items: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through."""
    for item in items:
        _in_time()
        yield item


class _Limited(NodeTransformer):
    """Loops that look at the clock, and ``~`` as the filter that is measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """See above."""
        self.generic_visit(node)
        node.iter = self._through("_timed", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """See above."""
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno, environment=node.environment)
        return self._through("join", parts)

    def _through(self, name: str, node: Any) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


class Sandbox(ImmutableSandboxedEnvironment):
    """Nothing that takes a template all memory there is, or all time."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(autoescape=False, finalize=_seen)
        self.globals = {"range": lambda *bounds: range(*bounds)[:1000], "dict": dict}
        own: dict[str, Callable[..., Any]] = {"join": pass_eval_context(_joined), "replace": _replaced}
        left = {name: each for name, each in self.filters.items() if name not in _WIDE}
        self.filters = {name: _measured(each) for name, each in {**left, **own, "tojson": _as_json}.items()}
        self.filters["_timed"] = _timed

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Limited().visit(source), *args, **kwargs)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """In time; and no text that becomes as long as one likes."""
        _in_time()
        if isinstance(owner := getattr(function, "__self__", None), str) and function.__name__ == "replace":
            return _replaced(owner, *args, **kwargs)
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Of numbers only, and small powers; also of two texts or lists that are not long together."""
        if operator == "+":
            _size([left, right])
            return super().call_binop(context, operator, left, right)
        if not all(isinstance(one, (int, float)) and abs(one) < 10**15 for one in (left, right)):
            raise ValueError(f"{operator} is for numbers here")
        if operator == "**" and abs(right) > 32:
            raise ValueError("powers up to 32 only")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Any:
        """No text as wide as one likes; with the next one."""
        return self.unsafe_undefined(value, "format") if super().wrap_str_format(value) is not None else None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """See above."""
        return attr not in _WIDE and attr not in _MANY and super().is_safe_attribute(obj, attr, value)


def _seen(value: Any) -> Any:
    """What is about to be written as text."""
    _size(value)
    return value


def _as_json(value: Any, indent: int | None = None) -> str:
    """The filter ``tojson``, without an indent as wide as one likes."""
    return str(htmlsafe_json_dumps(value, indent=None if indent is None else min(int(indent), 8)))
