"""``{{ prefect.variables.NAME }}`` and ``{{ prefect.blocks.SLUG.NAME }}``: what the store has under these names.

They are in job variables of deployments, templates of pools and files of projects; never in what came with a run, whose
sender need not be allowed to read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.errors import ConfigurationError, SerializationError

_PLACE: Final = re.compile(r"\{\{\s*(?:prefect|orchestrator)\.(variables|blocks)\.([\w.-]+)\s*\}\}")
_ABSENT: Final = object()
ReadBlock = Callable[[str, Sequence[str]], Any]
"""The value of a block by ``slug/name``, or of a part of it."""


def with_variables(value: Any, read: Callable[[str, Any], Any], read_block: ReadBlock | None = None) -> Any:
    """A value with those places filled in, in all of its parts. One that is the whole text keeps its type.

    Args:
        value: what may have such places.
        read: gives the value of a variable by its name, or what is given beside it where there is none.
        read_block: gives the value of a block. Without it places of blocks stay as they are: what they hold may be
            secret, and is for the process that is started.

    Raises:
        ConfigurationError: a variable is not set, or it or a block cannot be read.

    >>> with_variables({"env": {"CITY": "in {{ prefect.variables.city }}"}}, {"city": "Oslo"}.get)
    {'env': {'CITY': 'in Oslo'}}
    >>> with_variables("{{ prefect.variables.days }}", {"days": [1, 2]}.get)
    [1, 2]
    >>> with_variables("{{ prefect.blocks.secret.key }}", {}.get)
    '{{ prefect.blocks.secret.key }}'

    Follows Prefect 3 (``prefect.utilities.templating``), where a variable that is not set is empty.
    """
    if isinstance(value, Mapping):
        return {key: with_variables(part, read, read_block) for key, part in value.items()}
    if isinstance(value, list):
        return [with_variables(part, read, read_block) for part in value]
    if not isinstance(value, str):
        return value

    def of_place(found: re.Match[str]) -> Any:
        if found[1] == "variables":
            return _variable(found[2], read)
        return found[0] if read_block is None else _block(found[2], read_block)

    if whole := _PLACE.fullmatch(value.strip()):
        return of_place(whole)
    return _PLACE.sub(lambda found: _text(of_place(found)), value)


def check_no_places(of_run: Mapping[str, Any]) -> None:
    """Whether job variables that came with a run are values only.

    Raises:
        ConfigurationError: one names a block or a variable.

    >>> check_no_places({"env": {"KEY": "{{ prefect.blocks.secret.key }}"}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: the job variable 'env' came with the run and names {{...
    """
    for name, value in of_run.items():
        if (place := _first_place(value)) is not None:
            raise ConfigurationError(
                f"the job variable {name!r} came with the run and names {place}, which is not put in there: blocks and "
                "variables are for job variables of the deployment and the work pool's template"
            )


def _first_place(value: Any) -> str | None:
    if isinstance(value, Mapping | list):
        parts = value.values() if isinstance(value, Mapping) else value
        return next((found for part in parts if (found := _first_place(part)) is not None), None)
    place = _PLACE.search(value) if isinstance(value, str) else None
    return place[0] if place is not None else None


def _variable(name: str, read: Callable[[str, Any], Any]) -> Any:
    try:
        found = read(name, _ABSENT)
    except SerializationError as error:
        raise ConfigurationError(str(error)) from None
    if found is _ABSENT:
        raise ConfigurationError(
            f"{{{{ prefect.variables.{name} }}}} cannot be filled in, since that variable is not set: orchestrator "
            f"variable set {name} VALUE"
        )
    return found


def _block(dotted: str, read: ReadBlock) -> Any:
    slug, _, rest = dotted.partition(".")
    name, *keys = rest.split(".")
    if not slug or not name:
        raise ConfigurationError(
            f"{{{{ prefect.blocks.{dotted} }}}} names no block: write {{{{ prefect.blocks.SLUG.NAME }}}}"
        )
    return read(f"{slug}/{name}", keys)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
