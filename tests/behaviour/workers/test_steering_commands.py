"""Queues and workers steered from the command line, with real workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import inspection
from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.command_line import Command
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, is_alive, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def told(command: Command, *arguments: str) -> Any:
    done = command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def queue_named(fleet: Fleet, name: str) -> inspection.QueueView:
    return next(queue for queue in inspection.queues_of(fleet) if queue.name == name)


def paused_processes(fleet: Fleet) -> list[bool]:
    return [worker.paused for worker in inspection.workers_of(fleet)]


@pytest.mark.smoke
def test_a_paused_queue_keeps_its_calls_until_it_is_resumed(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    start_worker("-c", "1", "--threads", "2", "-Q", "default,other", ready=1)
    running = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    assert "default is paused" in command("queues", "pause", "default").stdout
    waiting = [app.add.delay(number, 1) for number in range(20)] + [app.add_async.delay(1, 2)]
    assert app.add.with_options(queue="other").delay(1, 2).result(timeout=40) == 3  # others go on
    (tmp_path / "go").touch()
    assert running.result(timeout=40) == "busy"  # what was claimed before is run
    rows = {row["name"]: row for row in told(command, "queues", "ls")}
    assert (rows["default"]["waiting"], rows["default"]["paused"], rows["default"]["workers"]) == (21, True, 1)
    assert rows["other"]["paused"] is False
    assert "paused" in command("queues", "ls").stdout
    assert not any(future.state.is_settled() for future in waiting)
    assert "default goes on" in command("queues", "resume", "default").stdout
    assert [future.result(timeout=40) for future in waiting[:20]] == list(range(1, 21))
    assert waiting[20].result(timeout=40) == 3
    assert queue_named(fleet, "default").waiting == 0


def test_a_worker_that_starts_while_a_queue_is_paused_leaves_it_alone(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
) -> None:
    command("queues", "pause", "default")
    waiting = app.add.delay(1, 2)
    start_worker("-c", "1", "-Q", "default,other", ready=1)
    assert app.add.with_options(queue="other").delay(1, 2).result(timeout=40) == 3
    assert queue_named(fleet, "default").waiting == 1
    command("queues", "resume", "default")
    assert waiting.result(timeout=40) == 3


def test_a_purge_asks_and_then_cancels_what_waits(fleet: Fleet, command: Command) -> None:
    waiting = [app.add.delay(number, 1) for number in range(3)]
    refused = command("queues", "purge", "default")
    assert refused.returncode == 2
    assert "cancel the 3 calls" in refused.stderr
    assert "3 calls cancelled" in command("queues", "purge", "default", "--yes").stdout
    assert {future.state.name for future in waiting} == {"Cancelled"}
    assert {future.state.message for future in waiting} == {"purged"}


def test_a_paused_worker_takes_no_calls_and_neither_do_its_new_children(
    fleet: Fleet, command: Command, start_worker: StartWorker
) -> None:
    worker = start_worker("-c", "1", "-n", "oven", ready=1)
    wait_until(lambda: len(inspection.workers_of(fleet)) == 1)
    done = command("workers", "pause", "oven")
    assert done.returncode == 0, done.stdout + done.stderr
    assert paused_processes(fleet) == [True]
    worker.process.send_signal(signal.SIGHUP)
    worker.wait_ready(2)
    old, new = worker.children()
    wait_until(lambda: not is_alive(old), 40, "the old child has ended")
    wait_until(lambda: [(view.pid, view.paused) for view in inspection.workers_of(fleet)] == [(new, True)])
    waiting, async_one = app.add.delay(1, 2), app.add_async.delay(1, 2)
    assert command("workers", "ping", "oven").returncode == 0
    assert queue_named(fleet, "default").waiting == 2
    assert command("workers", "resume", "ov*").returncode == 0
    assert (waiting.result(timeout=40), async_one.result(timeout=40)) == (3, 3)


def test_a_ping_is_answered_by_every_process(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
) -> None:
    assert command("workers", "ping").returncode == 3
    start_worker("-c", "2", "-n", "oven", ready=2)
    wait_until(lambda: len(inspection.workers_of(fleet)) == 2)
    answers = told(command, "workers", "ping")
    assert {answer["name"] for answer in answers} == {view.name for view in inspection.workers_of(fleet)}
    assert all(answer["seconds"] is not None for answer in answers)
    unknown = command("workers", "ping", "stove")
    assert unknown.returncode == 1
    assert "no live worker 'stove'; live are: oven" in unknown.stderr


def test_a_worker_that_is_frozen_does_not_answer(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
) -> None:
    worker = start_worker("-c", "1", ready=1)
    wait_until(lambda: len(inspection.workers_of(fleet)) == 1)
    patient = Fleet(fleet.settings.model_copy(update={"lease_seconds": 60.0}))
    worker.process.send_signal(signal.SIGSTOP)
    try:
        # a beat that was on its way has arrived
        wait_until(lambda: inspection.workers_of(patient)[0].beat_age_seconds > 0.5)
        (answer,) = inspection.ping_workers(patient, timeout_seconds=0.3)
        assert answer.seconds is None
    finally:
        worker.process.send_signal(signal.SIGCONT)
        patient.close()


def test_an_order_to_stop_drains_the_worker_as_sigterm_does(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    worker = start_worker("-c", "1", "-n", "oven", ready=1)
    wait_until(lambda: len(inspection.workers_of(fleet)) == 1)
    running = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    assert command("workers", "stop", "oven").returncode == 2  # nobody has said yes
    for _ in range(2):  # a second order is not a second signal: it kills nothing
        assert command("workers", "stop", "oven", "--yes").returncode == 0
    worker.wait_output("an order to stop")
    (tmp_path / "go").touch()
    assert running.result(timeout=40) == "busy"
    assert worker.wait() == 0


def test_a_serving_script_takes_orders_too(
    fleet: Fleet,
    command: Command,
    worker_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    script = tmp_path / "served.py"
    script.write_text(
        "from orchestrator import task\n"
        "from task_workers import serve\n\n"
        "@task(queue='served')\n"
        "def double(x: int) -> int:\n"
        "    return 2 * x\n\n"
        "if __name__ == '__main__':\n"
        "    serve(double, limit=2)\n"
    )
    server = subprocess.Popen([sys.executable, str(script)], env=worker_environment)
    try:
        wait_until(lambda: inspection.workers_of(fleet), 40)
        (view,) = inspection.workers_of(fleet)
        assert command("workers", "pause", view.name).returncode == 0
        assert paused_processes(fleet) == [True]
        sent = command("task", "delay", "served.double", "4", "-A", str(script))
        assert queue_named(fleet, "served").waiting == 1
        assert command("workers", "resume", view.name).returncode == 0
        assert command("watch", sent.stdout.strip()).returncode == 0
        assert command("workers", "stop", view.name, "--yes").returncode == 0
        assert server.wait(40) == 0
    finally:
        server.kill()
        server.wait(10)


def test_workers_describe_what_they_are_and_what_they_run(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", "-n", "oven", ready=1)
    running = app.wait_for_sign.delay(str(tmp_path), "busy")
    wait_note(tmp_path, "busy begins")
    wait_until(lambda: [view.running for view in inspection.workers_of(fleet)] == [[running.run_id]])
    (view,) = inspection.workers_of(fleet)
    assert (view.worker, view.pid, view.queues, view.threads) == ("oven", worker.children()[0], ("default",), 1)
    assert view.memory_bytes is not None
    assert view.memory_bytes > 2**20
    assert view.version is not None
    assert view.started is not None
    assert (view.held, view.paused) == (1, False)
    assert inspection.parameter_names(fleet)[app.add.task_key] == ["a", "b"]
    (tmp_path / "go").touch()
    assert running.result(timeout=40) == "busy"


def test_top_once_shows_queues_workers_and_numbers(
    fleet: Fleet,
    command: Command,
    start_worker: StartWorker,
) -> None:
    start_worker("-c", "1", "-n", "oven", ready=1)
    app.add.delay(1, 2).result(timeout=40)
    app.add.with_options(queue="nobody").delay(1, 2)
    wait_until(lambda: len(inspection.workers_of(fleet)) == 1)
    text = command("top", "--once", "--interval", "0.1").stdout
    assert "1 waiting, 0 held, 1 worker processes; 1 completed" in text
    assert "oven" in text
    assert "\x1b" not in text
    facts = told(command, "top", "--interval", "0.1")
    assert facts["ended"]["completed"] == 1
    assert {queue["name"] for queue in facts["queues"]} == {"default", "nobody"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(command: Command, shell: str) -> None:
    script = command("completion", shell)
    assert script.returncode == 0
    assert "_ORCHESTRATOR_COMPLETE" in script.stdout
    words = {"COMP_WORDS": "orchestrator qu", "COMP_CWORD": "1"}
    assert "queues" in command(_ORCHESTRATOR_COMPLETE="bash_complete", **words).stdout
