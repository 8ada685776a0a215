"""The form for a run of a deployment: a field for each parameter of its schema, and what was sent as parameters.

Schema and defaults are data from the store: what a field cannot show is left as it is in the deployment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from orchestrator.deployments.parameter_schema import misfits
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.inspection import Redaction

PREFIX: Final = "p."
MAX_FIELDS: Final = 200
MAX_CHOICES: Final = 200
MAX_VALUE: Final = 20_000  # characters that a field holds
MAX_WORDS: Final = 500  # characters of a description
NEEDED: Final = "A value is needed."
_ABSENT: Final = object()
_HINTS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "date": "a day, such as 2026-01-31",
    "json": 'JSON, such as "text", 12, [1, 2] or {"a": 1}',
    "date-time": "a moment, such as 2026-01-31T06:00:00Z",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter in the form.

    Attributes:
        name: of the parameter.
        kind: ``text``, ``long`` (text of several lines), ``integer``, ``number``, ``date``, ``choice``, ``json``, or
            ``fixed``: shown, never sent.
        value: what stands in it.
        choices: of a ``choice``: what is sent, and what is read.
        is_required: there is no default.
        takes_none: an empty field means ``None``.
        is_secret: what stands in it is not shown; empty: it stays what the deployment says.
        description, hint, error: beside it.
    """

    name: str
    kind: str
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    is_required: bool = False
    takes_none: bool = False
    is_secret: bool = False
    description: str = ""
    hint: str = ""
    error: str = ""


class Sent(NamedTuple):
    """What was sent: parameters, and what is wrong, by parameter."""

    parameters: dict[str, Any]
    errors: dict[str, str]


def fields_of(record: DeploymentRecord, redaction: Redaction) -> list[Field]:
    """The fields of a deployment's form, filled with its parameters and the defaults of its flow."""
    schema = record.parameter_schema
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping):
        return []
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    known = [(name, part) for name, part in properties.items() if isinstance(name, str) and isinstance(part, Mapping)]
    known.sort(key=lambda pair: pair[1]["position"] if isinstance(pair[1].get("position"), int) else MAX_FIELDS)
    definitions = schema.get("definitions")
    definitions = definitions if isinstance(definitions, Mapping) else {}
    return [_field(record, redaction, name, part, definitions, name in needed) for name, part in known[:MAX_FIELDS]]


def parameters_known(record: DeploymentRecord) -> int:
    """How many parameters the schema has."""
    properties = record.parameter_schema.get("properties")
    return len(properties) if isinstance(properties, Mapping) else 0


def _field(
    record: DeploymentRecord,
    redaction: Redaction,
    name: str,
    part: Mapping[str, Any],
    definitions: Mapping[str, Any],
    is_needed: bool,
) -> Field:
    default = record.parameters.get(name, part.get("default", _ABSENT))
    plain, takes_none = _simple(part, definitions)
    description = part.get("description")
    field = Field(
        name,
        _kind(plain, default, takes_none),
        choices=_choices(plain),
        is_required=is_needed and default is _ABSENT,
        takes_none=takes_none,
        description=description[:MAX_WORDS] if isinstance(description, str) else "",
    )
    field = replace(field, hint=_HINTS.get(str(plain.get("format")), _HINTS.get(field.kind, "")))
    if redaction.hides(name) or plain.get("writeOnly") is True or redaction.of(default) != default:
        kind = "json" if field.kind == "json" else "text"
        return replace(field, kind=kind, is_secret=True, hint="empty: as the deployment has it")
    return _filled(field, record, default)


def _filled(field: Field, record: DeploymentRecord, default: Any) -> Field:
    value = "" if default is _ABSENT or (default is None and field.takes_none) else _text(field.kind, default)
    if field.name in record.frozen:
        return replace(field, kind="fixed", value=value[:MAX_WORDS], hint="no run may change it")
    if len(value) > MAX_VALUE:
        shown = f"{value[:MAX_WORDS]}…"
        return replace(field, kind="fixed", value=shown, hint="too long to be changed here: it stays so")
    is_long = field.kind == "text" and ("\n" in value or len(value) > 100)
    return replace(field, value=value, kind="long" if is_long else field.kind)


def _simple(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """A part of the schema without what is around it, and whether ``None`` fits it."""
    takes_none = False
    for _ in range(4):
        several = part.get("anyOf")
        if isinstance(several, list):
            rest = [one for one in several if isinstance(one, Mapping) and one.get("type") != "null"]
            takes_none = takes_none or len(rest) < len(several)
            inner: Any = rest[0] if len(rest) == 1 else None
        else:
            every = part.get("allOf")
            inner = every[0] if isinstance(every, list) and len(every) == 1 else None
        reference = part.get("$ref")
        if isinstance(reference, str):
            inner = definitions.get(reference.removeprefix("#/definitions/"))
        if not isinstance(inner, Mapping):
            break
        part = inner
    return part, takes_none


def _kind(plain: Mapping[str, Any], default: Any, takes_none: bool) -> str:
    kind = _kind_of_type(plain)
    if default is _ABSENT or (default is None and takes_none):
        return kind
    fits: dict[str, tuple[type, ...]] = {"text": (str,), "date": (str,), "integer": (int,), "number": (int, float)}
    if kind == "choice":
        return kind if json.dumps(default, default=repr) in dict(_choices(plain)) else "json"
    return kind if isinstance(default, fits.get(kind, (object,))) and "\r" not in str(default) else "json"


def _kind_of_type(plain: Mapping[str, Any]) -> str:
    if _choices(plain):
        return "choice"
    kind = plain.get("type")
    if kind == "string":
        return "date" if plain.get("format") == "date" else "text"
    return str(kind) if kind in ("integer", "number") else "json"


def _choices(plain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    values = plain.get("enum", [True, False] if plain.get("type") == "boolean" else None)
    if not isinstance(values, list) or not 0 < len(values) <= MAX_CHOICES:
        return ()
    if not all(isinstance(value, str | int | float | bool) for value in values):
        return ()
    return tuple(
        (json.dumps(value), _text("choice" if not isinstance(value, str) else "text", value)) for value in values
    )


def _text(kind: str, value: Any) -> str:
    if kind in ("text", "date") and isinstance(value, str):
        return value
    return json.dumps(value, indent=2 if kind == "json" else None, ensure_ascii=kind == "choice", default=repr)


# -- what was sent -------------------------------------------------------------------------------------------------


def read_form(record: DeploymentRecord, fields: Sequence[Field], form: Mapping[str, str]) -> Sent:
    """The parameters that a form has, and what is wrong with those that cannot be taken."""
    parameters: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in fields:
        text = form.get(PREFIX + field.name)
        if text is None or field.kind == "fixed" or (field.is_secret and not text and not field.is_required):
            continue
        try:
            value = value_of(field, text.replace("\r\n", "\n"))
        except ValueError as error:
            errors[field.name] = str(error)
        else:
            if value is not _ABSENT:
                parameters[field.name] = value
    if record.enforce_parameter_schema:
        errors |= misfits(record.parameter_schema, parameters)
    return Sent(parameters, errors)


def value_of(field: Field, text: str) -> Any:
    """What a text in a field means. Raises ValueError: nothing that fits, with words for people.

    >>> value_of(Field("days", "integer"), " 3 ")
    3
    >>> value_of(Field("days", "integer"), "many")
    Traceback (most recent call last):
    ValueError: 'many' is no whole number.
    """
    is_text = field.kind in ("text", "long")
    if not (text if is_text else text.strip()):
        if field.takes_none:
            return None
        if field.is_required:
            raise ValueError(NEEDED)
        return text if is_text else _ABSENT
    if is_text or field.kind == "date":
        return text
    return _READERS[field.kind](field, text.strip())


def _integer(field: Field, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,400}", text):
        raise ValueError(f"{text[:80]!r} is no whole number.")
    return int(text)


def _number(field: Field, text: str) -> float:
    try:
        return _integer(field, text)
    except ValueError:
        pass
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) or float(text) in (
        float("inf"),
        float("-inf"),
    ):
        raise ValueError(f"{text[:80]!r} is no number.")
    return float(text)


def _choice(field: Field, text: str) -> Any:
    if text not in dict(field.choices):
        raise ValueError(f"{text[:80]!r} is none of the choices.")
    return json.loads(text)


def _json(field: Field, text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("This is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"This is no JSON: {error}. Texts need quotes.") from None


_READERS: Final = {"integer": _integer, "number": _number, "choice": _choice, "json": _json}


def with_texts(fields: Sequence[Field], form: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """The fields as they were sent, with what is wrong; secrets have to be written again."""
    return [
        replace(
            field,
            value=field.value
            if field.is_secret or field.kind == "fixed"
            else form.get(PREFIX + field.name, field.value),
            error=errors.get(field.name, ""),
        )
        for field in fields
    ]
