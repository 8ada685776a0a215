"""The parameters of a flow as a JSON schema, and parameters checked against it.

The schema is what forms, the API and other programs know of a flow whose code they do not have.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.deployments.schema_checks import first_error
from orchestrator.errors import ParameterBindError, ParameterTypeError, PayloadTooLarge
from orchestrator.observability.redaction import Redaction
from orchestrator.runnables.binding import Signature
from orchestrator.settings import current

MAX_BYTES: Final = 512 * 1024
KIND_KEYS: Final = ("__prefect_kind", "__orchestrator_kind")
_ARGUMENT: Final = re.compile(
    r"^\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)$|^\s*:param\s+(?:\S+\s+)?(\w+)\s*:\s*(.+)$"
)


def schema_of(signature: Signature, docstring: str | None = None) -> dict[str, Any]:
    """The JSON schema of a flow's parameters, in their order: types, defaults, descriptions from the docstring.

    What has no JSON form (a type of somebody's own, a default that is an object) is left open.

    >>> def fetch(city: str, days: int = 3): ...
    >>> schema_of(Signature(fetch))["properties"]["days"]
    {'default': 3, 'position': 1, 'title': 'days', 'type': 'integer'}

    Follows Prefect 3 (``prefect.utilities.callables.parameter_schema``).
    """
    described = _descriptions(docstring or "")
    hints = _hints_of(signature)
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for position, (name, parameter) in enumerate(signature.full.parameters.items()):
        schema = _schema_of_type(hints.get(name, Any), definitions)
        if parameter.kind is parameter.VAR_POSITIONAL:
            schema = {"type": "array", "items": schema, "default": []}
        elif parameter.kind is parameter.VAR_KEYWORD:
            schema = {"type": "object", "additionalProperties": schema, "default": {}}
        schema = _extensible(schema) | {"title": name, "position": position}
        if parameter.default is not parameter.empty:
            schema |= _default_of(parameter.default, name in signature.secret_names)
        if name in described:
            schema["description"] = described[name]
        properties[name] = dict(sorted(schema.items()))
    required = [name for name, parameter in signature.full.parameters.items() if _is_required(parameter)]
    found: dict[str, Any] = {"title": "Parameters", "type": "object", "properties": properties, "required": required}
    return found | ({"definitions": definitions} if definitions else {})


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as JSON has them: models become tables, moments text, blocks references.

    Raises:
        ParameterTypeError: one has no JSON form, is one of pydantic's secrets, which have stars for one, or is a
            block that is not saved.
        PayloadTooLarge: more than 512 KB.

    >>> from datetime import date
    >>> plain_parameters({"day": date(2026, 1, 2), "tags": {"a"}})
    {'day': '2026-01-02', 'tags': ['a']}
    """
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        value = _with_references(name, value)
        if _holds_secret(value):
            raise ParameterTypeError(
                f"the parameter {name!r} cannot be kept: pydantic writes its secret as '**********'; have the flow "
                "read it where it runs, or pass get_secret_value() under a name that is masked, such as 'password'"
            )
        try:
            plain[str(name)] = to_jsonable_python(value)
        except (PydanticSerializationError, ValueError) as error:
            raise ParameterTypeError(
                f"the parameter {name!r} cannot be kept: {type(value).__name__} has no JSON form ({error})"
            ) from None
    size = len(json.dumps(plain))
    if size > MAX_BYTES:
        raise PayloadTooLarge(
            f"the parameters have {size:,} bytes and may have {MAX_BYTES:,}: keep the data elsewhere, pass its place"
        )
    return plain


def _with_references(name: str, value: Any) -> Any:
    """The value with a reference in the place of each block: its secrets never travel."""
    if getattr(type(value), "_is_block", False):
        if value._block_document_id is None:
            raise ParameterTypeError(
                f"the parameter {name!r} is a block that is not in the store: save it first, a reference travels"
            )
        return {"$ref": {"block_document_id": str(value._block_document_id)}}
    if isinstance(value, dict):
        return {key: _with_references(name, part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return [_with_references(name, part) for part in value]
    return value


def _holds_secret(value: Any, depth: int = 8) -> bool:
    """Whether one of pydantic's secrets is in a value, which would become stars without a word."""
    from pydantic import BaseModel, Secret, SecretBytes, SecretStr

    if isinstance(value, SecretStr | SecretBytes | Secret) or not depth:
        return bool(depth)
    if isinstance(value, BaseModel):
        value = vars(value)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return False
    return any(_holds_secret(part, depth - 1) for part in value)


def check_parameters(
    schema: Mapping[str, Any], parameters: Mapping[str, Any], what: str, *, whole: bool = False
) -> None:
    """Whether parameters fit a schema. Values that are filled in when a run is made are not looked at.

    Args:
        schema: of the flow.
        parameters: as JSON has them.
        what: whose they are, for the message.
        whole: those without a default must be among them.

    Raises:
        ParameterBindError: an unknown name, or a missing one; the message lists the flow's.
        ParameterTypeError: a value of a wrong type.
    """
    known = _properties(schema)
    listed = ", ".join(known) or "it takes none"
    if unknown := [name for name in parameters if name not in known]:
        raise ParameterBindError(f"{what}: the flow has no parameter {unknown[0]!r}; its parameters: {listed}")
    required = schema.get("required")
    missing = [name for name in required if name not in parameters] if isinstance(required, list) else []
    if whole and missing:
        raise ParameterBindError(f"{what}: the parameter {missing[0]!r} is missing; its parameters: {listed}")
    for name, value in parameters.items():
        if is_filled_in(value):
            continue
        if (reason := _misfit(name, known[name], schema.get("definitions") or {}, value)) is not None:
            raise ParameterTypeError(f"{what}: the parameter {name!r} does not fit: {reason}")


def misfits(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameter -> why its value does not fit a schema, of all that do not: what a form says beside its fields.

    >>> misfits({"properties": {"days": {"type": "integer"}}}, {"days": "many"})
    {'days': "'many' is not of type 'integer'"}
    """
    known = _properties(schema)
    found = {
        name: _misfit(name, known[name], schema.get("definitions") or {}, value)
        for name, value in parameters.items()
        if name in known and not is_filled_in(value)
    }
    return {name: reason for name, reason in found.items() if reason is not None}


def is_filled_in(value: Any) -> bool:
    """Whether a value, or a part of it, is filled in when the run is made: ``{"__prefect_kind": "jinja", ...}``."""
    if isinstance(value, Mapping):
        return any(key in value for key in (*KIND_KEYS, "$ref")) or any(map(is_filled_in, value.values()))
    return isinstance(value, list) and any(map(is_filled_in, value))


def call_arguments(signature: Signature, parameters: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Parameters by name as the arguments of a call.

    >>> def together(first, /, *rest, **named): ...
    >>> call_arguments(Signature(together), {"first": 1, "rest": [2, 3], "named": {"x": 4}})
    ([1, 2, 3], {'x': 4})
    """
    left, args, kwargs = dict(parameters), [], dict[str, Any]()
    kinds = signature.full.parameters
    has_rest = any(each.kind is each.VAR_POSITIONAL and left.get(name) for name, each in kinds.items())
    for name, parameter in kinds.items():
        if name not in left:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += left.pop(name)
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= left.pop(name)
        elif parameter.kind is parameter.POSITIONAL_ONLY or (
            has_rest and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ):
            args.append(left.pop(name))
    return args, {**left, **kwargs}


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schemas of the parameters; none of a schema that is damaged."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _misfit(name: str, schema: Any, definitions: Mapping[str, Any], value: Any) -> str | None:
    try:
        error = first_error({**schema, "definitions": definitions}, value)
    except Exception:  # a damaged schema: the run itself will fail
        return None
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where + ': ' if where else ''}{_message_of(error, [name, *error.absolute_path])[:300]}"


def _message_of(error: Any, path: list[Any]) -> str:
    """What is wrong, for people and logs: with the value, unless it is or holds one under a secret name."""
    redaction = Redaction(current().redacted_names)
    if any(map(redaction.hides, path)) or redaction.of(error.instance) != error.instance:
        return f"its value, which is not shown, does not fit {error.validator} {error.validator_value!r}"
    message: str = error.message
    return message


def _schema_of_type(annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    if annotation is Any:
        return {}
    try:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:  # a type that brings its own configuration
            adapter = TypeAdapter(annotation)
        schema = adapter.json_schema(ref_template="#/definitions/{model}")
    except Exception:  # no JSON form, or a type that pydantic does not know
        return {}
    definitions.update(schema.pop("$defs", {}))
    return schema


def _extensible(schema: dict[str, Any]) -> dict[str, Any]:
    """A reference with words beside it: older readers of JSON schema ignore these."""
    return {"allOf": [schema]} if "$ref" in schema else schema


def _default_of(default: Any, is_secret: bool) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    if is_secret:
        return {}
    try:
        default = _with_references("default", default)
        return {} if _holds_secret(default) else {"default": to_jsonable_python(default)}
    except Exception:
        return {}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _hints_of(signature: Signature) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(signature.fn), include_extras=True)
    except Exception:
        return {}


def _descriptions(docstring: str) -> dict[str, str]:
    """What a docstring says of parameters: the sections of Google and of reST; further lines are joined."""
    found: dict[str, str] = {}
    for name, text in _described(inspect.cleandoc(docstring).splitlines()):
        found[name] = f"{found[name]} {text}" if name in found else text
    return found


def _described(lines: list[str]) -> Iterator[tuple[str, str]]:
    inside, name, deep = False, "", 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if re.match(r"^(Args|Arguments|Parameters)\s*:?\s*$", line):
            inside, name, deep = True, "", 0
            continue
        if inside and line.strip() and not indent:
            inside = False
        match = _ARGUMENT.match(line)
        if match and match[3]:
            yield match[3], match[4].strip()
        elif inside and match and match[1] and (not deep or indent <= deep):
            name, deep = match[1], indent
            yield name, match[2].strip()
        elif inside and name and line.strip() and indent > deep:
            yield name, line.strip()
