"""A list of all sees all that stays, whatever is deleted or written while it is being read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from brokers.base import Broker
from brokers.facets.documents import Document
from orchestrator.blocks import lookup as block_lookup
from orchestrator.blocks.record import BLOCK, BlockRecord
from orchestrator.deployments.record import KIND, DeploymentRecord
from orchestrator.people import users
from orchestrator.people.record import KEY, ApiKey
from orchestrator.work_pools import members

COUNT = 12


def write_key(broker: Broker, name: str) -> None:
    broker.documents.write(KEY, name, {"d": ApiKey(name, name, "ann", b"00", None, None).document()})


def write_block(broker: Broker, name: str) -> None:
    broker.documents.write(BLOCK, name, BlockRecord(name, "secret", name).document())


def write_deployment(broker: Broker, name: str) -> None:
    document = DeploymentRecord(name, name, "flow", work_pool_name="pool").document()
    broker.documents.write(KIND, name, dict(document))


class List(NamedTuple):
    """A list of all documents of a kind: how one is written, and how the ids of all are read."""

    kind: str
    write: Callable[[Broker, str], None]
    read: Callable[[Broker], list[str]]


LISTS = [
    List(KEY, write_key, lambda broker: [key.id for key in users.all_keys(broker)]),
    List(BLOCK, write_block, lambda broker: [block.id for block in block_lookup.every_block(broker)]),
    List(KIND, write_deployment, lambda broker: [one.id for one in members.members_of(broker, "pool")]),
    List(KIND, write_deployment, lambda broker: members.PoolMembers(broker, "pool")()),
]


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_LISTED", 4)
    monkeypatch.setattr(block_lookup, "MOST", 4)
    monkeypatch.setattr(members, "PAGE", 1)


@pytest.mark.parametrize("each", LISTS, ids=["keys", "blocks", "members", "pool members"])
def test_what_stays_is_seen_though_others_go_and_move(
    any_broker: Broker, each: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"n{number:02}" for number in range(COUNT)]
    for name in names:
        each.write(any_broker, name)
    newest_first = any_broker.documents.newest(each.kind, limit=None)[1]
    assert sorted(newest_first) == names
    read, changes = any_broker.documents.read, [1]

    def read_and_change(kind: str, ids: Sequence[str]) -> list[Document | None]:
        found = read(kind, ids)
        if changes:
            changes.pop()
            any_broker.documents.delete(each.kind, newest_first[:1])
            each.write(any_broker, newest_first[-1])  # and now it is the first
        return found

    monkeypatch.setattr(any_broker.documents, "read", read_and_change)
    assert set(each.read(any_broker)) >= set(newest_first[1:])
