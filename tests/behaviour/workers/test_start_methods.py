"""How children are started: forked from a template process that has imported the app, or each as a new Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCrashed
from tests.support.apps import starting as app
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess, is_alive

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.parametrize("server_program", ["embedded"], indirect=True),
    pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only"),
]
Start = Callable[..., WorkerProcess]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """How processes start does not depend on the server."""


@pytest.fixture
def start(start_worker: StartWorker, tmp_path: Path) -> Start:
    """Start a worker of these tasks."""

    def start(*options: str, ready: int | None = 1, **environment: str) -> WorkerProcess:
        environment = {"STARTING_FOLDER": str(tmp_path), **environment}
        return start_worker(*options, ready=ready, app=app.__name__, **environment)

    return start


def importers(folder: Path) -> list[int]:
    """The processes that have imported the app, in order."""
    return [int(line) for line in (folder / "imports").read_text().split()]


def test_children_are_forked_from_one_import_and_belong_to_the_supervisor(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start("-c", "2", ready=2)
    (template,) = importers(tmp_path)
    assert template not in (*worker.children(), worker.process.pid)
    told = [app.about_process.submit().result(timeout=40) for _ in range(20)]
    assert {parent for _, parent, _, _ in told} == {worker.process.pid}
    assert {pid for pid, _, _, _ in told} <= set(worker.children())
    assert all(leads for _, _, _, leads in told)
    assert len({number for _, _, number, _ in told}) == len(told), "two children have drawn the same random numbers"


def test_a_child_that_dies_is_seen_and_replaced_without_another_import(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start("-c", "1")
    with pytest.raises(RunCrashed, match="ended with exit code 3"):
        app.exit_process.with_options(retries=0).submit(3).result(timeout=40)
    worker.wait_ready(2)
    assert len(importers(tmp_path)) == 1
    assert app.about_process.submit().result(timeout=40)[0] == worker.children()[-1]


def test_new_children_are_forked_from_the_new_code_after_a_reload(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start("-c", "1")
    for children, code in ((2, "random.random = lambda: 2.0"), (3, "random.random = lambda: 3.0")):
        (tmp_path / "code").write_text(code)
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_ready(children)
        wait_until(lambda: not is_alive(worker.children()[-2]), 20, "the old child has ended")
        assert app.about_process.submit().result(timeout=40)[2] == float(children)
    first, second, third = importers(tmp_path)
    assert not is_alive(first)
    assert not is_alive(second)
    assert is_alive(third)


def test_after_a_reload_to_code_that_fails_the_old_child_stays(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start("-c", "1")
    (tmp_path / "code").write_text("raise ValueError('not finished yet')")
    worker.process.send_signal(signal.SIGHUP)
    worker.wait_output("a new child could not begin: .*not finished yet")
    assert app.about_process.submit().result(timeout=40)[0] == worker.children()[0]
    (tmp_path / "code").unlink()
    worker.process.send_signal(signal.SIGHUP)
    worker.wait_ready(2)


@pytest.mark.parametrize(
    ("what", "told"), [("thread", r"starts threads \(of-the-app\)"), ("socket", "opens socket:.* and keeps it open")]
)
def test_an_app_whose_import_cannot_be_copied_is_imported_by_each_child(
    what: str, told: str, fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start("-c", "2", ready=2, STARTING=what)
    (line,) = [line for line in worker.output.splitlines() if "spawn" in line]
    worker.wait_output(told)
    assert told.split()[0] in line
    assert set(worker.children()) < set(importers(tmp_path))
    assert app.about_process.submit().result(timeout=40)[0] in worker.children()
    wait_until(lambda: not is_alive(importers(tmp_path)[0]), 5, "the template has ended")


def test_a_log_file_that_is_open_does_not_keep_children_from_being_forked(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start("-c", "1", STARTING="log", STARTING_LOG=str(tmp_path / "log"))
    assert len(importers(tmp_path)) == 1


def test_what_an_import_prints_is_written_once(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("print('imported'); LOG = open(FOLDER + '/log', 'a'); print('imported', file=LOG)")
    worker = start("-c", "2", ready=2, PYTHONUNBUFFERED="")
    app.about_process.submit().result(timeout=40)
    worker.terminate()
    assert worker.wait() == 0
    assert worker.output.count("imported") == 1
    assert (tmp_path / "log").read_text().count("imported") == 1


def test_each_child_imports_the_app_when_that_is_asked_for(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start("-c", "2", "--start-method", "spawn", ready=2)
    assert sorted(importers(tmp_path)) == sorted(worker.children())
    assert app.about_process.submit().result(timeout=40)[1] == worker.process.pid


def test_children_go_on_when_their_template_is_killed_and_another_one_is_started(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start("-c", "1")
    (template,) = importers(tmp_path)
    os.kill(template, signal.SIGKILL)
    assert app.about_process.submit().result(timeout=40)[0] == worker.children()[0]
    os.kill(worker.children()[0], signal.SIGKILL)
    worker.wait_ready(2)
    assert app.about_process.submit().result(timeout=40)[:2] == (worker.children()[1], worker.process.pid)
    assert len(importers(tmp_path)) == 2


def test_template_and_children_die_with_a_killed_supervisor(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start("-c", "2", ready=2)
    os.kill(worker.children()[0], signal.SIGSTOP)  # it cannot end by itself
    worker.process.kill()
    processes = [*worker.children(), *importers(tmp_path)]
    wait_until(lambda: not any(is_alive(pid) for pid in processes), 5, "all processes are gone")


def test_nothing_is_left_of_a_worker_that_has_ended(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start("-c", "2", ready=2)
    worker.terminate()
    assert worker.wait() == 0
    assert not any(is_alive(pid) for pid in [*worker.children(), *importers(tmp_path)])


def test_an_app_that_ends_the_process_ends_the_worker_with_its_status(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("os._exit(3)")
    worker = start("-c", "1", ready=None)
    assert worker.wait() == 1
    assert "no child could begin: worker process ended with exit code 3" in worker.output


def test_a_worker_that_is_stopped_while_the_app_is_imported_ends(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("import time; time.sleep(60)")
    worker = start("-c", "1", ready=None)
    wait_until(lambda: (tmp_path / "imports").exists(), 40, "the app is being imported")
    worker.terminate()
    assert worker.wait() in (0, -signal.SIGTERM)
    wait_until(lambda: not is_alive(importers(tmp_path)[0]), 5, "the template has ended")
