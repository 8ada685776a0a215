"""Values against JSON schemas that anybody may have written: nothing is fetched, and no pattern takes for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema


def first_error(schema: Mapping[str, Any], value: Any) -> Any:
    """What fits least of a value, as jsonschema has it; ``None`` if all fits.

    Raises whatever a damaged schema makes jsonschema raise. A ``$ref`` to elsewhere is such damage: jsonschema would
    fetch it, also from private addresses and from files, and schemas come from whoever may write one.

    >>> first_error({"type": "string", "pattern": "^(a+)+$"}, "a" * 100 + "!").validator
    'pattern'
    """
    from jsonschema.exceptions import best_match
    from referencing import Registry

    return best_match(_validator()(_in_one_dialect(schema), registry=Registry()).iter_errors(value))


def _in_one_dialect(schema: Any) -> Any:
    """A schema without ``$schema``: jsonschema would go on with the validator of that dialect, which is not ours."""
    if isinstance(schema, Mapping):
        return {
            name: _in_one_dialect(part)
            for name, part in schema.items()
            if not (name == "$schema" and isinstance(part, str))
        }
    return [_in_one_dialect(part) for part in schema] if isinstance(schema, list) else schema


@cache
def _validator() -> Any:
    """That of jsonschema, with patterns as pydantic matches them, in linear time: Python's ``re`` may take years.

    It knows ``dependencies``, which newer dialects have left: Prefect's pages require fields by it.

    What jsonschema itself would ask of ``re`` beside it, which names are left, is not looked at where there are
    patterns of names.
    """
    from jsonschema import Draft7Validator, Draft202012Validator
    from jsonschema import ValidationError as Misfit
    from jsonschema.validators import extend

    plain = Draft202012Validator.VALIDATORS["additionalProperties"]

    def pattern(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _matches(wanted, value):
            yield Misfit(f"{value!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        for name_pattern, inner in wanted.items():
            for name, part in value.items() if isinstance(value, dict) else ():
                if _matches(name_pattern, name):
                    yield from validator.descend(part, inner, path=name, schema_path=name_pattern)

    def additional(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        if "patternProperties" not in schema:
            yield from plain(validator, wanted, value, schema) or ()

    older = {"dependencies": Draft7Validator.VALIDATORS["dependencies"]}
    own = older | {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional}
    return extend(Draft202012Validator, {**own, "unevaluatedProperties": lambda *parts: ()})


def _matches(pattern: Any, text: str) -> bool:
    """Whether a pattern is somewhere in a text; one that cannot be matched in linear time is taken to be."""
    try:
        _compiled(str(pattern)).validate_python(text)
    except ValidationError:
        return False
    except SchemaError:
        return True
    return True


@lru_cache(200)
def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern))
