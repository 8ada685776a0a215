"""Names and ids of deployments: a name has the same id in every process, also on a store that came back empty."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6f1d2c1e-5a0b-5b1f-9f0e-3a4c5d6e7f80")
MAX_LENGTH: Final = 200
_UNWANTED: Final = re.compile(r"[/%&<>\x00-\x1f]")


def check_name(name: object, what: str = "deployment") -> str:
    """A name as it may be.

    Raises:
        ValueError: it is no text of 1 to 200 characters without ``/ % & < >``.

    >>> check_name("nightly")
    'nightly'
    >>> check_name("etl/nightly")
    Traceback (most recent call last):
    ValueError: 'etl/nightly' is no name for a deployment: it has '/'; none of / % & < > is allowed
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_LENGTH or not name.strip():
        raise ValueError(f"{name!r} is no name for a {what}: write a text of 1 to {MAX_LENGTH} characters")
    if found := _UNWANTED.search(name):
        raise ValueError(f"{name!r} is no name for a {what}: it has {found[0]!r}; none of / % & < > is allowed")
    return name


def full_name(flow_name: str, name: str) -> str:
    """``flow/deployment``."""
    return f"{flow_name}/{name}"


def deployment_id_of(namespace: str, flow_name: str, name: str) -> str:
    """The id of a deployment.

    >>> deployment_id_of("shop", "etl", "nightly") == deployment_id_of("shop", "etl", "nightly")
    True
    """
    return str(uuid5(NAMESPACE, f"{namespace}\0{flow_name}\0{name}"))


def flow_id_of(namespace: str, flow_name: str) -> str:
    """The id of a flow."""
    return str(uuid5(NAMESPACE, f"{namespace}\0{flow_name}"))


def served_queue_of(deployment_id: str) -> str:
    """The queue of the runs of a deployment that is served: no work pool has it.

    >>> served_queue_of("0123abcd-4567-8901-2345-67890abcdef0")
    's-0123abcd4567'
    """
    return "s-" + deployment_id.replace("-", "")[:12]


def pool_id_of(namespace: str, name: str) -> str:
    """The id of a work pool: one that is made again under a name has the queues of before."""
    return str(uuid5(NAMESPACE, f"{namespace}\0pool\0{name}"))


def queue_of_pool(pool_id: str, number: int) -> str:
    """The store's name of a work pool's queue; number 0 is ``default``.

    >>> queue_of_pool("0123abcd-4567-8901-2345-67890abcdef0", 0)
    'p-0123abcd-0'
    """
    return f"p-{pool_id.replace('-', '')[:8]}-{number}"


def is_id(text: str) -> bool:
    """Whether a text is an id and no name.

    >>> is_id("0123abcd-4567-8901-2345-67890abcdef0"), is_id("etl/nightly")
    (True, False)
    """
    try:
        UUID(text)
    except ValueError:
        return False
    return True
