"""Labels of what is started for a run: by these workers find it again, whichever of them has started it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "orchestrator.io/"
RUN, DELIVERY, POOL, FLEET, WORKER = (
    f"{PREFIX}{name}" for name in ("flow-run-id", "delivery", "work-pool-id", "fleet", "worker")
)
AUTO_REMOVE: Final = f"{PREFIX}auto-remove"
LONGEST: Final = 63  # of a label's value in Kubernetes
_UNWANTED: Final = re.compile(r"[^-A-Za-z0-9_.]+")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


def delivery_label(ticket: str) -> str:
    """A ticket as a label has it.

    >>> len(delivery_label("p-0123abcd-0:ds 1700000000000-0"))
    16
    """
    return hashlib.sha256(ticket.encode()).hexdigest()[:16]


def labels_of_pool(namespace: str, pool_id: str) -> dict[str, str]:
    """What all that is started for a pool has."""
    return {FLEET: label_value(namespace), POOL: pool_id}


def label_value(text: str) -> str:
    """A text as a label's value may be.

    >>> label_value("daily etl/nightly ✓")
    'daily-etl-nightly'
    """
    return _UNWANTED.sub("-", text)[:LONGEST].strip("-_.")


def with_own(labels: Mapping[str, str], own: object) -> dict[str, str]:
    """These labels over those of job variables, whose values are made what labels may be."""
    given = own if isinstance(own, Mapping) else {}
    return {str(name): label_value(str(value)) for name, value in given.items()} | dict(labels)


def name_for(text: str, longest: int = 50) -> str:
    """A name of what is started, as Docker and Kubernetes take it.

    >>> name_for("Big Übung #3")
    'big-bung-3'
    >>> name_for("✓")
    'flow-run'
    """
    return _NOT_IN_NAMES.sub("-", text.lower())[:longest].strip("-") or "flow-run"
