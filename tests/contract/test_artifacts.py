"""What runs leave behind: visible as a whole or not at all, versions under keys, nothing left of what is deleted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.facets.artifacts import CHUNK_SECONDS, NewArtifact
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from tests.support.carriage import Calls
from tests.support.waiting import wait_until

VERSIONS = 3


def leave(broker: Broker, artifact_id: str, **fields: object) -> str:
    broker.artifacts.create(NewArtifact(artifact_id, "markdown", **fields), VERSIONS)  # type: ignore[arg-type]
    return artifact_id


def keys_of(broker: RedisBroker, wires: Wires) -> set[str]:
    """Every key of artifacts that is left on the server."""
    found: set[str] = set()
    cursor = b"0"
    while True:
        cursor, names = wires.commands([("SCAN", cursor, "MATCH", broker.keys.prefix + "art*", "COUNT", 1000)])[0]
        found |= {name.decode().removeprefix(broker.keys.prefix) for name in names}
        if cursor == b"0":
            return found


def test_it_comes_back_as_it_was_made(any_broker: Broker) -> None:
    leave(any_broker, "a", key="k", flow_run_id="f", task_run_id="t", data=b"\xff", description=b"d", facts=b"m")
    (found, missing) = any_broker.artifacts.read(["a", "b"])
    assert missing is None
    assert found is not None
    assert found[:5] == ("a", "markdown", "k", "f", "t")
    assert found.created_us > 1_700_000_000_000_000
    assert found.updated_ms > 1_700_000_000_000
    assert found[7:] == (0, b"d", b"m", b"\xff")
    (short,) = any_broker.artifacts.read(["a"], with_data=False)
    assert short is not None
    assert (short.data, short.facts) == (None, b"m")


def test_lists_begin_with_the_newest(any_broker: Broker) -> None:
    leave(any_broker, "1", flow_run_id="f", task_run_id="t")
    leave(any_broker, "2", key="k", flow_run_id="f")
    leave(any_broker, "3", key="l")
    artifacts = any_broker.artifacts
    assert artifacts.newest() == (3, ["3", "2", "1"])
    assert artifacts.newest(1, 1) == (3, ["2"])
    assert artifacts.newest(0, 0) == (3, [])
    assert artifacts.newest(key="") == (2, ["3", "2"])
    assert artifacts.newest(key="k") == (1, ["2"])
    assert artifacts.newest(run_id="f") == (2, ["2", "1"])
    assert artifacts.newest(run_id="t") == (1, ["1"])
    assert artifacts.newest(run_id="nobody") == (0, [])


def test_moments_of_creation_rise_strictly(any_broker: Broker) -> None:
    ids = [leave(any_broker, str(number), key="k") for number in range(3)]
    moments = [found.created_us for found in any_broker.artifacts.read(ids) if found is not None]
    assert moments == sorted(set(moments))


def test_the_newest_versions_of_a_key_are_kept_with_all_their_chunks(any_broker: Broker) -> None:
    for number in range(VERSIONS + 2):
        any_broker.artifacts.put_chunks(str(number), 0, [b"a", b"b"])
        leave(any_broker, str(number), key="k", chunks=2, flow_run_id="f")
    artifacts = any_broker.artifacts
    assert artifacts.newest(key="k") == (VERSIONS, ["4", "3", "2"])
    assert artifacts.newest(run_id="f") == (VERSIONS, ["4", "3", "2"])
    assert artifacts.read(["0", "1"]) == [None, None]
    assert artifacts.chunks("0", [0, 1]) == [None, None]
    assert artifacts.chunks("4", [1, 0]) == [b"b", b"a"]
    assert artifacts.keys() == (1, [("k", "4")])


def test_keys_are_listed_by_their_newest_version(any_broker: Broker) -> None:
    for artifact_id, key in (("1", "a"), ("2", "b"), ("3", "a")):
        leave(any_broker, artifact_id, key=key)
    assert any_broker.artifacts.keys() == (2, [("a", "3"), ("b", "2")])
    assert any_broker.artifacts.keys(1, 1) == (2, [("b", "2")])
    any_broker.artifacts.delete(["3"])
    assert dict(any_broker.artifacts.keys()[1]) == {"a": "1", "b": "2"}


def test_a_change_writes_what_it_names_and_only_of_what_is_there(any_broker: Broker) -> None:
    leave(any_broker, "a", data=b"1", description=b"d")
    assert any_broker.artifacts.change({"a": {"d": b"2"}, "gone": {"d": b"2"}}) == [True, False]
    (found, gone) = any_broker.artifacts.read(["a", "gone"])
    assert gone is None
    assert found is not None
    assert (found.data, found.description) == (b"2", b"d")


def test_a_create_that_is_repeated_changes_nothing(any_broker: Broker) -> None:
    leave(any_broker, "a", key="k", data=b"1")
    before = any_broker.artifacts.read(["a"])
    leave(any_broker, "a", key="k", data=b"2")
    assert any_broker.artifacts.read(["a"]) == before
    assert any_broker.artifacts.newest() == (1, ["a"])


def test_without_all_its_chunks_nothing_is_made(any_broker: Broker) -> None:
    any_broker.artifacts.put_chunks("a", 0, [b"0"])
    with pytest.raises(BrokerConflict, match="chunks"):
        leave(any_broker, "a", key="k", chunks=2)
    assert any_broker.artifacts.read(["a"]) == [None]
    assert any_broker.artifacts.keys() == (0, [])
    any_broker.artifacts.put_chunks("a", 1, [b"1"])
    leave(any_broker, "a", key="k", chunks=2)
    assert any_broker.artifacts.chunks("a", [0, 1]) == [b"0", b"1"]


def test_deleting_counts_what_was_there(any_broker: Broker) -> None:
    for number in range(3):
        leave(any_broker, f"k{number}", key="k")
        leave(any_broker, f"n{number}")
    assert any_broker.artifacts.delete(["n0", "gone"]) == 1
    assert any_broker.artifacts.delete(keys=["k", "gone"]) == 3
    assert any_broker.artifacts.newest() == (2, ["n2", "n1"])
    assert any_broker.artifacts.keys() == (0, [])


def test_of_what_is_deleted_no_key_is_left_on_the_server(broker: RedisBroker, wires: Wires) -> None:
    for number in range(VERSIONS + 1):
        broker.artifacts.put_chunks(f"k{number}", 0, [b"x"] * 3)
        leave(broker, f"k{number}", key="k", chunks=3, flow_run_id="f", task_run_id="t")
    leave(broker, "n", flow_run_id="f")
    broker.artifacts.delete(["n"], ["k"])
    assert keys_of(broker, wires) == set()


def test_a_writer_that_dies_in_the_middle_leaves_nothing_for_ever(broker: RedisBroker, wires: Wires) -> None:
    broker.artifacts.put_chunks("a", 0, [b"x", b"y"])
    assert broker.artifacts.newest() == (0, [])
    left = wires.commands([("PTTL", broker.keys.chunk("a", number)) for number in range(2)])
    assert all(0 < milliseconds <= CHUNK_SECONDS * 1000 for milliseconds in left)
    leave(broker, "a", key="k", chunks=2)
    assert wires.commands([("PTTL", broker.keys.chunk("a", number)) for number in range(2)]) == [-1, -1]


def overdue(broker: RedisBroker, wires: Wires, *ids: str) -> None:
    """Let the moment come at which it is looked whether their runs are still kept."""
    wires.commands([("ZADD", broker.keys.prefix + "artends", 1, artifact_id) for artifact_id in ids])


def tidied_by_the_janitor(broker: RedisBroker) -> None:
    broker.consumers.tidy(60, 60)


def tidied_by_the_next_artifact(broker: RedisBroker) -> None:
    leave(broker, "another")


@pytest.mark.parametrize("tidy", [tidied_by_the_janitor, tidied_by_the_next_artifact])
def test_one_without_a_key_lives_as_long_as_one_of_its_runs(
    broker: RedisBroker, wires: Wires, tidy: Callable[[RedisBroker], None]
) -> None:
    broker.flow_runs.write("f", {"name": "daily"})
    leave(broker, "of-flow", flow_run_id="f", task_run_id="never-in-the-store")
    leave(broker, "of-nobody")
    leave(broker, "keyed", key="k", flow_run_id="gone")
    overdue(broker, wires, "of-flow", "of-nobody", "keyed")
    tidy(broker)
    assert [found is not None for found in broker.artifacts.read(["of-flow", "of-nobody", "keyed"])] == [
        True,
        False,
        True,
    ]
    wires.commands([("DEL", broker.keys.flow("f"))])
    overdue(broker, wires, "of-flow")
    tidy(broker)
    assert broker.artifacts.read(["of-flow"]) == [None]
    assert {"art:keyed", "artkey:k", "artsof:gone"} <= keys_of(broker, wires)
    assert not {"art:of-flow", "art:of-nobody", "artsof:f"} & keys_of(broker, wires)


def test_a_run_that_is_deleted_takes_what_it_left_without_a_key(broker: RedisBroker, calls: Calls) -> None:
    run_id = calls.submit()
    leave(broker, "plain", task_run_id=run_id)
    leave(broker, "keyed", key="k", task_run_id=run_id)
    broker.runs.cancel([run_id])
    wait_until(lambda: broker.runs.delete([run_id]) == [run_id])
    assert [found is not None for found in broker.artifacts.read(["plain", "keyed"])] == [False, True]


def test_damaged_records_cost_only_themselves(broker: RedisBroker, wires: Wires) -> None:
    leave(broker, "good", key="k")
    leave(broker, "bad", key="k")
    leave(broker, "string", key="k")
    wires.commands(
        [
            ("HSET", broker.keys.artifact("bad"), "at", "x", "up", b"\xff", "c", "many"),
            ("DEL", broker.keys.artifact("string")),
            ("SET", broker.keys.artifact("string"), "x"),
        ]
    )
    good, bad, string = broker.artifacts.read(["good", "bad", "string"])
    assert good is not None
    assert bad is not None
    assert (bad.created_us, bad.updated_ms, bad.chunks) == (0, 0, 0)
    assert string is None
    leave(broker, "next", key="k")
    broker.artifacts.delete(keys=["k"])
    assert keys_of(broker, wires) == set()


def test_making_and_deleting_one_are_events(broker: RedisBroker) -> None:
    leave(broker, "a", key="k", flow_run_id="f", task_run_id="t")
    leave(broker, "a", key="k", flow_run_id="f", task_run_id="t")  # repeated
    leave(broker, "b")
    broker.artifacts.delete(["b", "gone"], ["k"])
    events = [event for _, some in broker.events.forwards() for event in some if event is not None]
    assert [(event.name, event.resource["prefect.resource.id"]) for event in events] == [
        ("prefect.artifact.created", "prefect.artifact.a"),
        ("prefect.artifact.created", "prefect.artifact.b"),
        ("prefect.artifact.deleted", "prefect.artifact.b"),
        ("prefect.artifact.deleted", "prefect.artifact.a"),
    ]
    assert events[0].resource["prefect.resource.name"] == events[3].resource["prefect.resource.name"] == "k"
    assert [one["prefect.resource.id"] for one in events[0].related] == ["prefect.flow-run.f", "prefect.task-run.t"]
    assert [one["prefect.resource.role"] for one in events[0].related] == ["flow-run", "task-run"]
