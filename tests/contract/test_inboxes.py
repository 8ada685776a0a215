"""Inboxes: whoever waits for a run is told its end, once or after asking again, and never waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import pytest

from brokers.block_ends import BlockEnds
from brokers.errors import BrokerUnavailable
from brokers.messages import AckKind, RunEnd, Status
from brokers.redis import inbox as inbox_module
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.redis.transport.protocol import Dialogue
from brokers.schema import InboxField, Reason, ScriptedEnd
from brokers.urls import parse_url
from orchestrator.runs.run_ids import new_run_id
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.letters import Letters
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until


def test_the_end_comes_to_the_inbox_that_the_call_names(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        run_id = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end() == (run_id, Status.COMPLETED, b"result")
    assert_nothing_left(broker)


def test_the_end_comes_to_everyone_who_asked(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "one") as one, Letters(broker, "two") as two, Letters(broker, "three") as three:
        run_id = calls.submit(reply_to="one")
        assert broker.inboxes.expect([run_id], "two") == []
        assert broker.inboxes.expect([run_id], "three") == []
        assert broker.inboxes.expect([run_id], "two") == []
        calls.run_all(AckKind.FAILED)
        assert one.next_end() == two.next_end() == three.next_end() == (run_id, Status.FAILED, b"result")
        assert one.empty
        assert two.empty


def test_an_inbox_whose_name_is_part_of_another_is_told_too(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "abc.local") as other, Letters(broker, "abc") as mine:
        run_id = calls.submit(reply_to="abc.local")
        broker.inboxes.expect([run_id], "abc")
        calls.run_all()
        assert other.next_end()[0] == run_id
        assert mine.next_end()[0] == run_id


def test_who_asks_after_the_end_gets_it_at_once(calls: Calls, broker: RedisBroker) -> None:
    ended, unknown, open_ = calls.submit(), new_run_id(), None
    calls.run_all()
    open_ = calls.submit()
    found = broker.inboxes.expect([ended, unknown, open_], "me")
    assert found == [(ended, Status.COMPLETED, b"result"), (unknown, Status.UNKNOWN, b"")]


def test_a_long_outcome_is_not_copied_into_inboxes(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        short, long_ = calls.submit_many(2, reply_to="me")
        one, two = calls.take()
        calls.end(one, outcome=b"s" * 16_384)
        calls.end(two, outcome=b"l" * 16_385)
        ends = letters.ends(2)
        assert len(ends[short][1]) == 16_384
        assert ends[long_] == (Status.COMPLETED, b"")
        assert len(calls.record(long_).outcome or b"") == 16_385
        assert len(broker.inboxes.expect([long_], "me")[0][2]) == 16_385


@pytest.mark.parametrize("end", ["cancel", "expire", "not ready", "dead letter", "replay"])
def test_ends_that_no_worker_wrote_are_told_as_well(calls: Calls, broker: RedisBroker, end: str) -> None:
    with Letters(broker, "me") as letters:
        upstream = calls.submit(reply_to="me")
        if end == "cancel":
            broker.runs.cancel([upstream])
            assert letters.next_end()[:2] == (upstream, Status.CANCELLED)
        elif end == "expire":
            run_id = calls.submit(x=10, d=60_000, reply_to="me")
            calls.move_until(lambda: not letters.empty)
            assert letters.next_end()[:2] == (run_id, Status.CANCELLED)
        elif end == "not ready":
            dependant = calls.submit(after=(upstream,), reply_to="me")
            calls.run_all(AckKind.FAILED)
            assert letters.ends(2) == {
                upstream: (Status.FAILED, b"result"),
                dependant: (Status.NOT_READY, b"\0" + upstream.encode()),
            }
        elif end == "dead letter":
            calls.take_one("victim")
            broker.deliveries.take_over("victim", running={upstream: "killed"}, max_deliveries=1)
            assert letters.next_end() == (
                upstream,
                Status.CRASHED,
                ScriptedEnd("killed (1 times)", Reason.CRASHED).pack(),
            )
        else:
            calls.run_all(AckKind.FAILED)
            broker.runs.replay([upstream])
            calls.run_all()
            assert [letters.next_end()[1] for _ in range(2)] == [Status.FAILED, Status.COMPLETED]


def test_a_call_that_is_not_ready_when_it_is_submitted_is_told(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        run_id = calls.submit(after=(new_run_id(),), reply_to="me")
        assert letters.next_end()[:2] == (run_id, Status.NOT_READY)


def test_many_ends_arrive_in_order(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        run_ids = calls.submit_many(2500, reply_to="me")
        assert calls.run_all() == run_ids
        assert [letters.next_end()[0] for _ in run_ids] == run_ids


def test_nobody_is_told_whose_inbox_is_gone(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me"):
        calls.submit(reply_to="me")
    calls.run_all()
    assert calls.command("EXISTS", broker.keys.inbox("me")) == 0
    assert_nothing_left(broker)


def test_a_lost_connection_is_noticed_and_nothing_is_missed(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        first = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end()[0] == first
        second = calls.submit(reply_to="me")
        calls.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        calls.run_all()
        assert letters.next_end()[0] == second
        assert letters.gap.wait(10)


def test_a_lost_inbox_is_noticed(calls: Calls, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "BLOCK_SECONDS", 0.1)
    with Letters(broker, "me") as letters:
        calls.command("DEL", broker.keys.inbox("me"))
        assert letters.gap.wait(10)
        run_id = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end()[0] == run_id


def test_after_an_emptied_server_an_open_run_is_unknown_and_the_inbox_goes_on(
    own_server: Callable[..., ServerProcess], namespace: str
) -> None:
    server = own_server()
    address = parse_url(server.url)
    broker = RedisBroker(Wires(lambda: address), namespace)
    calls = Calls(broker)
    with Letters(broker, "me") as letters:
        lost = calls.submit(reply_to="me")
        server.kill()
        with pytest.raises(BrokerUnavailable):
            calls.submit()
        server.start()
        assert letters.gap.wait(10)
        assert broker.inboxes.expect([lost], "me") == [(lost, Status.UNKNOWN, b"")]
        run_id = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end()[0] == run_id
    broker.close()


def test_ends_of_a_block_that_came_together_stay_together(calls: Calls, broker: RedisBroker) -> None:
    pieces: list[BlockEnds] = []
    single: list[RunEnd] = []
    inbox = broker.inboxes.inbox("me", on_settled=single.extend, on_pieces=pieces.extend)
    broker.inboxes.expect([], "me")
    run_ids = calls.submit_map(8, reply_to="me")
    broker.runs.cancel(run_ids[7:])
    taken = calls.take()
    broker.deliveries.complete("worker", [calls.ack(one, outcome=one.run_id.encode()) for one in taken[:5]])
    broker.deliveries.complete("worker", [calls.ack(taken[5]), calls.ack(taken[6], outcome=b"")])
    inbox.start()
    wait_until(lambda: len(single) + sum(len(piece.places) for piece in pieces) == 8)
    inbox.stop()
    ends = {run_id: (status, outcome) for piece in pieces for run_id, status, outcome in piece.each()}
    together = next(piece for piece in pieces if len(piece.places) == 5)
    assert (together.block, together.places, together.letters) == (run_ids[0][:32], bytes(range(5)), b"CCCCC")
    assert all(ends[run_id] == (Status.COMPLETED, run_id.encode()) for run_id in run_ids[:5])
    ends |= {run_id: (status, outcome) for run_id, status, outcome in single}
    assert ends[run_ids[5]] == (Status.COMPLETED, b"result")
    assert (run_ids[6], Status.COMPLETED, b"") in single, "its record has the outcome"
    assert ends[run_ids[7]][0] == Status.CANCELLED


def test_pieces_that_somebody_damaged_are_asked_for_again_and_cost_no_others(calls: Calls, broker: RedisBroker) -> None:
    pieces: list[BlockEnds] = []
    gaps: list[bool] = []
    inbox = broker.inboxes.inbox("me", on_gap=lambda: gaps.append(True), on_pieces=pieces.extend)
    broker.inboxes.expect([], "me")
    (first, *_) = calls.submit_map(8, reply_to="me")
    block = first[:32].encode()
    outcome = msgpack.packb([b"x"], use_bin_type=False)
    for damaged in ([block, b"\0", b"R", outcome], [block, b"\0\1", b"CC", outcome], [block, b"\0", b"C", b"\xc1"], 7):
        packed = msgpack.packb([damaged], use_bin_type=False)
        calls.command("XADD", broker.keys.inbox("me"), "*", InboxField.PIECES, packed)
    taken = calls.take()
    broker.deliveries.complete("worker", [calls.ack(one) for one in taken])
    inbox.start()
    wait_until(lambda: gaps and pieces)
    inbox.stop()
    assert [piece.places for piece in pieces] == [bytes(range(8))]


def test_of_many_letters_one_by_one_few_lie_there_and_few_are_asked_for_with_upkeep(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "UPKEEP_SECONDS", 3600.0)
    sent: list[list[str]] = []
    exchange = Dialogue.exchange

    def noted(dialogue: Dialogue, batch: Sequence[Sequence[Any]], *arguments: Any) -> list[Any]:
        if threading.current_thread().name == "inbox-me":
            sent.append([command[0] for command in batch])
        return exchange(dialogue, batch, *arguments)

    monkeypatch.setattr(Dialogue, "exchange", noted)
    with Letters(broker, "me") as letters:
        for number in range(100):
            broker.inboxes.send_order(str(number), ["me"])
            assert letters.next_order() == (str(number), "")
        (left,) = broker.wires.commands([("XLEN", broker.keys.inbox("me"))])
        assert left <= inbox_module.UNTRIMMED + 1
    assert 4 <= sum("XTRIM" in names for names in sent) <= 10
    assert sum(names == ["XREAD"] for names in sent) >= 90
