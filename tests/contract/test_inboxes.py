"""Inboxes: whoever waits for a run is told its end, once or after asking again, and never waits for nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokers.contract import Ending, Status
from brokers.errors import BrokerUnavailable
from brokers.redis import inbox as inbox_module
from brokers.redis.broker import RedisBroker
from brokers.redis.wire import Wires
from brokers.urls import parse_url
from orchestrator.ids import new_run_id
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.letters import Letters
from tests.support.servers import ServerProcess


def test_the_end_comes_to_the_inbox_that_the_call_names(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "me") as letters:
        run_id = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end() == (run_id, Status.COMPLETED, b"result")
    assert_nothing_left(broker)


def test_the_end_comes_to_everyone_who_asked(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "one") as one, Letters(broker, "two") as two, Letters(broker, "three") as three:
        run_id = calls.submit(reply_to="one")
        assert broker.expect([run_id], "two") == []
        assert broker.expect([run_id], "three") == []
        assert broker.expect([run_id], "two") == []
        calls.run_all(Ending.FAILED)
        assert one.next_end() == two.next_end() == three.next_end() == (run_id, Status.FAILED, b"result")
        assert one.empty
        assert two.empty


def test_an_inbox_whose_name_is_part_of_another_is_told_too(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "abc.local") as other, Letters(broker, "abc") as mine:
        run_id = calls.submit(reply_to="abc.local")
        broker.expect([run_id], "abc")
        calls.run_all()
        assert other.next_end()[0] == run_id
        assert mine.next_end()[0] == run_id


def test_who_asks_after_the_end_gets_it_at_once(calls: Calls, broker: RedisBroker) -> None:
    ended, unknown, open_ = calls.submit(), new_run_id(), None
    calls.run_all()
    open_ = calls.submit()
    found = broker.expect([ended, unknown, open_], "me")
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
        assert len(broker.expect([long_], "me")[0][2]) == 16_385


@pytest.mark.parametrize("end", ["cancel", "expire", "not ready", "dead letter", "replay"])
def test_ends_that_no_worker_wrote_are_told_as_well(calls: Calls, broker: RedisBroker, end: str) -> None:
    with Letters(broker, "me") as letters:
        upstream = calls.submit(reply_to="me")
        if end == "cancel":
            broker.cancel([upstream])
            assert letters.next_end()[:2] == (upstream, Status.CANCELLED)
        elif end == "expire":
            run_id = calls.submit(x=10, d=60_000, reply_to="me")
            calls.move_until(lambda: not letters.empty)
            assert letters.next_end()[:2] == (run_id, Status.CANCELLED)
        elif end == "not ready":
            dependant = calls.submit(after=(upstream,), reply_to="me")
            calls.run_all(Ending.FAILED)
            assert letters.ends(2) == {
                upstream: (Status.FAILED, b"result"),
                dependant: (Status.NOT_READY, b"\0" + upstream.encode()),
            }
        elif end == "dead letter":
            calls.take_one("victim")
            broker.take_over("victim", running={upstream: "killed"}, max_deliveries=1)
            assert letters.next_end() == (upstream, Status.CRASHED, b"\0killed (1 times)")
        else:
            calls.run_all(Ending.FAILED)
            broker.replay([upstream])
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
        assert broker.expect([lost], "me") == [(lost, Status.UNKNOWN, b"")]
        run_id = calls.submit(reply_to="me")
        calls.run_all()
        assert letters.next_end()[0] == run_id
    broker.close()
