"""Small parts of a worker: options, apps, exit codes, backoff, log lines."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from brokers.schema import Reason, ScriptedEnd
from orchestrator.errors import ConfigurationError, RemoteTraceback
from orchestrator.runnables import registry
from orchestrator.runnables.identity import module_of_path
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.settings import Settings
from task_workers.app import import_app
from task_workers.cli.worker import command as worker_command
from task_workers.flags import flags_of, values_from
from task_workers.health.memory import resident_mb
from task_workers.logs import LineHandler, LineWriter
from task_workers.options import WorkerOptions, queues_from
from task_workers.supervisor.backoff import Backoff
from task_workers.supervisor.child_process import explained


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--concurrency", {"processes": 0}),
        ("--threads", {"threads": -1}),
        ("--async-concurrency", {"async_concurrency": 0}),
        ("--max-tasks-per-child", {"max_tasks_per_child": 0}),
        ("--max-memory-per-child", {"max_memory_per_child_mb": 0.0}),
        ("--shutdown-timeout", {"shutdown_timeout_seconds": -1.0}),
        ("--name", {"name": "with space"}),
        ("--queues", {"queues": ("a b",)}),
        ("--queues", {"queues": ()}),
        ("-A", {"apps": ()}),
    ],
)
def test_an_option_that_is_not_allowed_is_named(option: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=option):
        WorkerOptions(**{"apps": ("shop",), **values})


def test_queues_are_read_in_order_and_once() -> None:
    assert queues_from("high, default,high") == ("high", "default")
    assert queues_from(" , ") == ()


def test_where_a_flag_is_not_given_the_setting_holds_and_then_the_default() -> None:
    settings = Settings(default_queue="usual", log_level="WARNING", shutdown_timeout_seconds=3.0)
    given = dict.fromkeys(flags_of(WorkerOptions)) | {"apps": ("shop",), "threads": 4}
    options = WorkerOptions(**values_from(WorkerOptions, given, settings))
    assert (options.queues, options.log_level, options.shutdown_timeout_seconds) == (("usual",), "warning", 3.0)
    assert (options.threads, options.async_concurrency, options.metrics_port) == (4, 100, None)
    given |= {"queues": "a,b", "shutdown_timeout_seconds": 0.0}
    options = WorkerOptions(**values_from(WorkerOptions, given, settings))
    assert (options.queues, options.shutdown_timeout_seconds) == (("a", "b"), 0.0)


def test_every_field_of_a_worker_is_an_option_of_its_command_with_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_WORKER_CONCURRENCY", "3")
    monkeypatch.setenv("ORCHESTRATOR_WORKER_APP", "shop bakery")
    monkeypatch.setenv("ORCHESTRATOR_WORKER_PROCESSES", "9")  # the field's name is nobody's business
    given = worker_command.make_context("worker", ["--start-method", "fork-server", "-l", "DEBUG"]).params
    assert set(given) - {"check"} == {field.name for field in fields(WorkerOptions)} - {"for_flow_runs", "python_path"}
    assert (given["processes"], given["apps"], given["threads"]) == (3, ("shop", "bakery"), None)
    assert (given["start_method"], given["log_level"]) == ("forkserver", "debug")


def test_a_file_is_imported_with_the_packages_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "orders"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").touch()
    (folder / "tasks.py").touch()
    assert module_of_path(folder / "tasks.py") == (tmp_path, "shop.orders.tasks")
    assert module_of_path(folder) == module_of_path(folder / "__init__.py") == (tmp_path, "shop.orders")
    (tmp_path / "alone.py").touch()
    assert module_of_path(tmp_path / "alone.py") == (tmp_path, "alone")


def test_paths_that_are_no_modules_are_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.py", "no such file"), (tmp_path, "__init__")):
        with pytest.raises(ConfigurationError, match=why):
            module_of_path(path)


@pytest.mark.parametrize("name", ["my-tasks.py", "odd 1.2.py", "plain_enough.py", "package_/__init__.py", "package_"])
def test_any_file_with_tasks_can_be_served(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / name / "__init__.py" if name == "package_" else tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("from orchestrator import task\n@task\ndef double(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = import_app(f"./{name}")
    try:
        stem = name.partition("/")[0].removesuffix(".py")
        assert module.double.task_key == f"{stem}.double"
        assert registry.find(module.double.task_key) is module.double
        assert import_app(f"./{name}") is module
    finally:
        del sys.modules[module.__name__]


def test_a_file_whose_name_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").touch()
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigurationError, match=r"another module is called 'json'.*rename"):
        import_app(str(tmp_path / "json.py"))


def test_an_app_that_fails_tells_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app_that_fails.py").write_text("def inner():\n    raise SystemExit('no licence')\ninner()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigurationError, match=r"SystemExit: no licence[\s\S]*in inner"):
        import_app("app_that_fails")
    with pytest.raises(ConfigurationError, match="no attribute 'app'"):
        import_app("json:app")


def test_exit_codes_in_words() -> None:
    assert explained(-9) == "its worker process was killed: SIGKILL (signal 9; out of memory?)"
    assert explained(-11) == "its worker process died: SIGSEGV (signal 11)"
    assert explained(3) == "its worker process ended with exit code 3"
    assert explained(-200) == "its worker process died: signal 200"


def test_children_that_die_of_calls_are_replaced_sooner_than_those_that_cannot_begin() -> None:
    at_work, broken = Backoff(), Backoff()
    assert [at_work.after_death(0.0, at_work=True) for _ in range(6)] == [0.0, 0.25, 0.5, 1.0, 1.0, 1.0]
    assert max(broken.after_death(0.0, at_work=False) for _ in range(50)) == 10.0
    assert broken.after_death(3.0, at_work=False) == 0.0
    assert broken.after_death(0.0, at_work=False) == 0.0


def test_the_memory_of_this_process_is_known_and_that_of_none_is_zero() -> None:
    assert 5 < resident_mb(os.getpid()) < 10_000
    assert resident_mb(2**22 + 1) == 0.0


def test_a_timeout_by_kill_reads_as_timed_out_and_another_failure_as_failed() -> None:
    state = read_outcome("r", b"F", b"\0timed out: it still ran after 2 s")
    assert (state.name, type(state.data).__name__) == ("TimedOut", "TaskTimeout")
    with pytest.raises(TimeoutError, match="still ran"):
        state.result()
    assert type(read_outcome("r", b"F", b"\0for another reason").error()).__name__ == "RunFailed"


@pytest.mark.parametrize(("status", "text"), [(b"F", "timed out: for ever"), (b"K", "cancelled; it was deaf")])
@pytest.mark.parametrize("coded", [True, False])
def test_the_last_stack_of_a_run_whose_process_was_killed_is_the_cause_of_its_error(
    status: bytes, text: str, coded: bool
) -> None:
    reason = (Reason.TIMED_OUT if status == b"F" else Reason.KILLED) if coded else ""
    state = read_outcome("r", status, ScriptedEnd(text, reason, "stack:\n  in f").pack())
    assert state.message == text
    error = state.error()
    assert str(error) == text
    assert isinstance(error.__cause__, RemoteTraceback)
    assert str(error.__cause__) == "\nstack:\n  in f"


@pytest.mark.parametrize("as_json", [False, True])
def test_records_become_one_line_each_and_tracebacks_are_kept(as_json: bool) -> None:
    lines: list[str] = []

    class Lines(LineWriter):
        def write(self, line: str) -> None:
            lines.append(line)

    logger = logging.Logger("shop")
    logger.addHandler(LineHandler(Lines("3", as_json)))
    logger.info("hello %s", "you", extra={"run_id": "r1", "task": "greet"})
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("broken")
    if as_json:
        told, failed = map(json.loads, lines)
        assert (told["msg"], told["level"], told["run_id"], told["logger"]) == ("hello you", "info", "r1", "shop")
        assert "ValueError: no" in failed["traceback"]
    else:
        assert lines[0].endswith("INFO    [3] hello you  (greet r1)")
        assert lines[1].endswith("ValueError: no")
