"""What the store knows of a module that declares schedules: which, and which version of its code was here last."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from brokers.facets.documents import Document
from brokers.stored import text_or_none, whole
from orchestrator.client.fleet import Fleet
from orchestrator.scheduling.code_version import CodeVersion, root_of

KIND: Final = "declaring-module"
NO_CODE: Final = CodeVersion(None, 0)
MOST: Final = 1_000  # modules that are looked at


@dataclass(frozen=True, slots=True)
class DeclaringModule:
    """A module, as its newest code was applied.

    Attributes:
        name: of the module.
        code: the newest version that was applied.
        names: the schedules that it declares.
        vanished: those that it declared once; they are kept until somebody prunes them.
        generation: of the document; 0: there is none.
    """

    name: str
    code: CodeVersion = NO_CODE
    names: frozenset[str] = frozenset()
    vanished: frozenset[str] = frozenset()
    generation: int = 0

    def write(self, fleet: Fleet) -> None:
        """Write it. Raises BrokerConflict: somebody else has written since it was read."""
        fields: dict[str, str | bytes] = {
            "version": self.code.version or "",
            "newest": str(self.code.newest_file_ms),
            "names": msgpack.packb(sorted(self.names)),
            "vanished": msgpack.packb(sorted(self.vanished)),
        }
        new = not self.generation
        expected = None if new else self.generation
        fleet.broker.documents.write(KIND, self.name, fields, expected=expected, only_new=new)


def read_module(fleet: Fleet, name: str) -> DeclaringModule:
    """A module; an empty one if nothing of it was applied yet. Raises BrokerError."""
    (document,) = fleet.broker.documents.read(KIND, [name])
    return DeclaringModule(name) if document is None else _module(document)


def modules_of_apps_here(fleet: Fleet) -> list[DeclaringModule]:
    """The modules in the store of which this process can say what they declare: see :func:`is_known_here`."""
    return [module for module in _all_modules(fleet) if is_known_here(module.name)]


def vanished_schedules(fleet: Fleet) -> dict[str, str]:
    """Names of schedules that code declares no longer, and the modules that declared them. Raises BrokerError."""
    return {name: module.name for module in _all_modules(fleet) for name in module.vanished}


def _all_modules(fleet: Fleet) -> list[DeclaringModule]:
    _, ids = fleet.broker.documents.newest(KIND, 0, MOST)
    found = fleet.broker.documents.read(KIND, ids) if ids else []
    return [_module(document) for document in found if document is not None]


def is_known_here(module: str) -> bool:
    """Whether this process has run a module, or belongs to its app and sees that the module is gone."""
    if module in sys.modules:
        return True
    root = root_of(module)
    if root not in sys.modules or root == module:
        return False
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):  # a package above it is gone, too
        return True


def _module(document: Document) -> DeclaringModule:
    """Reads what it can: a damaged field costs what it says."""
    fields = document.fields
    return DeclaringModule(
        document.id,
        CodeVersion(text_or_none(fields.get("version")) or None, whole(fields.get("newest"))),
        _names(fields.get("names")),
        _names(fields.get("vanished")),
        document.generation,
    )


def _names(packed: bytes | None) -> frozenset[str]:
    try:
        found: Any = msgpack.unpackb(packed) if packed else []
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return frozenset()
    return frozenset(name for name in found if isinstance(name, str)) if isinstance(found, list) else frozenset()
