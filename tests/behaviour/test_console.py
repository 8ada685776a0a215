"""What a plain script shows of its runs on standard error, and that nothing is told twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestrator import flow, task
from orchestrator.task_runners import ThreadPoolTaskRunner

SCRIPT = """
import logging, sys
from orchestrator import flow, get_run_logger, task
from orchestrator.task_runners import ThreadPoolTaskRunner

@task
def says(what): print("says", what)

@task(log_prints=False)
def plain(what): print("plain", what)

@task(log_prints=True, retries=1, retry_delay_seconds=0.01)
def fails_once(before=[]):
    before.append(1)
    if len(before) == 1:
        raise ValueError("not \\x1b[2Jyet")
    print("well", file=sys.stdout)

@task
def fails(): raise ValueError("for good")

@flow(log_prints=True, task_runner=ThreadPoolTaskRunner())
def printing():
    print("in the flow")
    says("direct"); says.submit("submitted").wait(); plain("text")
    inner()
    fails_once(); fails.submit().wait()
    get_run_logger().debug("deep inside")
    return 0

@flow(log_prints=False)
def inner(): says("nothing of itself")

if "basic" in sys.argv:
    logging.basicConfig(format="own %(message)s")
printing()
"""


def shown(path: Path, *arguments: str, **environment: str) -> tuple[str, str]:
    script = path / "script.py"
    script.write_text(SCRIPT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**kept, "ORCHESTRATOR_HOME": str(path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout, done.stderr


def test_a_plain_script_shows_prints_retries_and_failures_of_its_runs_once(tmp_path: Path) -> None:
    out, err = shown(tmp_path)
    assert out.splitlines() == ["plain text", "says nothing of itself"]
    told = [line.split(" | ", 2)[1:] for line in err.splitlines()]
    levels, lines = [level.strip() for level, _ in told], [line for _, line in told]
    assert levels == ["INFO", "INFO", "INFO", "WARNING", "INFO", "ERROR"]
    assert [line.partition(" - ")[2] for line in lines] == [
        "in the flow",
        "says direct",
        "says submitted",
        "attempt 1 of 2 failed, again in 0.01 s: ValueError: not \\x1b[2Jyet",
        "well",
        "Failed: ValueError: for good",
    ]
    assert lines[0].startswith("Flow run 'printing-")
    assert lines[1].startswith("Task run 'says-")


def test_who_sets_up_logging_or_asks_for_silence_gets_no_second_line(tmp_path: Path) -> None:
    _, err = shown(tmp_path, "basic")
    assert err.count("says direct") == 1
    assert "own says direct" in err.splitlines()
    assert " | " not in err
    _, err = shown(tmp_path, ORCHESTRATOR_LOG_TO_CONSOLE="false")
    assert err == ""
    _, err = shown(tmp_path, ORCHESTRATOR_LOG_LEVEL="error")
    assert [line.split(" - ")[1] for line in err.splitlines()] == ["Failed: ValueError: for good"]


def test_log_prints_of_the_runner_beside_is_not_inherited() -> None:
    @task
    def prints_are_lines() -> bool | None:
        from orchestrator.observability.run_logs import prints_are_logged

        return prints_are_logged()

    @flow(log_prints=True, task_runner=ThreadPoolTaskRunner())
    def loud() -> tuple[bool, bool, bool]:
        silent = prints_are_lines.with_options(log_prints=False)
        return prints_are_lines(), prints_are_lines.submit().result(), silent.submit().result()

    assert loud() == (True, True, False)
    assert not prints_are_lines()
