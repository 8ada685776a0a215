"""Definitions that people make: written once each, never over somebody else's change, and never gone by themselves."""

from __future__ import annotations

import threading

import pytest

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.redis.broker import RedisBroker
from brokers.redis.store import pack, unpack
from brokers.redis.transport.connection import Wires


def test_what_is_not_written_stays_and_what_is_dropped_goes(any_broker: Broker) -> None:
    documents = any_broker.documents
    assert documents.write("pool", "1", {"a": "1", "b": b"\xff"}, name="blue") == 1
    assert documents.write("pool", "1", {"a": "2", "c": "3"}, drop=["b"]) == 2
    (document,) = documents.read("pool", ["1"])
    assert document is not None
    assert (document.id, document.generation, document.name) == ("1", 2, "blue")
    assert document.fields == {"a": b"2", "c": b"3"}
    assert document.written_at_ms > 1_700_000_000_000


def test_what_was_asked_for_is_in_the_audit_and_changes_nothing(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("block", "1", {"a": "1"}, who="ann")
    documents.note("block", "1", "asked for secrets", who="bob")
    found = [(line.who, line.what, line.kind, line.id) for line in documents.audit(2)]
    assert found == [("bob", "asked for secrets", "block", "1"), ("ann", "created", "block", "1")]
    (document,) = documents.read("block", ["1"])
    assert document is not None
    assert document.generation == 1


def test_kinds_are_apart(any_broker: Broker) -> None:
    any_broker.documents.write("pool", "1", {"a": "1"}, name="blue")
    assert any_broker.documents.read("limit", ["1"]) == [None]
    assert any_broker.documents.find("limit", ["blue"]) == [None]
    assert any_broker.documents.newest("limit") == (0, [])


def test_two_people_who_read_the_same_generation_do_not_overwrite_each_other(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("pool", "1", {"a": "1"})
    assert documents.write("pool", "1", {"a": "mine"}, expected=1) == 2
    with pytest.raises(BrokerConflict, match="changed since"):
        documents.write("pool", "1", {"a": "yours"}, expected=1)
    (document,) = documents.read("pool", ["1"])
    assert document is not None
    assert document.fields == {"a": b"mine"}


def test_one_that_is_there_is_not_made_anew_where_it_must_be_new(any_broker: Broker) -> None:
    documents = any_broker.documents
    assert documents.write("pool", "1", {"a": "1"}, only_new=True, expected=0) == 1
    with pytest.raises(BrokerConflict, match="already"):
        documents.write("pool", "1", {"a": "2"}, only_new=True)


def test_a_name_belongs_to_one_document_and_goes_with_it(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("pool", "1", {}, name="blue")
    with pytest.raises(BrokerConflict, match="'blue'"):
        documents.write("pool", "2", {}, name="blue")
    documents.write("pool", "1", {}, name="red")
    assert documents.find("pool", ["blue", "red"]) == [None, "1"]
    documents.write("pool", "2", {}, name="blue")
    assert documents.delete("pool", ["1", "gone"]) == 1
    assert documents.find("pool", ["blue", "red"]) == ["2", None]
    assert documents.read("pool", ["1"]) == [None]


def test_one_that_was_changed_meanwhile_is_not_deleted(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("pool", "1", {"a": "1"})
    documents.write("pool", "1", {"a": "2"})
    for expected in (1, 3):
        with pytest.raises(BrokerConflict, match="nothing was deleted"):
            documents.delete("pool", ["1"], expected=expected)
    with pytest.raises(BrokerConflict, match="is gone"):
        documents.delete("pool", ["2"], expected=1)
    assert documents.delete("pool", ["1"], expected=2) == 1
    assert documents.read("pool", ["1"]) == [None]


def test_the_list_begins_with_what_was_written_last(any_broker: Broker) -> None:
    documents = any_broker.documents
    for document_id in ("1", "2", "3"):
        documents.write("pool", document_id, {"a": "x"})
    assert documents.newest("pool")[0] == 3
    assert set(documents.newest("pool")[1]) == {"1", "2", "3"}  # within one millisecond no order is kept
    assert len(documents.newest("pool", 1, 1)[1]) == 1


def test_a_touch_is_no_change_by_people(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("pool", "1", {"a": "x"})
    assert documents.touch("pool", ["1", "gone"], "st") == 1
    (document, gone) = documents.read("pool", ["1", "gone"])
    assert gone is None
    assert document is not None
    assert document.generation == 1
    assert int(document.fields["st"]) >= document.written_at_ms
    assert len(documents.audit()) == 1


def test_the_audit_says_who_did_what_the_newest_first(any_broker: Broker) -> None:
    documents = any_broker.documents
    documents.write("pool", "1", {}, who="ada")
    documents.write("pool", "1", {}, who="bob")
    documents.delete("pool", ["1"])
    deleted, changed, created = documents.audit()
    assert [line[1:] for line in (changed, created)] == [
        ("bob", "changed", "pool", "1"),
        ("ada", "created", "pool", "1"),
    ]
    assert deleted.what == "deleted"
    assert "@" in deleted.who
    assert len(documents.audit(1)) == 1


def test_many_writers_count_every_change(any_broker: Broker) -> None:
    documents = any_broker.documents
    writers = [threading.Thread(target=documents.write, args=("pool", "1", {str(at): "x"})) for at in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (document,) = documents.read("pool", ["1"])
    assert document is not None
    assert (document.generation, len(document.fields)) == (8, 8)


def test_a_write_that_is_repeated_after_a_lost_reply_counts_once(broker: RedisBroker) -> None:
    arguments = ["pool", "1", ["a", "1"], [], "blue", [0, True], "token", "ada"]
    for _ in range(2):
        assert broker.store.run("document_write", arguments) == [1, b""]
    assert len(broker.documents.audit()) == 1


def test_a_definition_never_expires(broker: RedisBroker, wires: Wires) -> None:
    broker.documents.write("pool", "1", {"a": "1"}, name="blue")
    keys = broker.keys
    names = [keys.document("pool", "1"), keys.documents("pool"), keys.document_names("pool"), keys.audit]
    assert wires.commands([("PTTL", name) for name in names]) == [-1] * 4


def test_bytes_come_back_as_they_were(broker: RedisBroker) -> None:
    value = pack({"a": [1, "ü", b"\xff\x00"]})
    broker.documents.write("pool", "1", {"d": value})
    (document,) = broker.documents.read("pool", ["1"])
    assert document is not None
    assert unpack(document.fields["d"]) == {b"a": [1, "ü".encode(), b"\xff\x00"]}
