"""What a run can know and say: logs, tags, its own data; and every kind of function as a task."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import flow, get_run_logger, tags
from orchestrator.client.fleet import Fleet
from orchestrator.errors import MissingResult
from orchestrator.observability.run_logs import read_logs
from orchestrator.runtime import flow_run, task_run
from orchestrator.tasks import Task
from tests.support.apps import surroundings as app
from tests.support.engines import ROOT, environment_of

APP = "tests.support.apps.surroundings"
THREADS = 2
SETTINGS = {"log_lines_per_run": 50}
pytestmark = pytest.mark.usefixtures("worker")


def messages(run_id: object) -> list[tuple[str, str]]:
    return [(line.level, line.message) for line in read_logs(str(run_id))]


@pytest.mark.smoke
def test_the_lines_of_a_run_are_there_when_it_has_ended() -> None:
    future = app.talks.submit("Ann")
    future.result(timeout=60)
    assert messages(future.run_id) == [("INFO", "hello, Ann"), ("INFO", "info about Ann"), ("WARNING", "a warning")]
    asynchronous = app.talks_async.submit("Bob")
    asynchronous.result(timeout=60)
    assert messages(asynchronous.run_id) == [("INFO", "hello Bob"), ("ERROR", "an error of Bob")]


def test_lines_of_a_tasks_own_threads_are_kept() -> None:
    future = app.talks_in_threads.submit()
    future.result(timeout=60)
    assert messages(future.run_id) == [("INFO", "from a thread")]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"loggers": {"orchestrator": {"level": "WARNING"}}},
        {"root": {"level": "ERROR", "handlers": []}},
    ],
    ids=["disables others", "names ours", "silences all"],
)
def test_lines_are_kept_whatever_a_task_sets_up_for_logging(config: dict[str, Any]) -> None:
    future = app.configures_logging.submit(config)
    future.result(timeout=60)
    assert messages(future.run_id) == [("INFO", "before"), ("INFO", "after")]
    later = app.talks_in_threads.submit()
    later.result(timeout=60)
    assert messages(later.run_id) == [("INFO", "from a thread")]


def test_another_process_reads_the_lines(fleet: Fleet) -> None:
    future = app.talks.submit("Ann")
    future.result(timeout=60)
    code = f"from orchestrator.observability.run_logs import read_logs; print(read_logs({future.run_id!r})[1].message)"
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment_of(fleet.settings), cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert told.stdout.decode() == "info about Ann\n"


def test_only_the_last_lines_are_kept() -> None:
    future = app.talks_a_lot.submit(200)
    future.result(timeout=60)
    lines = messages(future.run_id)
    assert len(lines) == 50
    assert lines[-1] == ("INFO", "line 199")


def test_lines_of_a_flow(capsys: pytest.CaptureFixture[str]) -> None:
    @flow(log_prints=True)
    def talking() -> str:
        app.square.submit(1).result(timeout=60)
        print("from the flow")
        get_run_logger().info("more")
        run_id = flow_run.id
        assert isinstance(run_id, str)
        return run_id

    assert messages(talking()) == [("INFO", "from the flow"), ("INFO", "more")]
    print("outside")
    assert capsys.readouterr().out == "outside\n"


def test_submitted_tasks_log_their_prints_where_the_flow_does_and_they_do_not_object() -> None:
    @flow(log_prints=True)
    def loud() -> list[str]:
        calls = [app.prints.submit("heard"), app.prints.with_options(log_prints=False).submit("not heard")]
        return [future.run_id for future in calls if future.wait(20) is None]

    @flow
    def silent() -> str:
        future = app.prints.submit("not heard")
        future.wait(20)
        return future.run_id

    heard, unheard = loud()
    assert messages(heard) == [("INFO", "heard")]
    assert messages(unheard) == messages(silent()) == []


def test_there_is_no_logger_outside_a_run() -> None:
    with pytest.raises(MissingResult, match="no active flow or task run"):
        get_run_logger()
    assert (task_run.id, flow_run.id, task_run.task_name) == (None, None, None)
    with pytest.raises(AttributeError, match="has no 'nonsense'"):
        _ = task_run.nonsense


def test_what_a_run_knows_of_itself() -> None:
    future = app.around.submit(7)
    known = future.result(timeout=60)
    assert known["id"] == future.run_id
    assert (known["name"], known["task_name"], known["parameters"]) == ("around 7", "around", {"x": 7})
    assert (known["tags"], known["run_count"], known["flow_run_id"], known["parent"]) == (["own"], 1, None, None)


def test_tags_add_up_and_travel() -> None:
    @flow(tags=["of flow"])
    def tagged() -> list[list[str]]:
        with tags("inner"):
            inside = app.around.submit()
        return [inside.result(timeout=60)["tags"], app.around.submit().result(timeout=60)["tags"], app.around()["tags"]]

    with tags("outer"):
        inside, after, direct = tagged()
    assert inside == ["inner", "of flow", "outer", "own"]
    assert after == direct == ["of flow", "outer", "own"]
    assert app.around()["tags"] == ["own"]


def test_a_run_knows_its_flow_run_and_its_parent() -> None:
    @flow
    def outer() -> tuple[str | None, dict[str, object]]:
        run_id = flow_run.id
        return run_id, app.around.submit().result(timeout=60)

    run_id, known = outer()
    assert run_id is not None
    assert known["flow_run_id"] == known["flow"] == run_id
    parent_id, child = app.parent.submit().result(timeout=60)
    assert child["parent"] == parent_id


def test_methods() -> None:
    shop = app.Shop("Tea & Co")
    assert shop.greet("Ann") == shop.greet.submit("Ann").result(timeout=60) == "Tea & Co greets Ann"
    assert app.Branch("Branch").greet.submit("Ann").result(timeout=60) == "Branch greets Ann"
    assert app.Shop.greet.submit(shop, "Ann").result(timeout=60) == "Tea & Co greets Ann"
    assert shop.greet.map(["Ann", "Bob"]).result(timeout=60) == ["Tea & Co greets Ann", "Tea & Co greets Bob"]
    assert shop.greet_async.delay("Ann").result(timeout=60) == "Tea & Co greets Ann"
    assert shop.greet.with_options(name="x").submit("Ann").result(timeout=60) == "Tea & Co greets Ann"


def test_static_and_class_methods() -> None:
    shop = app.Shop("Tea & Co")
    for owner in (app.Shop, shop):
        assert owner.price(21) == owner.price.submit(21).result(timeout=60) == 42
        assert owner.kind() == owner.kind.submit().result(timeout=60) == "Shop"
    assert app.Shop.kind.with_options(retries=1).submit("!").result(timeout=60) == "Shop!"


def test_generators_give_lists_elsewhere_and_their_values_here() -> None:
    async def values() -> list[int]:
        return [value async for value in app.counts_async(3)]

    assert list(app.counts(3)) == app.counts.submit(3).result(timeout=60) == [0, 1, 2]
    assert asyncio.run(values()) == app.counts_async.submit(3).result(timeout=60) == [0, 1, 2]


def test_async_tasks_run_side_by_side_in_one_process(tmp_path: Path) -> None:
    signs = [str(tmp_path / str(n)) for n in range(20)]
    futures = [app.meets.submit(mine, other) for mine, other in zip(signs, [*signs[1:], signs[0]], strict=True)]
    assert {future.result(timeout=60) for future in futures} == {"met"}


def test_async_tasks_await_others() -> None:
    assert app.awaits_others.submit(10).result(timeout=60) == 90


def test_an_async_task_that_would_block_its_loop_is_told_to_await() -> None:
    with pytest.raises(RuntimeError, match="await"):
        app.blocks_its_loop.submit().result(timeout=60)


def test_direct_calls() -> None:
    assert app.square(3) == 9
    assert app.square(3, return_state=True).result() == 9
    assert asyncio.run(app.doubled(3)) == 6
    assert asyncio.run(app.doubled(3, return_state=True)).name == "Completed"
    assert app.square.fn(3) == 9


def test_a_task_may_run_a_flow() -> None:
    assert app.runs_a_flow.submit(4).result(timeout=60) == 14


def test_with_options_loses_nothing_and_changes_only_the_copy() -> None:
    named = app.around.with_options(name="other", tags=["new"], task_run_name=None)
    known = named.submit(1).result(timeout=60)
    assert (known["task_name"], known["tags"]) == ("other", ["new"])
    assert app.around.submit(1).result(timeout=60)["task_name"] == "around"
    assert isinstance(named, Task)
    assert (named.fn, named.task_key) == (app.around.fn, app.around.task_key)
    twice = named.with_options(retries=2)
    assert (twice.name, twice.retries, named.retries) == ("other", 2, 0)
    with pytest.raises(TypeError, match="no option 'colour'"):
        app.around.with_options(colour="red")


def test_the_result_serializer_of_a_task() -> None:
    for name in ("json", "pickle", "msgpack"):
        assert app.square.with_options(result_serializer=name).submit(3).result(timeout=60) == 9
