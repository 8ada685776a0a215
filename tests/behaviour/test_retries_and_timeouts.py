"""Retries hold no slot and are counted; timeouts end what runs too long; hooks are told, and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RunCancelled, RunFailed, TaskTimeout
from orchestrator.futures import PrefectFuture
from orchestrator.states import StateType
from tests.support import signals
from tests.support.apps import endings
from tests.support.apps.endings import OutOfTea
from tests.support.waiting import wait_until

APP = "tests.support.apps.endings"
THREADS = 1
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def sign(tmp_path: Path) -> str:
    return str(tmp_path / "sign")


@pytest.mark.smoke
@pytest.mark.parametrize("good_at", [1, 2, 4])
def test_a_task_is_tried_until_it_is_good(sign: str, good_at: int) -> None:
    state = endings.flaky_task.submit(sign, good_at, return_state=True)
    assert state.result() == good_at
    assert state.run_count == good_at
    assert signals.count(sign) == good_at


def test_a_task_is_not_tried_more_often_than_it_may(sign: str) -> None:
    future = endings.flaky_task.submit(sign, 99)
    with pytest.raises(OutOfTea) as caught:
        future.result(timeout=60)
    assert caught.value.left == 4
    assert future.state.run_count == 4
    assert signals.count(sign) == 4


def test_async_tasks_are_retried(sign: str) -> None:
    assert endings.flaky_async.submit(sign, 3).result(timeout=60) == 3


def test_a_returned_failure_is_retried(sign: str) -> None:
    with pytest.raises(RunFailed, match="again"):
        endings.returns_failed.submit(sign).result(timeout=60)
    assert signals.count(sign) == 3


def test_delays_with_backoff_and_jitter(sign: str) -> None:
    assert endings.with_backoff.submit(sign, 4).result(timeout=60) == 4


def test_a_waiting_retry_holds_no_slot_and_can_be_cancelled(sign: str) -> None:
    futures = [endings.retried_much_later.submit(sign) for _ in range(3)]
    wait_until(lambda: all(future.state.name == "AwaitingRetry" for future in futures), message="three wait")
    assert futures[0].state.type == StateType.SCHEDULED
    assert endings.ends_as.submit("completed").result(timeout=60) == 7  # there is a single slot
    assert all(future.cancel() for future in futures)
    with pytest.raises(RunCancelled):
        futures[0].result(timeout=60)
    assert signals.count(sign) == 3


def test_the_options_of_one_call_travel_with_it(sign: str) -> None:
    future = endings.flaky_task.with_options(retries=0).submit(sign, 99)
    with pytest.raises(OutOfTea):
        future.result(timeout=60)
    assert signals.count(sign) == 1
    more = endings.flaky_task.with_options(retries=6, retry_delay_seconds=[0, 0.01])
    assert more.submit(sign, 7).result(timeout=60) == 6


@pytest.mark.parametrize(("kind", "attempts"), [("green", 3), ("black", 1)])
def test_a_condition_says_whether_to_retry(sign: str, kind: str, attempts: int) -> None:
    with pytest.raises(OutOfTea):
        endings.retried_if_green.submit(sign, kind).result(timeout=60)
    assert signals.count(sign) == attempts


@pytest.mark.parametrize("condition", [endings.never, endings.broken_condition])
def test_a_condition_that_says_no_or_breaks_means_no_retry(sign: str, condition: object) -> None:
    task = endings.retried_if_green.with_options(retry_condition_fn=condition)
    with pytest.raises(OutOfTea):
        task.submit(sign, "green").result(timeout=60)
    assert signals.count(sign) == 1


@pytest.mark.parametrize("task", [endings.slow, endings.slow_async])
def test_what_runs_too_long_is_ended(task: object) -> None:
    future: PrefectFuture[str] = task.submit()  # type: ignore[attr-defined]
    with pytest.raises(TaskTimeout, match=r"slow.* ran longer than 0\.1 s") as caught:
        future.result(timeout=60)
    assert isinstance(caught.value, TimeoutError)
    assert (future.state.type, future.state.name) == (StateType.FAILED, "TimedOut")
    assert task.submit(0).result(timeout=60) == "in time"  # type: ignore[attr-defined]


def test_a_timeout_is_retried(sign: str) -> None:
    assert endings.slow_once.submit(sign).result(timeout=60) == "in time"
    assert signals.count(sign) == 2


def test_a_task_that_is_ended_can_clean_up(sign: str) -> None:
    endings.cleans_up.submit(sign).wait(20)
    assert signals.count(sign) == 1


def test_a_timeout_that_the_task_raised_is_a_plain_failure() -> None:
    future = endings.raises_its_own_timeout.submit()
    with pytest.raises(TimeoutError, match="of the database"):
        future.result(timeout=60)
    assert future.state.name == "Failed"


def _book(book: Path, lines: int) -> list[str]:
    wait_until(lambda: book.exists() and len(book.read_text().splitlines()) >= lines, message=f"{lines} lines")
    return book.read_text().splitlines()


def test_hooks_of_a_run_that_completes(tmp_path: Path) -> None:
    book = tmp_path / "book"
    assert endings.hooked.submit(str(book), "good").result(timeout=60) == "good"
    assert _book(book, 2) == ["running hooked run of good 1 Running", "completion hooked run of good 1 Completed"]


def test_hooks_of_a_run_that_fails_for_good(tmp_path: Path) -> None:
    book = tmp_path / "book"
    with pytest.raises(ValueError, match="bad"):
        endings.hooked.submit(str(book), "bad").result(timeout=60)
    assert _book(book, 4) == [
        "running hooked run of bad 1 Running",
        "running hooked run of bad 2 Running",
        "failure hooked run of bad 2 Failed",
        "async hooked run of bad 2 Failed",
    ]


def test_hooks_added_by_decorators(tmp_path: Path) -> None:
    endings.hooked_later.submit(str(tmp_path / "good")).wait(20)
    endings.hooked_later.submit(str(tmp_path / "bad"), bad=True).wait(20)
    assert [line.split()[0] for line in _book(tmp_path / "good", 1)] == ["async"]
    assert [line.split()[0] for line in _book(tmp_path / "bad", 1)] == ["decorated"]


def test_hooks_given_for_one_call_travel_with_it(tmp_path: Path) -> None:
    from orchestrator.client.fleet import current_fleet

    assert current_fleet().key_ring() is not None, "functions travel pickled, which needs a key"
    task = endings.hooked_later.with_options(on_completion=[endings.noted], name="renamed")
    task.submit(str(tmp_path / "book")).wait(20)
    assert [line.split()[:2] for line in _book(tmp_path / "book", 1)] == [["decorated", "renamed"]]


def test_a_broken_run_name_harms_neither_the_run_nor_its_worker(tmp_path: Path) -> None:
    for _ in range(3):
        endings.with_a_broken_name.submit(str(tmp_path / "book")).wait(20)
    assert endings.with_a_broken_name.submit(str(tmp_path / "book")).result(timeout=60) == "done"


def test_hooks_of_methods_and_class_methods(tmp_path: Path) -> None:
    book = tmp_path / "book"
    kitchen = endings.Kitchen("green")
    assert kitchen.serve.submit("you", str(book)).result(timeout=60) == "green for you"
    assert endings.Kitchen.name.submit("!", str(book)).result(timeout=60) == "Kitchen!"
    lines = _book(book, 2)
    assert lines[0] == "method serve green for you 1 Completed"
    assert lines[1].startswith("class method name")
