"""The parameters of one run of a deployment: the deployment's, over them the run's, filled in and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from orchestrator.deployments.parameter_schema import KIND_KEYS, check_parameters, plain_parameters
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.errors import ParameterBindError, ParameterTypeError, SerializationError

MAX_DEPTH: Final = 32


_ABSENT: Final = object()
ReadVariable = Callable[[str, Any], Any]
"""Gives the value of a variable by its name, or what is given beside it where there is none."""


class Sources(NamedTuple):
    """What values are filled in from.

    Attributes:
        context: what templates may use.
        variable: reads a variable.
    """

    context: Mapping[str, Any]
    variable: ReadVariable = lambda name, default: default


def parameters_for_run(
    record: DeploymentRecord,
    given: Mapping[str, Any],
    context: Mapping[str, Any] | None = None,
    variable: ReadVariable = lambda name, default: default,
) -> dict[str, Any]:
    """All parameters of a run, as JSON has them.

    Args:
        record: the deployment.
        given: those of the run.
        context: what templates may use, beside the deployment and the moment.
        variable: reads a variable.

    Raises:
        ParameterBindError: an unknown name, a missing one, or one that is frozen.
        ParameterTypeError: a value of a wrong type, or one that cannot be filled in.
        PayloadTooLarge: more than 512 KB.

    >>> schema = {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    >>> given = {"city": "Oslo", "days": 3}
    >>> record = DeploymentRecord("1", "nightly", "etl", parameters=given, parameter_schema=schema)
    >>> parameters_for_run(record, {"days": {"__prefect_kind": "json", "value": "4"}})
    {'city': 'Oslo', 'days': 4}
    """
    plain = plain_parameters(given)
    what = f"deployment {record.full_name!r}"
    for name in record.frozen:
        if name in plain and plain[name] != record.parameters.get(name):
            raise ParameterBindError(f"{what}: the parameter {name!r} is frozen at {record.parameters.get(name)!r}")
    known = {"deployment": {"id": record.id, "name": record.name}, "now": datetime.now(UTC), **(context or {})}
    sources = Sources(known, variable)
    whole = {name: filled_in(value, sources, name) for name, value in {**record.parameters, **plain}.items()}
    if record.enforce_parameter_schema:
        check_parameters(record.parameter_schema, whole, what, whole=True)
    return whole


def filled_in(value: Any, sources: Sources, name: str, depth: int = 0) -> Any:
    """A value whose parts ``{"__prefect_kind": ...}`` are replaced by what they stand for.

    ``json``: the value of a JSON text; ``jinja``: a template, rendered; ``workspace_variable``: the value of the
    variable ``variable_name``; ``none``: the value as it is.

    Raises:
        ParameterTypeError: it cannot be filled in.
    """
    if depth > MAX_DEPTH:
        raise ParameterTypeError(f"the parameter {name!r} is nested too deeply")
    if isinstance(value, list):
        return [filled_in(part, sources, name, depth + 1) for part in value]
    if not isinstance(value, Mapping):
        return value
    kind = next((value[key] for key in KIND_KEYS if key in value), None)
    if kind is None:
        return {key: filled_in(part, sources, name, depth + 1) for key, part in value.items()}
    return _of_kind(kind, value, sources, name, depth)


def _of_kind(kind: Any, value: Mapping[str, Any], sources: Sources, name: str, depth: int) -> Any:
    if kind == "none":
        return filled_in(value.get("value"), sources, name, depth + 1)
    if kind == "json":
        text = filled_in(value.get("value"), sources, name, depth + 1)
        try:
            return json.loads(text)
        except (TypeError, ValueError) as error:
            raise ParameterTypeError(f"the parameter {name!r} is to be filled in from JSON: {error}") from None
    if kind == "jinja":
        return _rendered(value.get("template"), sources.context, name)
    if kind == "workspace_variable":
        return _of_variable(filled_in(value.get("variable_name"), sources, name, depth + 1), sources, name)
    raise ParameterTypeError(f"the parameter {name!r} has the kind {kind!r}: json, jinja, workspace_variable or none")


def _of_variable(variable_name: Any, sources: Sources, name: str) -> Any:
    if not isinstance(variable_name, str):
        raise ParameterTypeError(f"the parameter {name!r} is to be filled in from a variable: variable_name is missing")
    try:
        found = sources.variable(variable_name, _ABSENT)
    except SerializationError as error:
        raise ParameterTypeError(f"the parameter {name!r} cannot be filled in: {error}") from None
    if found is _ABSENT:
        raise ParameterTypeError(
            f"the parameter {name!r} is to be filled in from the variable {variable_name!r}, and there is none of that "
            f"name. Set it: orchestrator variable set {variable_name} VALUE"
        )
    return found


def _rendered(template: Any, context: Mapping[str, Any], name: str) -> str:
    from jinja2 import TemplateError

    from orchestrator.deployments.template_sandbox import rendered_whole

    if not isinstance(template, str):
        raise ParameterTypeError(f"the parameter {name!r}: a template is a text, not {template!r}")
    try:
        return rendered_whole(template, context)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise ParameterTypeError(f"the template of the parameter {name!r} fails: {error}") from None
