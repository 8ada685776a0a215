"""The last admin stays: those who are about to be none are noted where two writers cannot both change it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.facets.documents import Document
from orchestrator.errors import ConfigurationError
from orchestrator.serializers.documents import pack_document, unpack_document

KIND: Final = "admins"
LEAVING: Final = "leaving"
ATTEMPTS: Final = 20
WITHOUT_ADMIN_OPTION: Final = "--leave-without-admin"


def begin_to_leave(broker: Broker, user_id: str, admins: Callable[[], set[str]], *, even_the_last: bool) -> None:
    """This one is to be an admin no more; to be called before that is written.

    Args:
        broker: of the fleet.
        user_id: whose role is about to go.
        admins: reads the ids of those who are one now.
        even_the_last: whether that is meant.

    Raises:
        ConfigurationError: nobody else is one who stays, and that is not meant.
    """

    def with_this_one(leaving: frozenset[str]) -> frozenset[str]:
        there = admins()
        if user_id in there and not there - leaving - {user_id} and not even_the_last:
            raise ConfigurationError(
                "nothing was changed: this is the last admin, and nobody could manage people over the server "
                f"then; make another one first (orchestrator user role NAME admin), or say {WITHOUT_ADMIN_OPTION}"
            )
        return (leaving & there) | {user_id}  # whoever has left need not be remembered

    _change(broker, with_this_one)


def stay(broker: Broker, user_id: str) -> None:
    """This one is an admin, or is one again."""
    _change(broker, lambda leaving: leaving - {user_id})


def _change(broker: Broker, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
    for _ in range(ATTEMPTS):
        document = broker.documents.read(KIND, [LEAVING])[0]
        before = _ids(document)
        after = change(before)
        if after == before:
            return
        try:
            generation = document.generation if document is not None else 0
            fields: dict[str, str | bytes] = {"d": pack_document(KIND, LEAVING, {"ids": sorted(after)})}
            broker.documents.write(KIND, LEAVING, fields, expected=generation)
            return
        except BrokerConflict:
            continue  # somebody else was faster: look again
    raise BrokerConflict("others change who is an admin all the time; nothing was changed: try again")


def _ids(document: Document | None) -> frozenset[str]:
    if document is None:
        return frozenset()
    plain, _ = unpack_document(KIND, LEAVING, document.fields.get("d", b""))
    ids = plain.get("ids")
    return frozenset(each for each in ids if isinstance(each, str)) if isinstance(ids, list) else frozenset()
