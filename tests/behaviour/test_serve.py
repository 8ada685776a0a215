"""``my_flow.serve`` and ``serve``: scripts that register deployments and run their flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.schedules import owner_of
from orchestrator.scheduling import edit
from tests.support.ends import all_of
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

SETTINGS = {"lease_seconds": 2, "beat_seconds": 0.4, "kill_grace_seconds": 0.5}
SECONDS = 40
SERVED = "being served and polling for scheduled runs!"

DAILY = """
from orchestrator import flow
@flow(log_prints=True)
def daily_etl({argument}): print("Running daily ETL pipeline..."); return {{"records_processed": 1000}}
daily_etl.serve(name="daily-etl-deployment", cron="0 6 * * *", parameters={{"source": "production"}}, tags=["etl"])
"""
NESTED = """
import os
from orchestrator import flow, serve, task
from orchestrator.deployments import run_deployment

@flow
def inner(number: int) -> int:
    return 10 * number

@flow
def outer(number: int) -> list[int]:
    return [run_deployment("inner/in", parameters={"number": number}).state.result(), number]

@flow
async def on_a_loop(number: int) -> list[int]:
    run = await run_deployment("inner/in", parameters={"number": number})
    return [await run.state.result(), number]

if __name__ == "__main__":
    serve(inner.to_deployment("in"), outer.to_deployment("out"), on_a_loop.to_deployment("loop"), limit=1)
"""
Serves = Callable[..., ServingProcess]


@pytest.fixture
def serves(fleet: Fleet, tmp_path: Path) -> Iterator[Serves]:
    """Runs a script of this text in the test's folder."""
    started: list[ServingProcess] = []

    def start(text: str, name: str = "script.py", cwd: Path = tmp_path) -> ServingProcess:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        started.append(ServingProcess(fleet.settings, str(file), cwd=cwd))
        return started[-1]

    yield start
    all_of(process.close for process in started)


def result_of(name: str, **parameters: Any) -> Any:
    run = run_deployment(name, parameters=parameters, timeout=SECONDS)
    assert run.state is not None
    return run.state.result()


@pytest.mark.smoke
def test_a_script_that_serves_at_its_end_runs_its_flow(serves: Serves, fleet: Fleet) -> None:
    serving = serves(DAILY.format(argument='source: str = "dev"'))
    serving.wait_output(SERVED)
    run = run_deployment("daily-etl/daily-etl-deployment", timeout=SECONDS)
    assert run.state is not None
    assert run.state.result() == {"records_processed": 1000}
    assert serving.output.count(SERVED) == 1  # children load the script, and serve nothing
    assert "Running daily ETL pipeline..." in serving.output
    record = find_deployment(fleet.broker, "daily-etl/daily-etl-deployment")
    assert record.polled_at_ms > 0
    assert not record.paused
    assert serving.stop() == 0
    assert not find_deployment(fleet.broker, "daily-etl/daily-etl-deployment").paused


def test_a_parameter_that_the_flow_does_not_take_is_refused_where_it_is_served(serves: Serves) -> None:
    serving = serves(DAILY.format(argument='origin: str = "dev", day: int = 1'))
    assert serving.process.wait(SECONDS) != 0
    assert "the flow has no parameter 'source'; its parameters: " in serving.output
    assert "origin" in serving.output.splitlines()[-1]
    assert SERVED not in serving.output


@pytest.fixture
def nested(serves: Serves) -> ServingProcess:
    serving = serves(NESTED)
    serving.wait_output(SERVED)
    return serving


def test_with_a_limit_of_one_flows_that_run_deployments_of_the_same_process_do_not_stand_still(
    nested: ServingProcess,
) -> None:
    assert result_of("outer/out", number=3) == [30, 3]
    assert result_of("on-a-loop/loop", number=4) == [40, 4]


EACH_OTHER = """
from orchestrator import flow
from orchestrator.deployments import run_deployment

@flow
def {here}(depth: int) -> list[str]:
    if depth == 0:
        return ["{here}"]
    return [*run_deployment("{other}/in", parameters={{"depth": depth - 1}}).state.result(), "{here}"]

{here}.serve(name="in", limit=1)
"""


def test_two_servers_with_one_place_each_whose_flows_run_each_other_do_not_stand_still(serves: Serves) -> None:
    for here, other in (("ping", "pong"), ("pong", "ping")):
        serves(EACH_OTHER.format(here=here, other=other), f"{here}.py").wait_output(SERVED)
    assert result_of("ping/in", depth=3) == ["pong", "ping", "pong", "ping"]


def test_a_flow_in_a_module_that_the_script_imports_finds_what_it_imports_itself(
    serves: Serves, tmp_path: Path
) -> None:
    (tmp_path / "src" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "rules").mkdir()
    (tmp_path / "src" / "rules" / "__init__.py").write_text("def run_some_rule(): return 'ruled'\n")
    (tmp_path / "src" / "lib" / "process.py").write_text(
        "import rules\nfrom orchestrator import flow\n"
        "@flow\ndef my_flow(): return [rules.run_some_rule(), __name__]\n"
        "def deploy(): my_flow.serve(name='ruled')\n"
    )
    serving = serves("from lib.process import deploy\nif __name__ == '__main__': deploy()\n", "src/main.py")
    serving.wait_output(SERVED)
    assert result_of("my-flow/ruled") == ["ruled", "lib.process"]


def test_a_file_that_was_changed_and_is_served_again_runs_the_new_code(serves: Serves, fleet: Fleet) -> None:
    text = "from orchestrator import flow\n@flow\ndef tells(): return {}\ntells.serve(name='again', limit=1)\n"
    first = serves(text.format(1))
    first.wait_output(SERVED)
    assert result_of("tells/again") == 1
    assert first.stop() == 0
    second = serves(text.format(2))
    second.wait_output(SERVED)
    assert result_of("tells/again") == 2
    assert find_deployment(fleet.broker, "tells/again").version_number == 2
    assert run_deployment("tells/again", version=1, timeout=SECONDS).state.result() == 1  # type: ignore[union-attr]


def test_a_flow_that_was_typed_in_runs_in_the_process_that_serves_it(fleet: Fleet, tmp_path: Path) -> None:
    typed = (
        "import os\nfrom orchestrator import flow\n"
        "@flow\ndef typed(): return os.getpid()\n"
        "typed.serve(name='in', limit=1)\n"
    )
    serving = ServingProcess(fleet.settings, "-c", typed, cwd=tmp_path)
    try:
        serving.wait_output("threads of this process, not processes: typed/in")
        assert result_of("typed/in") == serving.process.pid
        assert serving.stop() == 0
    finally:
        serving.close()


def test_a_script_that_fails_under_another_name_says_why(serves: Serves) -> None:
    serving = serves(
        "from orchestrator import flow\n@flow\ndef f(): ...\n"
        "if __name__ == '__main__': f.serve(name='x')\nelse: raise LookupError('only as a script')\n"
    )
    assert serving.process.wait(SECONDS) == 1
    assert "the flows cannot be served: " in serving.output
    assert "LookupError: only as a script" in serving.output


TICKING = """
from datetime import datetime, timedelta, timezone
from orchestrator import flow, serve
from orchestrator.runtime import flow_run
from orchestrator.schedules import Cron, Interval, RRule

@flow
def my_etl(path: str):
    with open(path, "a") as file:
        file.write(flow_run.scheduled_start_time.isoformat() + "\\n")

@flow
def a(): ...

if __name__ == "__main__":
    soon = datetime.now(timezone.utc) + timedelta(seconds=1)
    serve(
        my_etl.to_deployment("every-second", schedule=Interval(1, anchor_date=soon), parameters={"path": "ticks"}),
        a.to_deployment("one", schedules=[Cron("0 0 1 1 *", slug="c"), Interval(3600, slug="i", active=False),
                                          RRule("FREQ=YEARLY")]),
        limit=2,
    )
"""


def ticks_in(folder: Path) -> list[str]:
    file = folder / "ticks"
    return file.read_text().split() if file.exists() else []


def test_a_served_flow_runs_once_for_each_tick_also_after_its_server_was_started_again(
    serves: Serves, fleet: Fleet, tmp_path: Path
) -> None:
    first = serves(TICKING)
    wait_until(lambda: len(ticks_in(tmp_path)) >= 2, SECONDS, "two runs")
    assert first.stop() == 0
    before = len(ticks_in(tmp_path))
    serves(TICKING)
    wait_until(lambda: len(ticks_in(tmp_path)) >= before + 2, SECONDS, "runs of the second server")
    ticks = ticks_in(tmp_path)
    assert len(set(ticks)) == len(ticks)
    schedules = edit.of_owner(fleet, owner_of(find_deployment(fleet.broker, "a/one").id))
    assert sorted(each.active for each in schedules) == [False, True, True]


def test_the_command_line_serves_flows_of_a_file(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("from orchestrator import flow\n@flow\ndef nightly(day: int): return day\n")
    words = ["serve", "etl.py:nightly", "--name", "by hand", "--cron", "0 6 * * *", "-p", "day=3", "--limit", "1"]
    serving = ServingProcess(fleet.settings, "-m", "orchestrator", *words, cwd=tmp_path)
    try:
        serving.wait_output(SERVED)
        assert result_of("nightly/by hand") == 3
        assert result_of("nightly/by hand", day=4) == 4
        assert serving.stop() == 0
    finally:
        serving.close()


def test_a_flow_that_is_in_no_file_runs_when_it_is_due(fleet: Fleet, tmp_path: Path) -> None:
    text = "@flow\ndef typed_in(): print('it was due', flush=True)\ntyped_in.serve('here', interval=1)"
    serving = ServingProcess(fleet.settings, "-c", f"from orchestrator import flow\n{text}", cwd=tmp_path)
    try:
        serving.wait_output("it was due")
        assert serving.stop() == 0
    finally:
        serving.close()
