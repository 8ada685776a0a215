"""Taking over: what a consumer held that is gone goes to the others, and only what ran with it is charged."""

from __future__ import annotations

from brokers.messages import AckKind, KillVerdict, Status, routes_of
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason, ScriptedEnd
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.waiting import wait_until


def test_calls_that_had_not_started_go_to_others_uncharged(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_many(3)
    calls.take(consumer="dead")
    assert broker.deliveries.take_over("dead") == 3
    taken = calls.take(consumer="other")
    assert [delivery.run_id for delivery in taken] == run_ids
    assert {(delivery.crashes, delivery.deliveries) for delivery in taken} == {(0, 2)}
    assert all(map(calls.end, taken))
    assert_nothing_left(broker)


def test_calls_that_ran_are_charged(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    told, noted, waiting = calls.take(consumer="dead")
    broker.deliveries.started([(noted.ticket, noted.run_id)])
    assert broker.deliveries.take_over("dead", running={told.run_id: "killed by signal 9"}) == 3
    charges = {delivery.run_id: delivery.crashes for delivery in calls.take(consumer="other")}
    assert charges == {told.run_id: 1, noted.run_id: 1, waiting.run_id: 0}


def test_a_consumer_that_leaves_in_peace_charges_nothing(calls: Calls, broker: RedisBroker) -> None:
    calls.submit()
    delivery = calls.take_one("leaving")
    broker.deliveries.started([(delivery.ticket, delivery.run_id)])
    assert broker.deliveries.take_over("leaving", charge_running=False) == 1
    again = calls.take_one("other")
    assert (again.crashes, again.deliveries) == (0, 1)


def test_taking_over_twice_changes_nothing(calls: Calls, broker: RedisBroker) -> None:
    calls.submit()
    running = {calls.take_one("dead").run_id: "killed"}
    assert broker.deliveries.take_over("dead", running=running) == 1
    assert broker.deliveries.take_over("dead", running=running) == 0
    assert calls.take_one("other").crashes == 1


def test_only_the_calls_of_that_consumer_are_moved(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(2)
    living = calls.take_one("living")
    calls.take_one("dead")
    assert broker.deliveries.take_over("dead") == 1
    assert broker.deliveries.pending("living", ["q:ds"]) == {living.ticket: living.run_id}
    assert calls.end(living)


def test_a_call_that_kills_its_workers_becomes_a_dead_letter(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    dependant = calls.submit(after=(run_id,))
    for crashes in range(3):
        delivery = calls.take_one(f"victim-{crashes}")
        assert delivery.crashes == crashes
        assert (
            broker.deliveries.take_over(f"victim-{crashes}", running={run_id: "killed by signal 11"}, max_deliveries=3)
            == 1
        )
    assert calls.status(run_id) == Status.CRASHED
    assert (calls.text(run_id), calls.reason(run_id)) == ("killed by signal 11 (3 times)", Reason.CRASHED)
    assert broker.dead_letters.newest() == [run_id]
    assert calls.status(dependant) == Status.NOT_READY
    assert calls.take() == []
    assert_nothing_left(broker)


def test_a_call_may_say_how_often_it_may_be_delivered(calls: Calls, broker: RedisBroker) -> None:
    careful, tough = calls.submit(y="1"), calls.submit(y="9")
    calls.take(consumer="victim")
    broker.deliveries.take_over("victim", running={careful: "killed", tough: "killed"}, max_deliveries=3)
    assert calls.status(careful) == Status.CRASHED
    assert calls.status(tough) == Status.QUEUED


def test_retries_are_no_crashes(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    for _ in range(5):
        calls.end(calls.wait_for_one(), AckKind.RETRY)
    calls.wait_for_one()
    broker.deliveries.take_over("worker", running={run_id: "killed"}, max_deliveries=2)
    again = calls.take_one("other")
    assert (again.retries, again.crashes) == (5, 1)


def test_a_verdict_ends_the_call(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    late, unwanted, other = calls.take(consumer="killed")
    dependant = calls.submit(after=(late.run_id,))
    broker.deliveries.take_over(
        "killed", verdicts={late.run_id: ("F", "ran longer than 1 s"), unwanted.run_id: ("K", "cancelled")}
    )
    assert (calls.status(late.run_id), calls.text(late.run_id)) == (Status.FAILED, "ran longer than 1 s")
    assert calls.status(unwanted.run_id) == Status.CANCELLED
    assert calls.status(dependant) == Status.NOT_READY
    assert calls.run_all() == [other.run_id]
    assert_nothing_left(broker)


def test_a_verdict_may_be_another_attempt(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    dependant = calls.submit(after=(run_id,))
    delivery = calls.take_one("killed")
    broker.deliveries.started([(delivery.ticket, run_id)])
    broker.deliveries.take_over(
        "killed",
        verdicts={run_id: KillVerdict("D", "it was slow", 60_000, Reason.TIMED_OUT, "in a stack")},
        charge_running=False,
    )
    record = calls.record(run_id)
    assert (record.status, record.retries, record.crashes) == (Status.DELAYED, 1, 0)
    assert calls.take() == []
    assert ScriptedEnd.unpack(record.outcome) == ("it was slow", Reason.TIMED_OUT, "in a stack")
    assert 50 < (broker.runs.move_due() or 0) <= 60  # seconds, by the server's clock
    assert not calls.end(delivery)  # the late outcome of the one that was killed
    assert calls.status(dependant) == Status.PARKED
    assert broker.runs.cancel([run_id]) == [Status.DELAYED]
    assert_nothing_left(broker)


def test_another_attempt_that_is_due_at_once_comes_again_as_a_retry(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(l="one|1")
    waiting = calls.submit(l="one|1")
    calls.take_one("killed")
    broker.deliveries.take_over("killed", verdicts={run_id: KillVerdict("D", "timed out", 0)}, charge_running=False)
    seen = {}
    while len(seen) < 2:
        delivery = calls.wait_for_one()
        seen[delivery.run_id] = (delivery.retries, delivery.crashes)
        assert calls.end(delivery)
    assert seen == {run_id: (1, 0), waiting: (0, 0)}
    assert_nothing_left(broker)


def test_a_call_that_was_to_be_cancelled_gets_no_other_attempt(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    calls.take_one("killed")
    broker.runs.cancel([run_id])
    broker.deliveries.take_over("killed", verdicts={run_id: KillVerdict("D", "timed out", 0)}, charge_running=False)
    assert calls.status(run_id) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_call_that_was_to_be_cancelled_is_not_run_again(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    calls.take_one("dead")
    assert broker.runs.cancel([run_id]) == [Status.QUEUED]
    assert calls.status(run_id) == Status.CANCELLING
    broker.deliveries.take_over("dead", running={run_id: "killed"})
    assert calls.status(run_id) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_long_list_is_moved_in_slices(calls: Calls, broker: RedisBroker) -> None:
    run_ids = [*calls.submit_many(450), *calls.submit_many(210, route="q:ha"), *calls.submit_many(5, route="r:ls")]
    everything = [*routes_of(["q", "r"], "s"), *routes_of(["q", "r"], "a")]
    assert len(calls.take(1000, consumer="dead", routes=everything)) == 665
    assert broker.deliveries.take_over("dead") == 665
    again = calls.take(1000, consumer="other", routes=everything)
    assert sorted(delivery.run_id for delivery in again) == sorted(run_ids)


def test_a_call_is_kept_for_a_living_process_and_goes_home_when_it_is_gone(calls: Calls, broker: RedisBroker) -> None:
    broker.consumers.beat(["keeper"], 10)
    waiting, parked = calls.submit(p="keeper", d=0), calls.envelope(p="keeper", d=0)
    assert calls.take() == []
    own = routes_of(["~keeper"], "s")
    (mine,) = calls.take(1, consumer="keeper.local", routes=own)
    assert mine.run_id == waiting
    broker.runs.submit([parked])
    assert broker.deliveries.take_over("keeper") >= 1
    assert sorted(calls.run_all()) == sorted([waiting, parked.run_id])
    assert calls.submit(p="keeper", d=0) == calls.take_one().run_id  # nobody is there any more
    assert calls.end(calls.wait_for_one()) if calls.status(waiting) == Status.QUEUED else True


def test_a_call_that_is_not_kept_by_a_living_process_goes_to_the_common_queue(calls: Calls) -> None:
    run_id = calls.submit(p="nobody", d=0)
    assert calls.take_one().run_id == run_id


def test_the_claims_of_a_keepers_own_worker_are_found_too(calls: Calls, broker: RedisBroker) -> None:
    broker.consumers.beat(["keeper", "keeper.local"], 10)
    run_id = calls.submit(p="keeper", d=0)
    (mine,) = calls.take(1, consumer="keeper.local", routes=routes_of(["~keeper"], "s"))
    broker.deliveries.started([(mine.ticket, run_id)])
    broker.deliveries.take_over("keeper.local", running={run_id: "killed"})
    broker.deliveries.take_over("keeper")
    again = calls.take_one()
    assert (again.run_id, again.crashes) == (run_id, 1)
    assert calls.end(again)
    assert_nothing_left(broker)


def test_a_consumer_without_a_beat_is_reported(calls: Calls, broker: RedisBroker) -> None:
    assert broker.consumers.beat(["a", "b"], 0.2) == []
    assert set(broker.consumers.alive(10)) == {"a", "b"}
    wait_until(lambda: broker.consumers.beat(["a"], 0.2) == ["b"], message="b is reported by the others")
    assert "b" not in broker.consumers.alive(0.2)
    broker.deliveries.take_over("b")
    assert broker.consumers.beat(["a"], 0.2) == []
    assert_nothing_left(broker)


def test_what_a_consumer_says_of_itself(broker: RedisBroker) -> None:
    broker.consumers.describe("a", {"host": "h", "queues": "q,r"}, 10)
    broker.consumers.beat(["a"], 10)
    assert broker.consumers.alive(10) == {"a": {"host": "h", "queues": "q,r"}}


def test_the_server_tells_what_a_consumer_holds(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    first, second = calls.take(2)
    calls.end(first)
    assert broker.deliveries.pending("worker", ["q:rs", "q:ds", "unknown:ds"]) == {second.ticket: second.run_id}
