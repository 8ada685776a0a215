"""Calls of a map that are kept together: each of them lives as any other call, and together they cost one."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from brokers.block_ids import MOST_IN_BLOCK
from brokers.errors import QueueFull
from brokers.messages import Ack, AckKind, Delivery, KillVerdict, Status
from brokers.records import PURGED, SUBMITTED
from brokers.redis.blocks import in_blocks
from brokers.redis.broker import RedisBroker
from brokers.schema import CallMeta, Reason
from orchestrator.runs.run_ids import new_map_run_ids
from tests.support.carriage import TTL_MS, Calls, assert_nothing_left
from tests.support.waiting import wait_until


def keys_of_blocks(calls: Calls) -> list[bytes]:
    found: list[bytes] = calls.command("KEYS", calls.broker.keys.prefix + "b:*")
    return found


def is_moved_out(calls: Calls, run_id: str) -> bool:
    return bool(calls.command("EXISTS", calls.broker.keys.record(run_id)))


def complete(broker: RedisBroker, acks: list[Ack]) -> list[str]:
    return broker.deliveries.complete("worker", acks)


def script(calls: Calls, name: str, arguments: list[Any]) -> Any:
    store = calls.broker.runs._store
    return store.run(name, arguments)


# -- there and back --------------------------------------------------------------------------------------------------


def test_calls_come_out_as_they_went_in(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(300)
    envelopes = [calls.envelope(run_id, body=b"%d" % at) for at, run_id in enumerate(run_ids)]
    assert broker.runs.submit(envelopes) == run_ids
    assert len(keys_of_blocks(calls)) == 3
    taken = calls.take(1000)
    assert [(one.run_id, one.body, one.deliveries) for one in taken] == [
        (run_id, b"%d" % at, 1) for at, run_id in enumerate(run_ids)
    ]
    assert len({one.ticket for one in taken}) == 300
    assert complete(broker, [calls.ack(one, outcome=one.body) for one in taken]) == []
    assert [(one.status, one.outcome) for one in broker.records.read(run_ids)] == [
        (Status.COMPLETED, b"%d" % at) for at in range(300)
    ]
    assert not any(is_moved_out(calls, run_id) for run_id in run_ids)
    assert_nothing_left(broker)


def test_a_worker_takes_a_part_and_others_the_rest_in_order(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(10)
    later = calls.submit()
    parts = [calls.take(3, consumer) for consumer in ("a", "b", "a")]
    assert [[one.run_id for one in part] for part in parts] == [run_ids[:3], run_ids[3:6], run_ids[6:9]]
    assert [one.run_id for one in calls.take(3, "b")] == [run_ids[9], later]
    assert calls.take(3, "c") == []


def test_ranges_among_single_calls_lose_none_however_few_are_wanted(calls: Calls, broker: RedisBroker) -> None:
    run_ids = [run_id for _ in range(4) for run_id in (calls.submit(), *calls.submit_map(5))]
    taken: list[str] = []
    while some := calls.take(3):
        assert len(some) <= 5  # entries are read before it is known how many calls they are
        assert complete(broker, list(map(calls.ack, some))) == []
        taken += [one.run_id for one in some]
    assert sorted(taken) == sorted(run_ids)
    assert {record.status for record in broker.records.read(run_ids)} == {Status.COMPLETED}
    assert_nothing_left(broker)


def test_what_is_left_of_a_part_keeps_its_priority(calls: Calls) -> None:
    low = calls.submit_map(8, route="q:ls")
    assert [one.run_id for one in calls.take(1)] == low[:1]
    high = calls.submit(route="q:hs")
    assert [one.run_id for one in calls.take(2)] == [high, low[1]]


def test_a_reply_holds_a_megabyte_of_a_block(calls: Calls) -> None:
    run_ids = [run_id for _ in range(6) for run_id in calls.submit_map(128, body=b"x" * 2000)]
    taken = calls.take(10_000)
    assert sum(len(one.body) for one in taken) <= 1 << 20
    assert [one.run_id for one in taken] == run_ids[: len(taken)]
    assert [one.run_id for one in taken + calls.take(10_000)] == run_ids


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_calls_are_records(calls: Calls, count: int) -> None:
    run_ids = calls.submit_map(count)
    assert keys_of_blocks(calls) == []
    assert [one.run_id for one in calls.take()] == run_ids


def test_large_calls_and_those_with_something_of_their_own_are_records(calls: Calls) -> None:
    for how in ({"body": b"x" * 5000}, {"d": 1}, {"l": "db|1"}):
        run_ids = new_map_run_ids(8)
        records, blocks, _ = in_blocks([calls.envelope(run_id, **how) for run_id in run_ids])
        assert (len(records), blocks) == (8, [])


def test_how_a_map_is_divided_does_not_matter_when_it_is_sent_again(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(20)
    envelopes = [calls.envelope(run_id) for run_id in run_ids]
    broker.runs.submit(envelopes[:8])
    broker.runs.submit(envelopes[4:12])
    broker.runs.submit(envelopes)
    broker.runs.submit(envelopes)
    assert sorted(one.run_id for one in calls.take()) == run_ids
    assert broker.figures.submitted() == {("app.task", "q"): 20}


def test_calls_of_one_submit_may_wait_for_each_other(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(5)
    behind = calls.envelope(after=tuple(run_ids))
    broker.runs.submit([behind, *(calls.envelope(run_id) for run_id in run_ids)])
    assert calls.status(behind.run_id) == Status.PARKED
    assert calls.run_all() == [*run_ids, behind.run_id]


# -- the fence -------------------------------------------------------------------------------------------------------


def test_an_end_counts_once_and_its_repetition_is_not_refused(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_map(6)
    taken = calls.take()
    first = [calls.ack(one, outcome=b"first") for one in taken[:4]]
    assert complete(broker, first) == []
    assert complete(broker, first) == []
    late = [calls.ack(one, outcome=b"late") for one in taken]
    assert complete(broker, late) == [one.run_id for one in taken[:4]]
    outcomes = [one.outcome for one in broker.records.read([one.run_id for one in taken])]
    assert outcomes == [b"first"] * 4 + [b"late"] * 2
    assert broker.figures.ended() == {("app.task", b"C"): 6}
    assert_nothing_left(broker)


def test_two_ends_of_one_call_in_one_reply(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_map(4)
    one, *others = calls.take()
    acks = [calls.ack(one, outcome=b"a"), calls.ack(one, outcome=b"b"), *map(calls.ack, others)]
    assert complete(broker, acks) == [one.run_id]
    assert calls.record(one.run_id).outcome == b"a"
    assert_nothing_left(broker)


def test_an_end_of_before_the_take_over_counts_no_more(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    before = calls.take(consumer="dead")
    assert complete(broker, [calls.ack(before[0])]) == []
    assert broker.deliveries.take_over("dead", running={run_ids[1]: "it died"}) == 5
    assert complete(broker, list(map(calls.ack, before))) == run_ids[1:]
    again = {one.run_id: one for one in calls.take(consumer="other")}
    assert list(again) == run_ids[1:]
    assert {run_id: (one.crashes, one.deliveries) for run_id, one in again.items()} == {
        run_ids[1]: (1, 2),
        **dict.fromkeys(run_ids[2:], (0, 2)),
    }
    assert complete(broker, list(map(calls.ack, again.values()))) == []
    assert_nothing_left(broker)


def test_a_range_whose_reply_never_came_goes_to_others_as_it_is(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    calls.command("XGROUP", "CREATE", broker.keys.stream("q:ds"), "w", "0")
    calls.command("XREADGROUP", "GROUP", "w", "dead", "STREAMS", broker.keys.stream("q:ds"), ">")
    broker.deliveries.take_over("dead")
    assert [one.run_id for one in calls.take()] == run_ids
    assert len(keys_of_blocks(calls)) == 1


def test_claims_that_were_lost_are_handed_back(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    taken = calls.take()
    complete(broker, [calls.ack(taken[0])])
    broker.deliveries.started([(taken[1].ticket, taken[1].run_id)])
    held = broker.deliveries.pending("worker", ["q:ds"])
    assert held == {one.ticket: one.run_id for one in taken[1:]}
    lost = [Ack(one.ticket, one.run_id, AckKind.HAND_BACK, b"", 0, TTL_MS, AckKind.LOST) for one in taken[2:]]
    assert complete(broker, lost) == []
    assert [one.run_id for one in calls.take(consumer="other")] == run_ids[2:]


# -- what happens to one call alone ----------------------------------------------------------------------------------


def cancel(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    calls.broker.runs.cancel([run_id])
    if delivery is not None:
        assert calls.status(run_id) == Status.CANCELLING
        calls.end(delivery, AckKind.CANCELLED)
    return Status.CANCELLED


def retry(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    assert calls.end(delivery or calls.take_one(), AckKind.RETRY)
    calls.move_until(lambda: calls.status(run_id) == Status.QUEUED)
    while (again := calls.take_one()).run_id != run_id:
        assert calls.end(again)  # it was in line before
    assert again.retries == 1
    assert calls.end(again)
    return Status.COMPLETED


def hand_back(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    assert calls.end(delivery or calls.take_one(), AckKind.HAND_BACK, b"")
    again = calls.take_one("other")
    assert again.run_id == run_id
    assert calls.end(again)
    return Status.COMPLETED


def note_as_running(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    delivery = delivery or calls.take_one()
    assert calls.broker.deliveries.started([(delivery.ticket, run_id)]) == []
    assert calls.status(run_id) == Status.RUNNING
    assert calls.end(delivery)
    return Status.COMPLETED


def dead_letter(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    assert calls.end(delivery or calls.take_one(), AckKind.DEAD)
    assert calls.broker.dead_letters.newest() == [run_id]
    return Status.CRASHED


def kill(calls: Calls, run_id: str, delivery: Delivery | None) -> bytes:
    consumer = "worker" if delivery is not None else "victim"
    if delivery is None:
        calls.take(1, consumer)
    verdict = KillVerdict(AckKind.FAILED, "timed out", 0, Reason.TIMED_OUT)
    calls.broker.deliveries.take_over(consumer, verdicts={run_id: verdict})
    return Status.FAILED


ALONE = (cancel, retry, hand_back, note_as_running, dead_letter, kill)


@pytest.mark.parametrize("what", ALONE)
@pytest.mark.parametrize("held", [True, False], ids=["held by a worker", "waiting"])
@pytest.mark.parametrize("at", [0, 3], ids=["the first", "one inside"])
def test_what_happens_to_one_call_happens_to_no_other(
    calls: Calls, broker: RedisBroker, what: Any, held: bool, at: int
) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take() if held else []
    if not held and at and what is not cancel:
        taken = calls.take(at)  # those before it
    one = next((delivery for delivery in taken if delivery.run_id == run_ids[at]), None)
    status = what(calls, run_ids[at], one)
    assert calls.status(run_ids[at]) == status
    others = [delivery for delivery in taken if delivery.run_id != run_ids[at]]
    if what is kill and held:  # its worker had all of them
        others = []
    assert complete(broker, list(map(calls.ack, others))) == []
    calls.run_all()
    expected = [status if place == at else Status.COMPLETED for place in range(6)]
    assert [record.status for record in broker.records.read(run_ids)] == expected
    assert_nothing_left(broker)


def test_an_end_of_many_with_one_that_was_cancelled_meanwhile(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6, reply_to="inbox")
    broker.inboxes.expect([], "inbox")
    taken = calls.take()
    broker.runs.cancel([run_ids[2]])
    assert complete(broker, [calls.ack(one, outcome=one.run_id.encode()) for one in taken]) == []
    assert [(record.status, record.outcome) for record in broker.records.read(run_ids)] == [
        (Status.COMPLETED, run_id.encode()) for run_id in run_ids
    ]
    assert_nothing_left(broker)


def test_many_that_wait_are_cancelled_where_they_are(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(10, reply_to="inbox")
    broker.inboxes.expect([], "inbox")
    behind = calls.submit(after=(run_ids[8],))
    held = calls.take(2)
    assert broker.runs.cancel([*run_ids[1:], run_ids[9]], only_waiting=True) == [b"R", *[b"Q"] * 9]
    assert broker.runs.cancel(run_ids[5:7]) == [b"K", b"K"]
    assert not any(is_moved_out(calls, run_id) for run_id in run_ids[2:])
    assert calls.reason(run_ids[9]) == Reason.CANCELLED
    assert calls.status(behind) == Status.NOT_READY
    assert calls.take() == []
    complete(broker, list(map(calls.ack, held)))
    assert [record.status for record in broker.records.read(run_ids)] == [Status.COMPLETED] * 2 + [Status.CANCELLED] * 8
    assert_nothing_left(broker)


def test_one_that_failed_is_replayed_and_one_is_deleted(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    taken = calls.take()
    complete(broker, [calls.ack(one, AckKind.FAILED if at == 1 else AckKind.COMPLETED) for at, one in enumerate(taken)])
    assert broker.runs.replay([run_ids[1]]) == [run_ids[1]]
    assert [one.run_id for one in calls.take(consumer="again")] == [run_ids[1]]
    assert broker.runs.delete(run_ids[2:4]) == run_ids[2:4]
    wanted = [Status.COMPLETED, Status.QUEUED, Status.UNKNOWN, Status.UNKNOWN, Status.COMPLETED]
    assert [record.status for record in broker.records.read(run_ids)] == wanted


def test_a_purge_ends_what_nobody_has(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(8)
    taken = calls.take(3)
    assert broker.queues.purge("q") == 5
    assert calls.take() == []
    complete(broker, list(map(calls.ack, taken)))
    assert [record.status for record in broker.records.read(run_ids)] == [Status.COMPLETED] * 3 + [Status.CANCELLED] * 5
    assert_nothing_left(broker)


def test_a_purge_ends_what_a_worker_leaves_of_a_part_meanwhile_and_nothing_that_came_later(
    calls: Calls, broker: RedisBroker
) -> None:
    def server_ms() -> int:
        seconds, micros = calls.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    run_ids = calls.submit_map(8)
    begun = server_ms()
    wait_until(lambda: server_ms() > begun)
    taken = calls.take(3)  # the other five are queued again
    later = calls.submit_map(4)
    purged, _, _ = script(calls, "purge", ["q", 100, TTL_MS, PURGED, begun])
    assert purged == 5
    complete(broker, list(map(calls.ack, taken)))
    assert [record.status for record in broker.records.read(run_ids)] == [Status.COMPLETED] * 3 + [Status.CANCELLED] * 5
    assert [one.run_id for one in calls.take()] == later


def test_a_purge_looks_behind_what_it_cannot_end(calls: Calls, broker: RedisBroker) -> None:
    held = [calls.submit_map(4) for _ in range(3)]
    calls.take(consumer="dead")
    for run_ids in held:
        as_an_older_worker(calls, f"{run_ids[0][:32]}r000")
    waiting = calls.submit_map(4, route="q:rs")
    purged, seen, _ = script(calls, "purge", ["q", 2, TTL_MS, PURGED, 0])
    assert seen > 0
    assert purged + broker.queues.purge("q") == len(waiting)


def test_a_paused_queue_gives_nothing_and_loses_nothing(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    calls.command("XGROUP", "CREATE", broker.keys.stream("q:ds"), "w", "0")
    ((_, entries),) = calls.command("XREADGROUP", "GROUP", "w", "worker", "STREAMS", broker.keys.stream("q:ds"), ">")
    broker.queues.pause("q")
    claimed = [("q:ds", entry, fields[1]) for entry, fields in entries]
    assert broker.deliveries.fetch("worker", ["q:ds"], 5, claimed=claimed)[0] == []
    broker.queues.resume("q")
    assert [one.run_id for one in calls.take()] == run_ids


# -- those who wait --------------------------------------------------------------------------------------------------


def test_who_waits_for_all_makes_one_note(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(10)
    needed = msgpack.packb(run_ids)
    behind = calls.submit(after=tuple(run_ids), u=needed)
    notes = calls.command("LRANGE", broker.keys.prefix + f"d:{run_ids[0][:32]}", 0, -1)
    assert len(notes) == 1
    for _ in range(9):
        calls.end(calls.take_one())
        assert calls.status(behind) == Status.PARKED
    calls.end(calls.take_one())
    assert calls.status(behind) == Status.QUEUED
    (block,) = keys_of_blocks(calls)
    assert calls.command("PTTL", block) == -1  # kept while results are needed
    assert calls.run_all() == [behind]
    assert_nothing_left(broker)


def test_a_failure_inside_ends_who_waits_for_it_and_no_other(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    strict, lenient = calls.submit(after=tuple(run_ids)), calls.submit(leniently_after=tuple(run_ids))
    of_another = calls.submit(after=(run_ids[4],))
    taken = calls.take()
    complete(broker, [calls.ack(one, AckKind.FAILED if at == 1 else AckKind.COMPLETED) for at, one in enumerate(taken)])
    assert calls.status(strict) == Status.NOT_READY
    assert calls.text(strict) == run_ids[1]
    assert sorted(calls.run_all()) == sorted([lenient, of_another])
    assert_nothing_left(broker)


def test_who_waits_for_a_call_waits_for_it_after_it_was_moved_out(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    behind, behind_one = calls.submit(after=tuple(run_ids)), calls.submit(after=(run_ids[2],))
    taken = calls.take()
    calls.end(taken[2], AckKind.HAND_BACK, b"")
    complete(broker, [calls.ack(one) for one in taken if one is not taken[2]])
    assert [calls.status(run) for run in (behind, behind_one)] == [Status.PARKED] * 2
    assert calls.end(calls.take_one())
    assert sorted(calls.run_all()) == sorted([behind, behind_one])
    assert_nothing_left(broker)


def test_more_than_a_block_should_look_at_wait_for_one_call(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(4)
    behind = [calls.submit(after=(run_ids[1],)) for _ in range(520)]
    assert is_moved_out(calls, run_ids[1])
    calls.run_all()
    broker.runs.move_due(1000)
    calls.run_all()
    assert {record.status for record in broker.records.read(behind)} == {Status.COMPLETED}


def test_ends_come_to_the_inboxes_of_all_who_wait(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5, reply_to="sender")
    assert broker.inboxes.expect([run_ids[3]], "other") == []
    broker.inboxes.expect([], "sender")
    taken = calls.take()
    complete(broker, [calls.ack(one) for one in taken])
    for inbox in ("sender", "other"):
        (entry,) = [
            fields for _, fields in calls.command("XRANGE", broker.keys.inbox(inbox), "-", "+") if fields[0] == b"p"
        ]
        ((block, places, letters, packed),) = msgpack.unpackb(entry[1], raw=True)
        assert (block.decode(), places, letters) == (run_ids[0][:32], bytes(range(5)), b"C" * 5)
        assert msgpack.unpackb(packed, raw=True) == [b"result"] * 5
    assert broker.inboxes.expect(run_ids[:2], "late") == [(run_id, b"C", b"result") for run_id in run_ids[:2]]


# -- what people see -------------------------------------------------------------------------------------------------


def test_figures_count_calls_and_not_ranges(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_map(10)
    calls.submit()
    assert broker.queues.backlog(["q"])[0] == 11
    taken = calls.take(4)
    (figures,) = broker.figures.queues()
    assert (figures.waiting, figures.held) == (7, 4)
    broker.deliveries.started([(taken[0].ticket, taken[0].run_id)])
    complete(broker, [calls.ack(one) for one in taken[1:3]])
    (figures,) = broker.figures.queues()
    assert (figures.waiting, figures.held) == (7, 2)


def test_the_journal_names_every_run(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    taken = calls.take()
    complete(broker, [calls.ack(one, AckKind.FAILED if at == 1 else AckKind.COMPLETED) for at, one in enumerate(taken)])
    changes = [(change.run_id, change.status) for change in broker.journal.after()[1]]
    assert changes[:5] == [(run_id, SUBMITTED) for run_id in run_ids]
    assert changes[5:] == [(run_id, b"F" if at == 1 else b"C") for at, run_id in enumerate(run_ids)]


def test_rows_arguments_and_states_are_read_where_they_are(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5, body=b"arguments")
    taken = calls.take(2)
    complete(broker, [calls.ack(taken[0])])
    rows = broker.records.rows(run_ids, 100)
    assert [(row.status, row.queue, row.priority, row.outcome) for row in rows[:3]] == [
        (Status.COMPLETED, "q", "d", b"result"),
        (Status.QUEUED, "q", "d", None),
        (Status.QUEUED, "q", "d", None),
    ]
    assert broker.records.bodies(run_ids) == [(b"arguments", None)] * 5
    assert [one.is_held for one in broker.records.standings(run_ids)] == [False, True, False, False, False]
    assert broker.records.holder(rows[1]) == "worker"
    assert broker.records.holder(rows[2]) is None
    assert not any(is_moved_out(calls, run_id) for run_id in run_ids)


def test_a_full_queue_counts_the_calls_of_maps(calls: Calls, broker: RedisBroker) -> None:
    limited = RedisBroker(broker.wires, broker.store.keys.prefix[1:-2], queue_limit=MOST_IN_BLOCK)
    run_ids = new_map_run_ids(100)
    limited.runs.submit([calls.envelope(run_id) for run_id in run_ids])
    with pytest.raises(QueueFull, match="holds 100 calls"):
        limited.runs.submit([calls.envelope(run_id) for run_id in new_map_run_ids(40)])
    complete(broker, list(map(calls.ack, calls.take(20))))
    limited.runs.submit([calls.envelope(run_id) for run_id in new_map_run_ids(40)])


def test_a_result_lives_its_own_time_at_least(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(4)
    taken = calls.take()
    (block,) = keys_of_blocks(calls)
    complete(broker, [calls.ack(taken[0], ttl_ms=90_000)])
    assert calls.command("PTTL", block) == -1
    complete(broker, [calls.ack(one, ttl_ms=20) for one in taken[1:]])
    assert 80_000 < calls.command("PTTL", block) <= 90_000
    assert calls.status(run_ids[3]) == Status.COMPLETED


def beat_as_an_older_worker(calls: Calls, consumer: str) -> None:
    """It writes down that it lives, and nothing of blocks."""
    calls.command("ZADD", calls.broker.keys.workers, 10**15, consumer)


def test_calls_have_records_while_a_worker_lives_that_does_not_read_blocks(calls: Calls, broker: RedisBroker) -> None:
    broker.consumers.beat(["new"], 10.0)
    calls.submit_map(4)
    assert len(keys_of_blocks(calls)) == 1
    beat_as_an_older_worker(calls, "old")
    run_ids = calls.submit_map(4)
    assert len(keys_of_blocks(calls)) == 1
    assert all(is_moved_out(calls, run_id) for run_id in run_ids)
    assert broker.runs.submit([calls.envelope(run_id) for run_id in run_ids]) == run_ids  # a lost reply
    broker.deliveries.take_over("old")
    calls.submit_map(4)
    assert len(keys_of_blocks(calls)) == 2
    assert broker.figures.submitted() == {("app.task", "q"): 12}
    assert len(calls.take()) == 12


def test_a_map_that_is_sent_again_stays_a_block_though_an_older_worker_came(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(6)
    envelopes = [calls.envelope(run_id) for run_id in run_ids]
    broker.runs.submit(envelopes)
    beat_as_an_older_worker(calls, "old")
    broker.runs.submit(envelopes)
    assert [one.run_id for one in calls.take()] == run_ids
    assert broker.figures.submitted() == {("app.task", "q"): 6}


def test_a_worker_that_is_dead_and_not_taken_over_needs_no_records(calls: Calls) -> None:
    calls.command("ZADD", calls.broker.keys.workers, 0, "found dead")
    calls.submit_map(4)
    assert len(keys_of_blocks(calls)) == 1


def give_up_as_an_older_worker(calls: Calls, range_id: str) -> None:
    """It does what it always did with a call that it must not run: a dead letter."""
    broker, key = calls.broker, calls.broker.keys.record(range_id)
    status, ticket, task, meta = calls.command("HMGET", key, "s", "e", "t", "m")
    assert (status, task, CallMeta.unpack(meta).readable_by) == (b"Q", b"app.task", 2)
    calls.command("XDEL", broker.keys.stream("q:ds"), ticket.rpartition(b" ")[2])
    calls.command("HSET", key, "s", "Z", "o", "it must not run this")
    calls.command("PEXPIRE", key, 60_000)
    calls.command("ZADD", broker.keys.dead, 1, range_id)


def test_an_older_worker_finds_a_call_that_it_must_not_run_and_loses_none(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    range_id = f"{run_ids[0][:32]}r000"
    give_up_as_an_older_worker(calls, range_id)
    assert calls.status(run_ids[0]) == Status.QUEUED
    assert broker.runs.replay(broker.dead_letters.newest()) == [range_id]
    assert [one.run_id for one in calls.take()] == run_ids


def test_what_an_older_worker_gave_up_waits_again_once_a_newer_one_lives(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    give_up_as_an_older_worker(calls, f"{run_ids[0][:32]}r000")
    beat_as_an_older_worker(calls, "old")
    broker.runs.move_due()
    assert calls.take() == []
    broker.consumers.beat(["new"], 10.0)
    broker.runs.move_due()
    broker.runs.move_due()
    assert broker.dead_letters.newest() == []
    taken = calls.take()
    assert [one.run_id for one in taken] == run_ids
    assert complete(broker, list(map(calls.ack, taken))) == []
    assert_nothing_left(broker)


# -- second tries, other versions, other lifetimes -------------------------------------------------------------------


def test_a_portion_that_ended_in_the_first_calls_of_a_block_doubles_none_when_it_is_sent_again(
    calls: Calls, broker: RedisBroker
) -> None:
    run_ids = new_map_run_ids(10)
    envelopes = [calls.envelope(run_id) for run_id in run_ids]
    broker.runs.submit(envelopes[:3])  # too few for a block
    broker.runs.submit(envelopes[3:])
    broker.runs.submit(envelopes)
    assert [one.run_id for one in calls.take()] == run_ids
    assert broker.figures.submitted() == {("app.task", "q"): 10}
    assert calls.take() == []


def test_one_call_of_a_map_that_is_sent_again_is_not_doubled(calls: Calls, broker: RedisBroker) -> None:
    run_ids = new_map_run_ids(6)
    envelopes = [calls.envelope(run_id) for run_id in run_ids]
    broker.runs.submit(envelopes)
    for envelope in envelopes[:2]:
        broker.runs.submit([envelope])
    assert sorted(one.run_id for one in calls.take()) == run_ids
    assert calls.take() == []


def test_a_worker_gets_no_more_calls_than_it_wants_whatever_the_queue_holds(calls: Calls) -> None:
    before = calls.submit()
    run_ids = calls.submit_map(6)
    behind = [calls.submit() for _ in range(3)]
    expected = [before, *run_ids, *behind]
    taken = [calls.take(want) for want in (5, 3, 5)]
    assert [len(some) for some in taken] == [5, 3, 2]
    assert sorted(one.run_id for some in taken for one in some) == sorted(expected)


def as_an_older_worker(calls: Calls, range_id: str) -> None:
    """Queue a range again as its scripts do with what they take for a call: where calls go that come back."""
    key, queue = calls.broker.keys.record(range_id), calls.broker.keys.stream("q:ds")
    entry = calls.command("HGET", key, "e").rpartition(b" ")[2]
    calls.command("XACK", queue, "w", entry)
    calls.command("XDEL", queue, entry)
    entry = calls.command("XADD", calls.broker.keys.stream("q:rs"), "*", "i", range_id)
    calls.command("HSET", key, "e", b"q:rs " + entry)


def test_a_range_that_an_older_worker_has_handed_back_loses_no_call(calls: Calls) -> None:
    run_ids = calls.submit_map(6)
    as_an_older_worker(calls, f"{run_ids[0][:32]}r000")
    taken = calls.take(2)
    assert [one.run_id for one in taken + calls.take()] == run_ids


def test_a_range_that_an_older_worker_has_taken_over_loses_no_call(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take(consumer="dead")
    broker.deliveries.started([(one.ticket, one.run_id) for one in taken[:3]])
    broker.runs.cancel(run_ids[:1])
    assert calls.end(taken[1])
    as_an_older_worker(calls, f"{run_ids[0][:32]}r000")
    again = calls.take() + calls.take()
    assert sorted(one.run_id for one in again) == run_ids[2:]
    assert complete(broker, list(map(calls.ack, taken[2:]))) == run_ids[2:]
    assert complete(broker, list(map(calls.ack, again))) == []
    assert calls.status(run_ids[0]) == Status.CANCELLED
    broker.consumers.tidy(60.0, 60.0)
    assert_nothing_left(broker)


def test_a_purge_comes_to_an_end_whatever_an_older_worker_has_queued(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    calls.take(consumer="dead")
    as_an_older_worker(calls, f"{run_ids[0][:32]}r000")
    assert broker.queues.purge("q") == 0
    assert [one.run_id for one in calls.take()] == run_ids


def test_a_call_that_outlives_its_block_is_held_and_taken_over(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_map(5)
    slow, *others = calls.take()
    assert broker.deliveries.started([(slow.ticket, slow.run_id)]) == []
    assert complete(broker, [calls.ack(one, ttl_ms=1) for one in others]) == []
    wait_until(lambda: not keys_of_blocks(calls))
    assert broker.deliveries.pending("worker", ["q:ds"]) == {slow.ticket: slow.run_id}
    assert broker.deliveries.take_over("worker") == 1
    again = calls.take_one("other")
    assert (again.run_id, again.crashes) == (slow.run_id, 1)
    assert calls.end(again)
    assert_nothing_left(broker)


def test_to_delete_calls_that_are_open_changes_nothing(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(4)
    assert broker.runs.delete(run_ids) == []
    assert broker.queues.backlog(["q"])[0] == 4
    assert not any(is_moved_out(calls, run_id) for run_id in run_ids)


def test_counts_of_what_is_queued_begin_anew_with_an_empty_queue(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_map(4)
    calls.run_all()
    calls.command("HSET", broker.keys.prefix + "more", "q:ds", "127", "q:ds!", "5")
    broker.consumers.tidy(60.0, 60.0)
    assert broker.queues.backlog(["q"])[0] == 0
    assert not calls.command("EXISTS", broker.keys.prefix + "more")


def test_what_does_not_fit_into_a_reply_is_not_queued_again_and_again(calls: Calls, broker: RedisBroker) -> None:
    run_ids = [run_id for _ in range(12) for run_id in calls.submit_map(128, body=b"x" * 2000)]
    taken: list[str] = []
    while some := calls.take(10_000):
        taken += [one.run_id for one in some]
    assert taken == run_ids
    info = calls.command("XINFO", "STREAM", broker.keys.stream("q:Ds"))
    assert info[info.index(b"entries-added") + 1] <= 12


def test_the_rest_of_a_range_is_queued_whatever_stands_where_its_queue_should_be(
    calls: Calls, broker: RedisBroker
) -> None:
    run_ids = calls.submit_map(6)
    calls.command("SET", broker.keys.stream("q:Ds"), "damaged")
    taken = calls.take(2) + calls.take()
    assert [one.run_id for one in taken] == run_ids
    assert complete(broker, list(map(calls.ack, taken))) == []
    assert_nothing_left(broker)


def test_a_take_over_moves_about_as_many_calls_at_once_as_it_should(calls: Calls, broker: RedisBroker) -> None:
    for _ in range(5):
        calls.submit_map(MOST_IN_BLOCK)
    taken = calls.take(1000, "dead")
    moved, left = broker.store.run("take_over", ["dead", {}, 3, 1000, TTL_MS, 200, True, {}])
    assert (moved, left) == (2 * MOST_IN_BLOCK, 1)
    assert broker.deliveries.take_over("dead") == 3 * MOST_IN_BLOCK
    assert sorted(one.run_id for one in calls.take(1000)) == sorted(one.run_id for one in taken)


@pytest.mark.parametrize("ending", ["a", "00a", "000A", "0xa", " 00a", "0000a"])
def test_what_is_not_quite_the_id_of_a_call_is_the_id_of_none(calls: Calls, broker: RedisBroker, ending: str) -> None:
    run_ids = calls.submit_map(12)
    assert broker.runs.cancel([run_ids[0][:32] + ending]) == [b"?"]
    assert [one.run_id for one in calls.take()] == run_ids


def test_a_range_is_no_run_that_people_could_cancel_or_delete(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(4)
    range_id = f"{run_ids[0][:32]}r000"
    assert broker.runs.cancel([range_id]) == [b"?"]
    assert broker.runs.delete([range_id]) == []
    assert [one.run_id for one in calls.take()] == run_ids
