"""The oracle is judged: every violation it is to find is made on purpose, in a real store, and it must name it.

The story is always the same: one call completes, another one is retried once. As it is, the oracle has nothing to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from brokers.messages import AckKind, Delivery, Status
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.serializers.outcomes import pack_outcome, result_context
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support import oracle as oracles
from tests.support.carriage import Calls
from tests.support.oracle import Model, Oracle
from tests.support.servers import ServerProcess


@pytest.fixture(scope="module")
def server_program() -> Path:
    """One program is enough: the oracle is what is tested."""
    return program_or_skip("embedded")


class Story:
    """A namespace in which two calls have ended, and the notes that their tasks would have written."""

    def __init__(self, oracle: Oracle, trace: Path, settings: Settings) -> None:
        self.oracle, self.calls, self.settings = oracle, Calls(oracle.broker), settings
        self._trace = trace
        self.plain, self.retried = self.calls.submit(), self.calls.submit()
        self.oracle.expect(self.plain, Model(value=3))
        self.oracle.expect(self.retried, Model(value=4, retries=1, starts=2))
        for delivery in self.calls.take():
            self.run(delivery.run_id)
            if delivery.run_id == self.plain:
                self.complete(delivery, 3)
            else:
                assert self.calls.end(delivery, AckKind.RETRY)
        delivery = self.calls.wait_for_one()
        self.run(delivery.run_id)
        self.complete(delivery, 4)

    def complete(self, delivery: Delivery, value: object) -> None:
        assert self.calls.end(delivery, outcome=self.outcome(delivery.run_id, value))

    def outcome(self, run_id: str, value: object) -> bytes:
        body = serializers.pack_value(value, context=lambda: result_context(run_id), enclosed=True)
        return pack_outcome(None, None, time.time(), time.time(), 1, body)

    def note(self, sign: str, run_id: str) -> None:
        with self._trace.open("a") as file:
            file.write(f"{sign} {run_id} 1 1 {time.monotonic()}\n")

    def run(self, run_id: str) -> None:
        self.note("+", run_id)
        self.note("-", run_id)

    def write(self, run_id: str, field: str, value: object) -> None:
        """Change a record behind everyone's back."""
        self.calls.command("HSET", self.oracle.broker.keys.record(run_id), field, value)

    def key(self, name: str) -> str:
        return self.oracle.broker.keys.prefix + name

    def violations(self) -> list[str]:
        return self.oracle.judge()


@pytest.fixture
def story(server: ServerProcess, namespace: str, tmp_path: Path) -> Iterator[Story]:
    trace = tmp_path / "trace"
    with Oracle(server, namespace, trace) as oracle:
        yield Story(oracle, trace, Settings(redis_url=server.url, namespace=namespace))


def test_a_story_without_violations_is_praised(story: Story) -> None:
    story.oracle.look()
    story.oracle.wait_until_settled(1)
    assert story.violations() == []


def test_a_call_that_leaves_its_block_to_be_tried_again_has_not_gone_back(story: Story) -> None:
    run_ids = story.calls.submit_map(8)
    taken = story.calls.take()
    story.oracle.broker.deliveries.started([(delivery.ticket, delivery.run_id) for delivery in taken])
    story.oracle._stop_watching()  # it might see what comes in between
    story.oracle._look_into_blocks(set())  # they have left it after the oracle asked who had
    assert story.calls.status(run_ids[0]) == Status.RUNNING
    assert all(story.calls.end(delivery, AckKind.RETRY) for delivery in taken)
    story.calls.move_until(lambda: {story.calls.status(run_id) for run_id in run_ids} == {Status.QUEUED})
    story.oracle.look()
    for delivery in [*taken, *story.calls.take()]:
        story.run(delivery.run_id)
        if delivery not in taken:
            story.complete(delivery, 1)
    for run_id in run_ids:
        story.oracle.expect(run_id, Model(value=1, retries=1, starts=2))
    assert story.violations() == []


# -- the violations ----------------------------------------------------------------------------------------------------


def a_run_never_ends(story: Story) -> None:
    story.oracle.expect(story.calls.submit(), Model())


def a_run_that_nobody_expects_never_ends(story: Story) -> None:
    story.calls.submit()
    story.oracle.wait_until_settled(0.05)


def an_accepted_run_is_gone(story: Story) -> None:
    story.calls.command("DEL", story.oracle.broker.keys.record(story.plain))


def a_run_has_another_end_than_it_should(story: Story) -> None:
    story.oracle.expect(story.plain, Model(Status.FAILED))


def a_run_has_a_second_end(story: Story) -> None:
    story.oracle.look()
    story.write(story.plain, "s", Status.FAILED)
    story.oracle.look()


def an_ended_run_is_queued_again(story: Story) -> None:
    story.oracle.look()
    story.write(story.plain, "s", Status.QUEUED)
    story.oracle.look()
    story.write(story.plain, "s", Status.COMPLETED)


def a_result_is_wrong(story: Story) -> None:
    story.write(story.plain, "o", story.outcome(story.plain, 5))


def a_call_starts_once_too_often(story: Story) -> None:
    story.run(story.plain)


def an_attempt_is_missing(story: Story) -> None:
    story.oracle.expect(story.plain, Model(value=3, starts=2))


def two_attempts_are_alive_at_once(story: Story) -> None:
    story.oracle.expect(story.plain, Model(value=3, starts=3))
    for sign in "++--":
        story.note(sign, story.plain)


def a_late_attempt_overwrites_the_end(story: Story) -> None:
    story.oracle.look()
    story.write(story.plain, "o", story.outcome(story.plain, 3))
    story.oracle.look()


def a_handle_hangs(story: Story) -> None:
    fleet = Fleet(story.settings)
    future: PrefectFuture[Any] = PrefectFuture(story.calls.submit(), source=fleet)
    story.oracle.await_all([future], 0.1)
    fleet.close()


def a_command_outstays_its_deadline(story: Story) -> None:
    story.oracle.within(0.0, lambda: time.sleep(0.01), "sleeping")


def a_retry_is_counted_twice(story: Story) -> None:
    story.write(story.retried, "a", 2)


def a_retry_is_not_counted(story: Story) -> None:
    story.write(story.retried, "a", 0)


def a_crash_is_counted_that_never_was(story: Story) -> None:
    story.write(story.plain, "c", 1)


def an_end_is_counted_twice(story: Story) -> None:
    story.calls.command("HINCRBY", story.oracle.broker.keys.counts, "C:app.task", 1)


def an_end_is_not_counted(story: Story) -> None:
    story.calls.command("HINCRBY", story.oracle.broker.keys.counts, "C:app.task", -1)


def a_key_has_no_time_to_live(story: Story) -> None:
    story.calls.command("SET", story.key("forgotten"), "x")


def a_record_has_no_time_to_live(story: Story) -> None:
    story.calls.command("PERSIST", story.oracle.broker.keys.record(story.plain))


def an_entry_is_left_in_a_queue(story: Story) -> None:
    story.calls.command("XADD", story.key("q:q:ds"), "*", "r", story.plain)


def an_entry_is_pending_for_ever(story: Story) -> None:
    stream = story.key("q:q:ds")
    group = _group_of(story, stream)
    entry = story.calls.command("XADD", stream, "*", "r", story.plain)
    story.calls.command("XREADGROUP", "GROUP", group, "worker", "COUNT", 1, "STREAMS", stream, ">")
    story.calls.command("XDEL", stream, entry)


def a_run_stays_among_the_delayed(story: Story) -> None:
    story.calls.command("ZADD", story.key("delayed"), 2**50, story.plain)


def a_run_goes_back_from_running_to_queued(story: Story) -> None:
    delivery = _running(story)
    story.write(delivery.run_id, "s", Status.QUEUED)
    _end_it(story, delivery)


def a_counter_goes_back(story: Story) -> None:
    delivery = _running(story)
    story.write(delivery.run_id, "a", 1)
    story.oracle.look()
    story.write(delivery.run_id, "a", 0)
    _end_it(story, delivery)


def a_run_goes_back_to_an_earlier_delivery(story: Story) -> None:
    delivery = _running(story)
    story.write(delivery.run_id, "e", "q:ds 1-1")
    story.oracle.look()
    story.write(delivery.run_id, "e", delivery.ticket)
    _end_it(story, delivery)


def _group_of(story: Story, stream: str) -> bytes:
    (group,) = story.calls.command("XINFO", "GROUPS", stream)
    name: bytes = group[group.index(b"name") + 1]
    return name


def _running(story: Story) -> Delivery:
    """A third call, which runs."""
    story.oracle.expect(story.calls.submit(), Model(value=9))
    delivery = story.calls.take_one()
    story.run(delivery.run_id)
    assert story.oracle.broker.deliveries.started([(delivery.ticket, delivery.run_id)]) == []
    story.oracle.look()
    return delivery


def _end_it(story: Story, delivery: Delivery) -> None:
    story.oracle.look()
    story.complete(delivery, 9)


VIOLATIONS: Final[list[tuple[str, Callable[[Story], None]]]] = [
    ("I1", a_run_never_ends),
    ("I1", a_run_that_nobody_expects_never_ends),
    ("I1", an_accepted_run_is_gone),
    ("I1", a_run_has_another_end_than_it_should),
    ("I1", a_run_has_a_second_end),
    ("I1", an_ended_run_is_queued_again),
    ("I2", a_result_is_wrong),
    ("I3", a_call_starts_once_too_often),
    ("I3", an_attempt_is_missing),
    ("I4", two_attempts_are_alive_at_once),
    ("I4", a_late_attempt_overwrites_the_end),
    ("I5", a_handle_hangs),
    ("I5", a_command_outstays_its_deadline),
    ("I6", a_retry_is_counted_twice),
    ("I6", a_retry_is_not_counted),
    ("I6", a_crash_is_counted_that_never_was),
    ("I6", an_end_is_counted_twice),
    ("I6", an_end_is_not_counted),
    ("I7", a_key_has_no_time_to_live),
    ("I7", a_record_has_no_time_to_live),
    ("I7", an_entry_is_left_in_a_queue),
    ("I7", an_entry_is_pending_for_ever),
    ("I7", a_run_stays_among_the_delayed),
    ("I8", a_run_goes_back_from_running_to_queued),
    ("I8", a_counter_goes_back),
    ("I8", a_run_goes_back_to_an_earlier_delivery),
]


@pytest.mark.parametrize(("invariant", "violate"), VIOLATIONS, ids=[violate.__name__ for _, violate in VIOLATIONS])
def test_every_violation_is_named(
    story: Story, invariant: str, violate: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracles, "GRACE_SECONDS", 0.0)
    violate(story)
    assert [text for text in story.violations() if text.startswith(f"{invariant}: ")], story.oracle.violations


def test_a_replay_that_was_announced_is_another_life_and_one_that_was_not_is_a_second_end(story: Story) -> None:
    def replay() -> None:
        assert story.oracle.broker.runs.replay([story.plain]) == [story.plain]
        story.oracle.look()
        story.run(story.plain)
        story.complete(story.calls.take_one(), 3)
        story.oracle.look()

    story.oracle.expect(story.plain, Model(value=3, starts=2))
    story.oracle.about_to_replay(story.plain)
    replay()
    assert story.oracle.violations == []
    replay()
    assert [text for text in story.violations() if text.startswith("I1: ")]
