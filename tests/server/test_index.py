"""The index of runs says what the store says, and finds runs in order, whatever happens meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brokers.messages import AckKind, Status
from orchestrator.client.fleet import Fleet
from orchestrator.inspection import RunView, views_of
from orchestrator.runs.run_ids import new_run_id
from orchestrator.server.index import RunIndex, feed, search
from orchestrator.server.index.facts import state_of_letter
from orchestrator.server.queries import Queries
from orchestrator.server.view_models import Count, RunQuery, any_of
from orchestrator.settings import Settings
from tests.server.conftest import caught_up
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.work import Work


def everything(index: RunIndex, query: RunQuery, page: int = 50) -> list[str]:
    """All runs that match, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        ids, cursor = index.search(query, cursor, page)
        found += ids
        if cursor is None:
            return found


def matches(view: RunView, query: RunQuery) -> bool:
    """The plain truth, from the record."""
    words = {view.state_type.lower(), view.state_name.lower()}
    return (
        (not query.states or bool(words & {state.lower() for state in query.states}))
        and any_of(query.tasks, view.task)
        and any_of(query.queues, view.queue)
        and set(query.tags) <= set(view.tags)
        and any_of(query.workers, view.worker or "")
        and query.flow_run_id in (None, view.flow_run_id)
        and (not query.text or query.text.lower() in f"{view.task} {(view.message or '').splitlines()[:1]}".lower())
    )


QUERIES = [
    RunQuery(),
    RunQuery(states=("failed",)),
    RunQuery(states=("CRASHED", "Pending")),
    RunQuery(states=("COMPLETED",), tasks=("shop.*",)),
    RunQuery(tasks=("mail.send",)),
    RunQuery(queues=("other",), states=("FAILED",)),
    RunQuery(tags=("red",)),
    RunQuery(tags=("red", "blue"), states=("COMPLETED", "FAILED")),
    RunQuery(workers=("ann",)),
    RunQuery(workers=("b*",), tasks=("*.p*",)),
    RunQuery(flow_run_id="flow-1"),
    RunQuery(flow_run_id="flow-2", states=("COMPLETED",), queues=("q",)),
    RunQuery(text="NO LUCK"),
    RunQuery(text="shop.pay"),
    RunQuery(text="luck", tags=("green",)),
    RunQuery(text="in the night"),
    RunQuery(tasks=("nothing",)),
    RunQuery(tags=("nothing",)),
    RunQuery(flow_run_id="nothing"),
    RunQuery(states=("Scheduled", "AwaitingRetry")),
]


def assert_says_what_the_store_says(index: RunIndex, fleet: Fleet, known: list[str]) -> None:
    views = views_of(fleet, known[::-1])
    assert everything(index, RunQuery()) == [view.id for view in views]
    for query in QUERIES:
        wanted = [view.id for view in views if matches(view, query)]
        assert everything(index, query, page=7) == wanted, query
        assert index.count(query) == Count(len(wanted)), query
    types = {view.state_type for view in views}
    assert index.state_counts() == {kind: sum(view.state_type == kind for view in views) for kind in types}


@pytest.mark.parametrize("seed", range(2))
def test_after_random_work_it_says_what_the_store_says_also_after_a_restart(
    own_fleet: Fleet, work: Work, index: RunIndex, seed: int
) -> None:
    dice, known = random.Random(seed), list[str]()
    for _ in range(150):
        work.something(dice, known)
    assert len(known) > 100
    assert_says_what_the_store_says(caught_up(index), own_fleet, known)
    afresh = RunIndex(own_fleet)
    afresh.start()
    try:
        assert_says_what_the_store_says(caught_up(afresh), own_fleet, known)
        _, cursor = index.search(RunQuery(), None, 40)
        assert afresh.search(RunQuery(), cursor, 40) == index.search(RunQuery(), cursor, 40)  # a cursor outlives it
        for view in views_of(own_fleet, known):
            told = [(event.state_type, event.moment) for event in index.history(view)]
            assert [(event.state_type, event.moment) for event in afresh.history(view)] == told
    finally:
        afresh.stop()


@pytest.mark.parametrize("seed", range(6))
def test_histories_are_the_same_in_whatever_portions_the_journal_was_read(
    own_fleet: Fleet, work: Work, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice, known = random.Random(seed), list[str]()
    followed, afresh = RunIndex(own_fleet), RunIndex(own_fleet)
    for _ in range(dice.choice((0, 1, 40))):
        work.something(dice, known)
    reading = followed._begin()
    for _ in range(120):
        work.something(dice, known)
        while dice.random() < 0.6:  # records are often ahead of what was read
            monkeypatch.setattr(feed, "ENTRIES_AHEAD", dice.choice((1, 2, 3, 10)))
            reading.step()
    while reading.step() or reading.follow():
        pass
    monkeypatch.undo()
    afresh.start()
    try:
        caught_up(afresh)
        for view in views_of(own_fleet, known):
            told = [(event.state_type, event.moment) for event in followed.history(view)]
            assert [(event.state_type, event.moment) for event in afresh.history(view)] == told
    finally:
        afresh.stop()
        followed.stop()


def test_pages_are_whole_while_runs_come_and_end(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    before = work.submit_many(60, tags=("old",)) + work.submit_many(60)
    caught_up(index)
    seen: list[str] = []
    cursor = None
    while True:
        ids, cursor = index.search(RunQuery(), cursor, 10)
        seen += ids
        if cursor is None:
            break
        work.submit_many(7)
        work.run(most=9)
        caught_up(index)
    assert seen == before[::-1]


def test_a_search_that_takes_too_long_says_where_to_go_on(
    work: Work, index: RunIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEARCH_SECONDS", -1.0)
    monkeypatch.setattr(search, "COUNT_SECONDS", -1.0)
    monkeypatch.setattr(search, "_FIRST_PORTION", 16)
    monkeypatch.setattr(search, "_MAX_PORTION", 32)
    wanted = work.submit_many(3, tags=("rare",))
    work.submit_many(400)
    ended = work.run(AckKind.FAILED, most=60, worker="ann")
    assert ended[:3] == wanted
    caught_up(index)
    by_ann = RunQuery(workers=("ann",))
    first, cursor = index.search(by_ann, None, 5)
    assert first == []  # they are the oldest of all
    assert cursor is not None
    assert everything(index, by_ann) == ended[::-1]
    assert everything(index, RunQuery(text="luck", tags=("rare",))) == wanted[::-1]
    count = index.count(by_ann)
    assert count.more
    assert count.number <= 60


def test_runs_are_found_by_when_they_were_submitted(work: Work, index: RunIndex) -> None:
    early = work.submit_many(5)
    sent = datetime.now(UTC)
    between = sent + timedelta(milliseconds=5)
    wait_until(lambda: datetime.now(UTC) > between + timedelta(milliseconds=5))
    late = work.submit_many(5)
    caught_up(index)
    assert everything(index, RunQuery(since=between)) == late[::-1]
    assert everything(index, RunQuery(until=between)) == early[::-1]
    assert index.count(RunQuery(until=between)) == Count(5)


def test_runs_are_found_by_id_by_how_it_begins_and_by_parent(work: Work, index: RunIndex) -> None:
    parent = work.submit()
    children = work.submit_many(3, "shop.post", parent=parent)
    work.submit_many(5)
    caught_up(index)
    assert everything(index, RunQuery(text=parent)) == [parent]
    assert parent in everything(index, RunQuery(text=parent[:15].upper()))
    assert everything(index, RunQuery(ids=(children[0], "nothing", parent))) == [children[0], parent]
    assert everything(index, RunQuery(parent_task_run_id=parent)) == children[::-1]
    assert index.count(RunQuery(parent_task_run_id=parent)) == Count(3)


def test_figures_of_tasks_are_of_the_runs_that_are_kept(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    kept = work.submit_many(30, "shop.pay")
    work.run(AckKind.COMPLETED, most=27)
    work.run(AckKind.FAILED, most=3)
    work.submit_many(4, "shop.wait")
    caught_up(index)
    pay, wait = index.tasks()
    assert (pay.task, pay.count, pay.failure_rate) == ("shop.pay", 30, 0.1)
    assert pay.p50_seconds is not None
    assert pay.p95_seconds is not None
    assert pay.p50_seconds <= pay.p95_seconds
    assert (wait.task, wait.count, wait.failure_rate, wait.p50_seconds) == ("shop.wait", 4, None, None)
    assert Queries(own_fleet, index).run_actions.delete(kept).done == 30
    caught_up(index)
    assert [task.task for task in index.tasks()] == ["shop.wait"]
    assert sum(+counts for every in index.tables.durations._counts.values() for counts in every.values()) == 0


def test_the_longest_first_are_the_same_runs_in_another_order(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    dice, known = random.Random(5), list[str]()
    for _ in range(60):
        work.something(dice, known)
    caught_up(index)
    took = {
        view.id: round((view.ended - view.started).total_seconds(), 4)
        for view in views_of(own_fleet, known)
        if view.ended and view.started
    }
    assert len(set(took.values())) > 20
    for query in QUERIES:
        by_duration = everything(index, replace(query, sort="duration"), page=7)
        assert len(set(by_duration)) == len(by_duration)
        ended = [took[run_id] for run_id in by_duration if run_id in took]
        assert ended == sorted(ended, reverse=True), query
        assert {run_id for run_id in everything(index, query) if run_id in took} == set(by_duration) & set(took)


def test_where_a_record_is_newer_the_record_wins(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    run_id = work.submit()
    caught_up(index)
    key = own_fleet.broker.keys.record(run_id)
    own_fleet.broker.wires.commands([("HSET", key, "s", "R")])  # which no journal tells
    queries = Queries(own_fleet, index)
    assert queries.runs.find(RunQuery(states=("PENDING",))).runs == []
    wait_until(lambda: index.state_counts() == {"RUNNING": 1})
    assert [run.id for run in queries.runs.find(RunQuery(states=("RUNNING",))).runs] == [run_id]


def test_expired_runs_leave_when_they_are_looked_for_and_by_age(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    shown, hidden, kept = work.submit_many(3)
    caught_up(index)
    keys = own_fleet.broker.keys
    own_fleet.broker.wires.commands([("DEL", keys.record(shown)), ("DEL", keys.record(hidden))])
    queries = Queries(own_fleet, index)
    assert queries.runs.get(shown) is None
    wait_until(lambda: index.search(RunQuery(ids=(shown,)), None, 1) == ([], None))
    index.stop()
    own_fleet.broker.ttl_ms = -1000
    feed = index._feed
    assert feed is not None
    reopened = RunIndex(own_fleet)
    try:
        reopened.start()
        assert everything(caught_up(reopened), RunQuery()) == [kept]
    finally:
        reopened.stop()


def test_old_rows_are_dropped_though_nobody_looks(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    gone, kept = work.submit_many(2)
    caught_up(index)
    own_fleet.broker.wires.commands([("DEL", own_fleet.broker.keys.record(gone))])
    own_fleet.broker.ttl_ms = -1000  # everything is old
    index.forget_soon()
    wait_until(lambda: everything(index, RunQuery()) == [kept])


def test_flow_runs_whose_records_have_expired_are_dropped_once_their_task_runs_are(
    own_fleet: Fleet, work: Work, index: RunIndex
) -> None:
    gone, kept, with_task = (new_run_id() for _ in range(3))
    broker = own_fleet.broker
    broker.flow_runs.note([(each, {"flow": "f", "type": "COMPLETED"}, False) for each in (gone, kept, with_task)])
    task_run = work.submit(flow=with_task)
    caught_up(index)
    assert None not in [index.tables.known_flow(each) for each in (gone, kept, with_task)]
    broker.wires.commands([("DEL", broker.keys.flow(gone), broker.keys.flow(with_task))])
    broker.ttl_ms = -1000  # everything is old
    index.forget_soon()
    wait_until(lambda: index.tables.known_flow(gone) is None)
    assert None not in [index.tables.known_flow(each) for each in (kept, with_task)]
    broker.wires.commands([("DEL", broker.keys.record(task_run))])
    index.forget_soon()
    wait_until(lambda: index.tables.known_flow(with_task) is None)
    assert index.tables.known_flow(kept) is not None


def test_a_countdown_that_is_cut_short_is_no_waiting(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    caught_up(index)
    submitted = time.time()
    run_id = work.submit(d=3_600_000)
    wait_until(lambda: time.time() > submitted + 0.5, 20, "half a second to be over")
    ready = time.time()
    assert own_fleet.broker.runs.run_now([run_id]) == [run_id]
    assert work.run() == [run_id]
    most = time.time() - ready
    caught_up(index)
    waits = [bucket.longest_wait_seconds for bucket in index.chart(5, 10) if bucket.longest_wait_seconds is not None]
    assert len(waits) == 1
    assert waits[0] <= most + 0.01  # moments are kept in milliseconds


def test_an_emptied_server_empties_the_index(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    work.submit_many(20)
    caught_up(index)
    own_fleet.broker.wires.commands([("DEL", own_fleet.broker.keys.journal)])
    index.check_soon()
    wait_until(lambda: index.state().runs == 0)
    again = work.submit_many(3)
    wait_until(lambda: everything(index, RunQuery()) == again[::-1])


def test_a_history_has_every_attempt_and_the_life_before_a_replay(
    own_fleet: Fleet, work: Work, index: RunIndex
) -> None:
    run_id = work.submit()
    (delivery,) = work.take(1)
    own_fleet.broker.deliveries.started([(delivery.ticket, run_id)])
    work.end([delivery], AckKind.RETRY)
    own_fleet.broker.runs.move_due()
    work.run(AckKind.FAILED)
    caught_up(index)
    own_fleet.broker.runs.replay([run_id])
    work.run()
    caught_up(index)
    (view,) = views_of(own_fleet, [run_id])
    events = index.history(view)
    assert [event.state_name for event in events if event.state_name not in ("Running", "Retrying")] == [
        "Submitted",
        "AwaitingRetry",
        "Failed",
        "Pending",
        "Completed",
    ]
    assert [event.state_type for event in events].count("RUNNING") == 2
    assert [event.moment for event in events] == sorted(event.moment for event in events)


def test_what_happened_is_counted_by_time(work: Work, index: RunIndex) -> None:
    work.submit_many(9)
    work.run(AckKind.COMPLETED, most=4)
    work.run(AckKind.FAILED, most=2)
    caught_up(index)
    buckets = index.chart(5, 60)
    assert sum(bucket.submitted for bucket in buckets) == 9
    assert sum(bucket.completed for bucket in buckets) == 4
    assert sum(bucket.failed for bucket in buckets) == 2
    waits = [bucket.longest_wait_seconds for bucket in buckets if bucket.longest_wait_seconds is not None]
    assert waits
    assert all(0 <= wait < 60 for wait in waits)
    assert len(buckets) == 5


def test_a_countdown_is_no_waiting(own_fleet: Fleet, work: Work, index: RunIndex) -> None:
    (run_id,) = work.submit_many(1, d=400)
    wait_until(lambda: work.run(AckKind.COMPLETED), 20)
    caught_up(index)
    (view,) = views_of(own_fleet, [run_id])
    assert view.started is not None
    assert view.due is not None
    assert view.created is not None
    (waited,) = [
        bucket.longest_wait_seconds for bucket in index.chart(5, 60) if bucket.longest_wait_seconds is not None
    ]
    assert waited == pytest.approx(max(0.0, (view.started - view.due).total_seconds()), abs=0.01)
    assert waited <= (view.started - view.created).total_seconds() - 0.35


def test_a_run_whose_submission_the_journal_forgot_is_found_still(
    own_fleet: Fleet, work: Work, index: RunIndex
) -> None:
    run_id = work.submit()
    own_fleet.broker.wires.commands([("DEL", own_fleet.broker.keys.journal)])
    index.stop()
    later = work.submit()
    work.run()
    afresh = RunIndex(own_fleet)
    try:
        afresh.start()
        assert everything(caught_up(afresh), RunQuery(states=("COMPLETED",))) == [later, run_id]
    finally:
        afresh.stop()


def test_it_goes_on_after_the_server_was_away(own_server: Callable[..., ServerProcess], namespace: str) -> None:
    server = own_server()
    own = Fleet(Settings(redis_url=server.url, namespace=namespace, command_timeout_seconds=1.0))
    index = RunIndex(own)
    index.start()
    try:
        Work(own).submit_many(3)
        wait_until(lambda: index.state().runs == 3)
        server.freeze()
        wait_until(lambda: index.state().error is not None, 20)
        server.thaw()
        wait_until(lambda: own.broker.health.is_reachable(), 20)
        Work(own).submit_many(2)
        wait_until(lambda: index.state().runs == 5 and index.state().error is None, 20)
    finally:
        index.stop()
        own.close()


def test_every_change_in_the_journal_is_one_that_the_index_knows() -> None:
    letters = [value for name, value in vars(Status).items() if name.isupper() and value != Status.UNKNOWN]
    assert len({state_of_letter(letter) for letter in letters}) >= 7


def test_folders_of_killed_servers_are_swept_up_and_those_of_others_are_not(
    own_fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "orchestrator-index-killed"
    left.mkdir()
    (left / "lock").touch()
    (left / "runs.sqlite").touch()
    one, other = RunIndex(own_fleet), RunIndex(own_fleet)
    assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([one.tables.folder, other.tables.folder])
    assert one.tables.folder.stat().st_mode & 0o077 == 0
    one.stop()
    other.stop()
    assert list(tmp_path.iterdir()) == []
