"""Settings that hold for runs that do not say: whether prints are log lines, whether cached tasks are run again."""

from __future__ import annotations

import asyncio
import logging

import pytest

from orchestrator import flow, task
from orchestrator.cache_policies import INPUTS
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import inline

ran: list[int] = []


@task
def says(text: str) -> None:
    print(text)


@task
async def says_on_a_loop(text: str) -> None:
    print(text)


@task(cache_policy=INPUTS)
def doubled(number: int) -> int:
    ran.append(number)
    return 2 * number


def printed(text: str) -> None:
    """As a flow and a task print it, directly, sent and in a pool of threads."""
    print(f"flow {text}")
    says(f"called {text}")
    says.submit(f"sent {text}").result()
    asyncio.run(says_on_a_loop.fn(f"plain {text}"))


WAYS = ("flow", "called", "sent")


@pytest.mark.parametrize("runner", [None, ThreadPoolTaskRunner])
def test_the_setting_has_prints_of_all_runs_logged_that_do_not_say(
    runner: type[ThreadPoolTaskRunner] | None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    made = {"task_runner": runner()} if runner is not None else {}
    with inline(log_prints=True):
        flow(**made)(printed)("logged")  # type: ignore[call-overload]
        flow(log_prints=False, **made)(printed)("silent")  # type: ignore[call-overload]
        says("alone")
        says.with_options(log_prints=False)("not logged")
        print("outside of runs")
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line in {f"{way} logged" for way in WAYS}] == [f"{way} logged" for way in WAYS]
    assert "alone" in lines
    assert not [line for line in lines if "silent" in line or line in ("not logged", "outside of runs")]
    out = capsys.readouterr().out.splitlines()
    assert {*(f"{way} silent" for way in WAYS), "not logged", "outside of runs"} <= set(out)


def test_without_the_setting_prints_are_prints(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with inline():
        flow(printed)("as ever")
    assert "flow as ever" in capsys.readouterr().out
    assert "flow as ever" not in caplog.text


def test_the_setting_has_cached_tasks_run_unless_they_say() -> None:
    ran.clear()
    with inline(refresh_cache=True):
        assert [doubled(1), doubled(1)] == [2, 2]
        assert len(ran) == 2
        assert doubled.with_options(refresh_cache=False)(1) == 2
        assert len(ran) == 2
    with inline():
        assert [doubled(2), doubled(2)] == [4, 4]
        assert len(ran) == 3
        assert doubled.with_options(refresh_cache=True)(2) == 4
        assert len(ran) == 4
