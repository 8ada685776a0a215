"""Steps of reactors: all of it or nothing, and of two reactors that looked at the same one wins."""

from __future__ import annotations

import threading
import uuid

import pytest

from brokers.base import Broker
from brokers.facets.reactions import ACTION_QUEUE, FIRINGS_KEPT, CountWrite, FiringWrite, Move
from brokers.messages import Envelope, Status
from brokers.schema import ACTION_CALL
from tests.support.servers import ServerProcess


def call(name: str = "") -> Envelope:
    return Envelope(name or str(uuid.uuid4()), ACTION_CALL, f"{ACTION_QUEUE}:ds", b"\x00")


def test_a_step_is_written_once_with_all_that_comes_of_it(any_broker: Broker) -> None:
    reactions, one = any_broker.reactions, call()
    before = reactions.look()
    assert (before.version, before.journal, before.calls) == (0, "", 0)
    move = Move(0, "5-0", "6-0", "e1", [CountWrite("a:1", b"x", 60_000)], [FiringWrite("a", b"fired")], [one])
    assert reactions.move(move)
    assert not reactions.move(move)
    now = reactions.look()
    assert (now.version, now.journal, now.events, now.partly, now.calls) == (1, "5-0", "6-0", "e1", 1)
    assert reactions.counts(["a:1", "a:2"]) == [b"x", None]
    assert reactions.firings("a") == (1, [b"fired"])
    assert any_broker.records.read([one.run_id])[0].status == Status.QUEUED


def test_of_two_reactors_that_looked_at_the_same_one_writes(any_broker: Broker) -> None:
    written: list[bool] = []

    def move() -> None:
        written.append(any_broker.reactions.move(Move(0, "1-0", "1-0", calls=[call()])))

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [False] * 7 + [True]
    assert any_broker.reactions.look().calls == 1


def test_a_call_that_is_there_already_is_not_written_again(any_broker: Broker) -> None:
    one = call()
    assert any_broker.reactions.move(Move(0, "1-0", "1-0", calls=[one]))
    assert any_broker.reactions.move(Move(1, "2-0", "1-0", calls=[one]))
    assert any_broker.reactions.look().calls == 1


def test_counts_are_due_at_their_moment_and_forgotten_with_their_value(any_broker: Broker) -> None:
    reactions = any_broker.reactions
    now = reactions.look().now_ms
    early, late = CountWrite("a", b"1", 60_000, now - 1), CountWrite("b", b"2", 60_000, now + 50_000)
    reactions.move(Move(0, "", "", counts=[early, late]))
    looked = reactions.look()
    assert (list(looked.due), looked.next_ms) == (["a"], now + 50_000)
    reactions.move(Move(1, "", "", counts=[CountWrite("a", b""), CountWrite("b", b"3", 60_000)]))
    looked = reactions.look()
    assert (list(looked.due), looked.next_ms, reactions.counts(["a", "b"])) == ([], None, [None, b"3"])


def test_the_newest_firings_are_kept_and_forgotten_with_their_automation(any_broker: Broker) -> None:
    rows = [FiringWrite("a", b"%d" % number) for number in range(FIRINGS_KEPT + 5)]
    any_broker.reactions.move(Move(0, "", "", firings=rows))
    assert any_broker.reactions.firings("a", 0, 2) == (FIRINGS_KEPT, [b"%d" % (FIRINGS_KEPT + n) for n in (4, 3)])
    any_broker.reactions.forget("a")
    assert any_broker.reactions.firings("a") == (0, [])


def test_a_look_says_whether_automations_have_changed(any_broker: Broker) -> None:
    looks = [any_broker.reactions.look().definitions]
    any_broker.documents.write("automation", "1", {"d": b"x"}, name="a")
    looks.append(any_broker.reactions.look().definitions)
    any_broker.documents.delete("automation", ["1"])
    looks.append(any_broker.reactions.look().definitions)
    assert looks[0] != looks[1] != looks[2]


def test_calls_that_somebody_has_taken_do_not_wait(any_broker: Broker) -> None:
    any_broker.consumers.beat(["c"], 60)
    any_broker.reactions.move(Move(0, "", "", calls=[call(), call()]))
    taken, _ = any_broker.deliveries.fetch("c", [f"{ACTION_QUEUE}:ds"], 1)
    assert (len(taken), any_broker.reactions.look().calls) == (1, 1)


@pytest.mark.parametrize("damage", ["reactor", "deadlines", "firings:a", "count:a", "docs:automation"])
def test_damage_is_in_nobodys_way(broker: Broker, server: ServerProcess, namespace: str, damage: str) -> None:
    for kind in (("SET", "x"), ("RPUSH", "x"), ("HSET", "v", "nonsense")):
        server.client().delete(f"{{{namespace}}}:{damage}")
        server.client().execute_command(kind[0], f"{{{namespace}}}:{damage}", *kind[1:])
        looked = broker.reactions.look()
        move = Move(looked.version, "1-0", "1-0", "", [CountWrite("a", b"1", 9, 5)], [FiringWrite("a", b"f")], [call()])
        assert broker.reactions.move(move)
        assert broker.reactions.look().version == looked.version + 1
