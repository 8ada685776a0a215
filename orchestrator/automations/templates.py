"""Templates of notifications, parameters and payloads: jinja2 in its sandbox, over plain values.

What a template sees are copies of what people see of runs and deployments: no object of ours, no settings, no secret.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from orchestrator.deployments.parameter_schema import KIND_KEYS

if TYPE_CHECKING:
    from orchestrator.deployments.template_sandbox import Sandbox

LONGEST: Final = 65_536  # characters of what a template makes
LONGEST_TEMPLATE: Final = 20_000
DEEPEST_LOOPS: Final = 2
_ALONE: Final = re.compile(r"\s*\{\{((?:(?!\}\}).)*)\}\}\s*", re.DOTALL)


def check_template(template: str) -> None:
    """Whether it is one.

    Raises:
        ValueError: it is not, with the line.

    >>> check_template("{{ flow_run.name }")
    Traceback (most recent call last):
    ValueError: a template cannot be read: unexpected '}' (line 1): '{{ flow_run.name }'
    """
    from jinja2 import TemplateSyntaxError

    from orchestrator.deployments.template_sandbox import refused_in

    if len(template) > LONGEST_TEMPLATE:
        raise ValueError(f"a template has at most {LONGEST_TEMPLATE:,} characters, this one {len(template):,}")
    try:
        tree = _sandbox().parse(template)
    except TemplateSyntaxError as error:
        raise ValueError(
            f"a template cannot be read: {error.message} (line {error.lineno}): {template[:200]!r}"
        ) from None
    if _loops_in(tree) > DEEPEST_LOOPS:
        raise ValueError(f"a template has loops in loops at most {DEEPEST_LOOPS} deep: {template[:200]!r}")
    if (refused := refused_in(tree)) is not None:
        raise ValueError(f"a template has no {refused}: {template[:200]!r}")


def render(template: str, context: Mapping[str, Any]) -> str:
    """What a template makes of values. Never raises: an error stands in the text, with the template.

    >>> render("{{ flow_run.name }} is {{ flow_run.state.name }}", {"flow_run": {"name": "a", "state": {"name": "B"}}})
    'a is B'
    >>> render("{{ 1 / 0 }}", {})
    'Failed to render template: ZeroDivisionError: division by zero. Template: {{ 1 / 0 }}'
    """
    try:
        check_template(template)
        return _rendered(template, context)
    except Exception as error:
        return f"Failed to render template: {type(error).__name__}: {error}. Template: {template[:LONGEST_TEMPLATE]}"


def render_in(value: Any, context: Mapping[str, Any]) -> Any:
    """The templates in a value as JSON has it, rendered; what is no text stays.

    >>> render_in({"a": "{{ x }}", "b": [1, "{{ x }}!"]}, {"x": 5})
    {'a': '5', 'b': [1, '5!']}
    """
    if isinstance(value, str):
        return render(value, context) if "{" in value else value
    if isinstance(value, dict):
        return {key: render_in(part, context) for key, part in value.items()}
    return [render_in(part, context) for part in value] if isinstance(value, list) else value


def value_of(value: Any, context: Mapping[str, Any]) -> Any:
    """Parameters with their templates filled in; a template that is one expression keeps the value's type.

    Raises:
        ValueError: a template fails: a run must not get an error for a parameter.

    >>> value_of({"day": "{{ event.payload.day }}", "x": {"__prefect_kind": "jinja", "template": "a{{ 1 }}"}},
    ...          {"event": {"payload": {"day": 3}}})
    {'day': 3, 'x': 'a1'}
    """
    if isinstance(value, dict) and value.get("__prefect_kind") == "jinja" and isinstance(value.get("template"), str):
        return _strictly(value["template"], context)
    if isinstance(value, dict):
        return {key: value_of(part, context) for key, part in value.items()}
    if isinstance(value, list):
        return [value_of(part, context) for part in value]
    if not isinstance(value, str) or not ("{{" in value or "{%" in value):
        return value
    alone = _ALONE.fullmatch(value)
    return _strictly(value, context) if alone is None else _strictly(alone[1], context, is_expression=True)


def _strictly(template: str, context: Mapping[str, Any], is_expression: bool = False) -> Any:
    from jinja2 import TemplateError

    from orchestrator.deployments.template_sandbox import start_clock

    try:
        if is_expression:
            start_clock()
            found = _sandbox().compile_expression(template, undefined_to_none=False)(**context)
            if _is_filled_in(found):
                raise ValueError("its value would itself be filled in: it has a key __prefect_kind or $ref")
            return str(found) if type(found).__name__.endswith("Undefined") else found
        check_template(template)
        return _rendered(template, context)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise ValueError(f"the template {template[:200]!r} fails: {error}") from None


def _is_filled_in(value: Any) -> bool:
    """Whether somebody who writes an event could have a variable, a block or a template of his filled in with it."""
    if isinstance(value, Mapping):
        return any(key in value for key in (*KIND_KEYS, "$ref")) or any(map(_is_filled_in, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(_is_filled_in, value))


def _rendered(template: str, context: Mapping[str, Any]) -> str:
    from orchestrator.deployments.template_sandbox import start_clock

    text, deadline = "", start_clock()
    for piece in _sandbox().from_string(template).generate(context):
        text += piece
        if len(text) > LONGEST or time.monotonic() > deadline:
            return f"{text[:LONGEST]} ... (cut off: a template makes at most {LONGEST:,} characters)"
    return text


def _loops_in(node: Any) -> int:
    from jinja2 import nodes

    inner = max((_loops_in(child) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)


@cache
def _sandbox() -> Sandbox:
    from orchestrator.deployments.template_sandbox import Sandbox

    return Sandbox()
