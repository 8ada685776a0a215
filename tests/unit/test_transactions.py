"""Transactions of tasks that run in this process, and the values, hooks and modes that go with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import flow, suspend_flow_run, task
from orchestrator.cache_policies import INPUTS
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import inline
from orchestrator.transactions import (
    CommitMode,
    Transaction,
    atransaction,
    get_transaction,
    transaction,
)

happened: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_happened_yet() -> None:
    happened.clear()


@task
def write(name: str) -> str:
    happened.append(f"write {name}")
    return name


@write.on_rollback
def remove(txn: Transaction) -> None:
    happened.append(f"remove {txn.get('name', 'it')}")


@write.on_commit
def publish(txn: Transaction) -> None:
    happened.append("publish")


@task
def check(good: bool) -> None:
    if not good:
        raise ValueError("not good")


def test_a_task_outside_of_any_is_committed_when_it_completes() -> None:
    write("a")
    assert happened == ["write a", "publish"]


def test_tasks_are_committed_at_the_end_of_the_block() -> None:
    with transaction() as txn:
        write("a")
        check(True)
        write("b")
        assert happened == ["write a", "write b"]
    assert happened == ["write a", "write b", "publish", "publish"]
    assert txn.is_committed()


def test_what_completed_before_a_failure_is_undone_in_reverse_and_the_failure_is_raised() -> None:
    with pytest.raises(ValueError, match="not good"), transaction() as txn:  # noqa: PT012
        txn.set("name", "later")
        write("a")
        write("b")
        check(False)
    assert happened == ["write a", "write b", "remove later", "remove later"]
    assert txn.is_rolled_back()


def test_the_task_that_failed_is_not_undone() -> None:
    @task(on_rollback=[lambda txn: happened.append("undone")])
    def half() -> None:
        raise ValueError

    with pytest.raises(ValueError), transaction():  # noqa: PT011
        half()
    assert happened == []


def test_each_hook_is_called_though_another_one_raised(caplog: pytest.LogCaptureFixture) -> None:
    def broken(txn: Transaction) -> None:
        raise RuntimeError("cannot undo")

    undone = write.with_options(on_rollback=[remove, broken])
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="not good"), transaction():  # noqa: PT012
        write("a")
        undone("b")
        check(False)
    assert happened == ["write a", "write b", "remove it", "remove it"]
    assert "cannot undo" in caplog.text


def test_values_are_found_from_within_and_are_copies_also_those_that_are_set_after_the_task() -> None:
    seen = []

    @task(on_commit=[lambda txn: seen.append((txn.get("own"), txn.get("late")))])
    def work() -> None:
        mine = get_transaction()
        assert mine is not None
        mine.set("own", 1)
        mine.get("list").append(2)

    with transaction() as txn:
        txn.set("list", [1])
        work()
        txn.set("late", 3)
    assert seen == [(1, 3)]
    assert txn.get("list") == [1]
    assert txn.get("none", None) is None
    with pytest.raises(ValueError, match="'none'"):
        txn.get("none")


def test_a_hook_that_fails_at_the_commit_rolls_back(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(txn: Transaction) -> None:
        raise RuntimeError("no room")

    refusing = write.with_options(on_commit=[refuse])
    with transaction() as txn:
        write("a")
        refusing("b")
    assert txn.is_rolled_back()
    assert happened == ["write a", "write b", "publish", "remove it"]  # the first one was committed
    assert "no room" in caplog.text


class TestBlocksWithinBlocks:
    def test_the_inner_one_is_committed_with_the_outer_one(self) -> None:
        with transaction():
            with transaction() as inner:
                write("a")
            assert inner.is_staged()
        assert inner.is_committed()
        assert happened == ["write a", "publish"]

    def test_the_inner_one_is_undone_with_the_outer_one(self) -> None:
        with pytest.raises(ValueError, match="not good"), transaction():  # noqa: PT012
            with transaction() as inner:
                write("a")
            check(False)
        assert inner.is_rolled_back()
        assert happened == ["write a", "remove it"]

    def test_an_eager_one_is_committed_at_its_own_end_and_stays_so(self) -> None:
        with pytest.raises(ValueError, match="not good"), transaction():  # noqa: PT012
            with transaction(commit_mode=CommitMode.EAGER):
                write("a")
            check(False)
        assert happened == ["write a", "publish"]

    def test_one_that_is_off_is_committed_by_hand_or_not_at_all(self) -> None:
        with transaction(commit_mode=CommitMode.OFF) as txn:
            write("a")
        assert txn.is_rolled_back()
        with transaction(commit_mode=CommitMode.OFF) as txn:
            write("b")
            assert txn.commit()
        assert happened == ["write a", "remove it", "write b", "publish"]

    def test_one_in_a_task_belongs_to_the_task(self) -> None:
        @task
        def outer(good: bool) -> None:
            with transaction() as inner:
                assert inner.parent is not None
                write("a")
            check(good)

        outer(True)
        with pytest.raises(ValueError, match="not good"):
            outer(False)
        assert happened == ["write a", "publish", "write a", "remove it"]
        assert get_transaction() is None


def test_each_attempt_has_its_own() -> None:
    tries = []

    @task(retries=1, retry_delay_seconds=0)
    def twice() -> None:
        write("a")
        tries.append(1)
        check(len(tries) == 2)

    twice()
    assert happened == ["write a", "remove it", "write a", "publish"]


def test_it_can_be_ended_by_hand() -> None:
    with transaction() as txn:
        write("a")
        assert txn.rollback()
    assert happened == ["write a", "remove it"]
    assert not txn.commit()


class TestCoroutines:
    def test_of_tasks_and_hooks(self) -> None:
        @task
        async def write_soon(name: str) -> None:
            happened.append(f"write {name}")

        @write_soon.on_rollback
        async def remove_soon(txn: Transaction) -> None:
            await asyncio.sleep(0)
            happened.append("removed")

        async def main(good: bool) -> None:
            async with atransaction():
                await write_soon("a")
                check(good)

        asyncio.run(main(True))
        with pytest.raises(ValueError, match="not good"):
            asyncio.run(main(False))
        assert happened == ["write a", "write a", "removed"]

    def test_two_side_by_side_do_not_mix(self) -> None:
        @task(on_rollback=[lambda txn: happened.append(txn.get("name"))])
        async def work() -> None:
            await asyncio.sleep(0)

        async def one(name: str, good: bool) -> None:
            async with atransaction() as txn:
                txn.set("name", name)
                await work()
                check(good)

        async def main() -> list[Any]:
            return await asyncio.gather(one("a", True), one("b", False), return_exceptions=True)

        assert [type(end) for end in asyncio.run(main())] == [type(None), ValueError]
        assert happened == ["b"]


class TestSubmittedCalls:
    @pytest.mark.parametrize("good", [True, False])
    def test_in_threads_of_the_flow(self, good: bool) -> None:
        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def booking() -> None:
            with transaction():
                write.submit("a")
                write.submit("b")
                check.submit(good)

        if good:
            booking()
        else:
            with pytest.raises(ValueError, match="not good"):
                booking()
        assert sorted(happened) == sorted(["write a", "write b", *["publish" if good else "remove it"] * 2])

    @pytest.mark.parametrize("good", [True, False])
    def test_on_the_fleet(self, good: bool) -> None:
        @flow
        def booking() -> None:
            with transaction():
                write("first")
                write.map(["a", "b"])
                check.submit(good)

        with inline():
            if good:
                booking()
            else:
                with pytest.raises(ValueError, match="not good"):
                    booking()
        assert happened[0] == "write first"
        assert happened.count("publish" if good else "remove it") == 3


class TestResultsForTheCache:
    @pytest.fixture(autouse=True)
    def fleet(self) -> Iterator[None]:
        with inline():
            yield

    def test_are_kept_at_the_commit_and_not_after_a_roll_back(self) -> None:
        computed = []

        @task(cache_policy=INPUTS)
        def compute(x: int) -> int:
            computed.append(x)
            return x

        def both(good: bool) -> None:
            with transaction():
                compute(1)
                check(good)

        with pytest.raises(ValueError, match="not good"):
            both(False)
        both(True)
        both(True)
        assert computed == [1, 1]

    def test_a_value_is_kept_under_the_key_and_found_by_the_next(self) -> None:
        with transaction(key="report") as txn:
            assert not txn.is_committed()
            txn.stage({"rows": 3})
        with transaction(key="report") as again:
            assert again.is_committed()
            assert again.read() == {"rows": 3}
        with transaction(key="report", overwrite=True) as over:
            assert not over.is_committed()
            over.stage(4)
        with transaction(key="report") as last:
            assert last.read() == 4

    def test_nothing_is_kept_after_a_roll_back_or_if_it_is_not_to_be_written(self) -> None:
        with pytest.raises(ValueError, match="not good"), transaction(key="draft") as txn:  # noqa: PT012
            txn.stage(1)
            check(False)
        with transaction(key="draft", write_on_commit=False) as txn:
            txn.stage(2)
        with transaction(key="draft") as txn:
            assert not txn.is_committed()
            txn.stage(3)
        assert txn.read() == 3


@pytest.mark.parametrize("name", ["on_commit", "on_rollback"])
def test_a_hook_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        task(**{name: [1]})(lambda: None)


def test_a_flow_is_not_suspended_in_one() -> None:
    @flow
    def asks() -> None:
        with transaction():
            suspend_flow_run()

    with pytest.raises(RuntimeError, match="cannot be suspended in a transaction"):
        asks()
