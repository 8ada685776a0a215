"""Small parts of a worker: options, apps, exit codes, backoff, log lines."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import ConfigurationError, RemoteTraceback
from orchestrator.outcomes import read_outcome
from orchestrator.settings import Settings
from task_workers.app import import_app, module_of_path
from task_workers.backoff import Backoff
from task_workers.child_handle import explained
from task_workers.logs import LineHandler, LineWriter
from task_workers.memory import resident_mb
from task_workers.options import ChildSpec, WorkerOptions, queues_from


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
    settings = Settings(default_queue="usual")
    assert queues_from("high, default,high", settings) == ("high", "default")
    assert queues_from(None, settings) == ("usual",)
    assert queues_from(" , ", settings) == ()


def test_a_childs_orders_survive_json() -> None:
    spec = ChildSpec(("a",), "w.0ab", 0, ("q",), 1, 100, None, 25.0, "info", "text", 5, 6, 7, 8)
    told = json.dumps({name: getattr(spec, name) for name in ChildSpec.__dataclass_fields__})
    assert ChildSpec.from_json(json.loads(told)) == spec


def test_a_file_is_imported_with_the_packages_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "orders"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").touch()
    (folder / "tasks.py").touch()
    assert module_of_path(folder / "tasks.py") == (tmp_path, "shop.orders.tasks")
    assert module_of_path(folder) == (tmp_path, "shop.orders")
    (tmp_path / "alone.py").touch()
    assert module_of_path(tmp_path / "alone.py") == (tmp_path, "alone")


def test_paths_that_are_no_modules_are_refused(tmp_path: Path) -> None:
    (tmp_path / "with-dash.py").touch()
    for path, why in (
        (tmp_path / "none.py", "no such file"),
        (tmp_path, "__init__"),
        (tmp_path / "with-dash.py", "name"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            module_of_path(path)


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
def test_the_last_stack_of_a_run_whose_process_was_killed_is_the_cause_of_its_error(status: bytes, text: str) -> None:
    state = read_outcome("r", status, f"\0{text}\0stack:\n  in f".encode())
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
