"""Blocks written without their classes: from forms, from the API, from the command line, as their schemas say.

No class is built here: the program that uses the block has it, and its code is not for this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from orchestrator.blocks.contents import RAW, Contents, SecretValue, at, hide, put
from orchestrator.blocks.record import BlockRecord, BlockSchema
from orchestrator.blocks.schema import Path
from orchestrator.blocks.sealing import STARS
from orchestrator.deployments.names import is_id
from orchestrator.deployments.schema_checks import first_error
from orchestrator.errors import ParameterTypeError

_LENGTHS: Final = {"minLength": "is too short", "maxLength": "is too long", "minimum": "is too small"}


def drafted(
    schema: BlockSchema, data: Mapping[str, Any], record: BlockRecord, *, merge: bool = True
) -> tuple[BlockRecord, Contents]:
    """What a block becomes: its record with the secrets that stay, and what else it consists of.

    Args:
        schema: of its type.
        data: fields as JSON has them; stars stand for a secret that stays as it is.
        record: the block as it is, or a new one without fields.
        merge: fields that are not given stay; else they are gone, secrets as well.

    Raises:
        ParameterTypeError: fields do not fit; says which and why, and shows no values.
    """
    before = record.contents()
    kept = {key: value for key, value in before.data.items() if merge and key not in data}
    contents = Contents({**kept, **_copied(data)})
    contents.references = {path: one for path, one in before.references.items() if path[0] in kept}
    contents.inline = {path: one for path, one in before.inline.items() if path[0] in kept}
    sealed = {path: one for path, one in record.sealed.items() if path[0] in kept}
    fresh = Contents({key: contents.data[key] for key in data})
    _take_blocks(fresh, schema.fields)
    if reasons := misfits(schema.fields, fresh, {*kept}):
        raise ParameterTypeError("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    hide(fresh, schema.fields)
    sealed |= _kept_secrets(fresh, record)
    contents.data |= fresh.data
    contents.secrets = fresh.secrets
    contents.references |= fresh.references
    contents.inline |= fresh.inline
    return replace(record, sealed=sealed, checksum=schema.checksum), contents


def misfits(schema: Mapping[str, Any], contents: Contents, kept: set[str]) -> dict[str, str]:
    """Field -> why it does not fit, of all that do not. No value is shown: it may be a secret.

    Args:
        schema: of the type.
        contents: what was given.
        kept: fields that have values already.
    """
    found: dict[str, str] = {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in contents.data and name not in kept:
            found[str(name)] = "is missing"
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    for name, value in contents.data.items():
        inside = [path for path in (*contents.references, *contents.inline) if path[0] == name]
        if name not in properties:
            found[name] = f"is no field of it; its fields: {', '.join(map(str, properties)) or 'it has none'}"
        elif not inside and not _has_stars(value) and (reason := _misfit(properties[name], schema, value)) is not None:
            found[name] = reason
    return found


def _misfit(part: Any, schema: Mapping[str, Any], value: Any) -> str | None:
    try:
        error = first_error({**part, "definitions": schema.get("definitions") or {}}, value)
    except Exception:  # a damaged schema: whoever loads the block will see
        return None
    if error is None:
        return None
    where = "".join(f"[{one!r}] " for one in error.absolute_path)
    return where + _reason(str(error.validator), error.validator_value)


def _reason(validator: str, wanted: Any) -> str:
    if validator == "type":
        return f"must be of the type {wanted if isinstance(wanted, str) else ' or '.join(map(str, wanted))}"
    if validator in ("enum", "const"):
        return f"must be {' or '.join(repr(one) for one in wanted) if isinstance(wanted, list) else repr(wanted)}"
    if validator == "required":
        return f"needs {', '.join(map(str, wanted))}"
    return _LENGTHS.get(validator, f"does not fit ({validator})")


def _take_blocks(contents: Contents, schema: Mapping[str, Any]) -> None:
    """What refers to blocks, or is one, goes to its place in contents."""
    wanted = schema.get("block_schema_references")
    for name, types in (wanted if isinstance(wanted, Mapping) else {}).items():
        slugs = [one.get("block_type_slug") for one in (types if isinstance(types, list) else [types]) if one]
        for path, value in _tables(contents.data.get(name), (name,)):
            if (block_id := _reference_in(value)) is not None:
                contents.references[path] = block_id
                put(contents.data, path, None)
            elif (slug := value.pop("block_type_slug", None) or (slugs[0] if len(slugs) == 1 else None)) is not None:
                contents.inline[path] = str(slug)


def _tables(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _tables(part, (*path, number))


def _reference_in(value: Mapping[str, Any]) -> str | None:
    """The id in ``{"$ref": {"block_document_id": id}}``."""
    found = value.get("$ref")
    block_id = found.get("block_document_id") if isinstance(found, Mapping) else None
    return str(block_id) if block_id is not None and is_id(str(block_id)) else None


def _kept_secrets(contents: Contents, record: BlockRecord) -> dict[Path, bytes]:
    """The encrypted secrets for which stars stand."""
    kept: dict[Path, bytes] = {}
    for path, secret in list(contents.secrets.items()):
        if not _has_stars(secret.value):
            continue
        del contents.secrets[path]
        _check_still_there(path, contents.data, record.data)
        put(contents.data, path, secret.value)
        for leaf, value in list(_leaves(secret.value, path)):
            if value == STARS:
                if leaf not in record.sealed:
                    raise ParameterTypeError(
                        f"{path[0]}: stars are what is shown instead of a secret, and there is none: write the secret"
                    )
                kept[leaf] = record.sealed[leaf]
            elif value is not None:
                contents.secrets[leaf] = SecretValue(RAW, value)
            put(contents.data, leaf, None)
    return kept


def _check_still_there(path: Path, data: Any, before: Any) -> None:
    """Stars in a list stand for the secret of that entry: not for another's, should entries have moved."""
    for length in range(1, len(path)):
        if isinstance(path[length], int):
            place = path[: length + 1]
            try:
                same = at(data, place) == at(before, place)
            except (LookupError, TypeError):
                same = False
            if not same:
                raise ParameterTypeError(
                    f"{path[0]}: entry {path[length]} is not what it was, so stars cannot stand for its secret"
                )


def _has_stars(value: Any) -> bool:
    return any(leaf == STARS for _, leaf in _leaves(value, ()))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield path, value
        return
    for key, part in parts:
        yield from _leaves(part, (*path, key))


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value
