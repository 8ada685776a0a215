"""``compose.yaml`` and the files under ``deploy/``, read as those read them who start something from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def compose() -> dict[str, Any]:
    """The file as it is, anchors resolved."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def filled_in(text: str, variables: dict[str, str]) -> str:
    """A value with its variables, as Compose fills them in. KeyError: one that must be set is not.

    >>> filled_in("${A:-b}${C:?needed}", {"C": "d"})
    'bd'
    """

    def value(found: re.Match[str]) -> str:
        name, how, other = found.groups()
        if variables.get(name):
            return variables[name]
        if how == ":?":
            raise KeyError(name)
        return str(other or "")

    return _VARIABLE.sub(value, text)


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Everything under ``deploy/k8s`` by kind and name."""
    found = {}
    for path in sorted((ROOT / "deploy" / "k8s").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            name = document.get("metadata", {}).get("name", path.stem)
            assert (document["kind"], name) not in found
            found[(document["kind"], name)] = document
    return found


def option(command: list[str], name: str) -> str:
    """The value of an option, written as ``--name=value`` or ``--name value``."""
    for at, word in enumerate(command):
        if word == name:
            return command[at + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    raise AssertionError(f"no {name} in {command}")
