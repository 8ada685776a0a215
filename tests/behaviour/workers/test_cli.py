"""The command line, as a person at a terminal sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from tests.support import app_for_workers as app
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import APP, ROOT, StartWorker, clean_environment, wait_note

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What the command line says does not depend on the server."""


def run_command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def command(worker_environment: dict[str, str]) -> Command:
    """Run ``orchestrator ...`` on this test's fleet."""
    return lambda *arguments: run_command(worker_environment, *arguments)


def test_a_module_that_cannot_be_imported_ends_the_worker_with_its_traceback(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    broken = tmp_path / "broken_app.py"
    broken.write_text("def helper():\n    return 1 / 0\n\nhelper()\n")
    worker = start_worker("-c", "2", app=str(broken))
    assert worker.wait(40) == 1
    assert "ZeroDivisionError: division by zero" in worker.output
    assert "return 1 / 0" in worker.output
    assert worker.output.count("ZeroDivisionError") <= 2  # no crash loop


def test_a_module_that_does_not_exist_is_named(start_worker: StartWorker) -> None:
    worker = start_worker(app="no_such_module")
    assert worker.wait(40) == 1
    assert "'no_such_module' cannot be imported" in worker.output
    assert "Traceback" not in worker.output


def test_a_module_without_tasks_is_refused(start_worker: StartWorker) -> None:
    worker = start_worker(app="json")
    assert worker.wait(40) == 1
    assert "has no tasks" in worker.output


@pytest.mark.parametrize("command", [("worker", "-A", APP, "--burst"), ("worker", "-A", APP, "--check")])
def test_a_server_that_is_not_there_is_an_error_for_whoever_does_not_wait(command: tuple[str, ...]) -> None:
    environment = clean_environment(ORCHESTRATOR_REDIS_URL="redis://user:geheim@127.0.0.1:1/0")
    done = run_command(environment, *command)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_is_started_before_its_server_waits_for_it(
    own_server: Callable[..., ServerProcess], start_worker: StartWorker
) -> None:
    server = own_server("--requirepass", "geheim", tcp=True)
    server.kill()
    worker = start_worker("-c", "1", ORCHESTRATOR_REDIS_URL=f"redis://:geheim@127.0.0.1:{server.port}/0")
    worker.wait_output("does not answer.*; the worker waits for it")
    server.start()
    worker.wait_ready(1)
    assert worker.output.count("waits for it") == 1
    assert "geheim" not in worker.output
    idle = start_worker("-c", "1", ORCHESTRATOR_REDIS_URL="redis://127.0.0.1:1/0")
    idle.wait_output("the worker waits for it")
    idle.terminate()
    assert idle.wait() == -signal.SIGTERM


def test_the_banner_masks_the_password(own_server: Callable[..., ServerProcess], start_worker: StartWorker) -> None:
    server = own_server("--requirepass", "geheim", tcp=True)
    url = f"redis://:geheim@127.0.0.1:{server.port}/0"
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_REDIS_URL=url)
    assert f"redis://:***@127.0.0.1:{server.port}/0" in worker.output
    assert "geheim" not in worker.output


def test_a_wrong_password_is_told(own_server: Callable[..., ServerProcess], start_worker: StartWorker) -> None:
    server = own_server("--requirepass", "geheim", tcp=True)
    worker = start_worker("-c", "1", ORCHESTRATOR_REDIS_URL=f"redis://:falsch@127.0.0.1:{server.port}/0")
    assert worker.wait(40) == 1
    assert "refuses this user" in worker.output


def test_two_terminals_share_the_private_server(start_worker: StartWorker, short_home: Path) -> None:
    place = {"ORCHESTRATOR_HOME": str(short_home), "ORCHESTRATOR_NAMESPACE": "shared"}
    environment = clean_environment(**place)
    start_worker("-c", "1", ready=1, ORCHESTRATOR_REDIS_URL="", **place)
    done = run_command(environment, "task", "delay", app.add.task_key, "-A", APP, "--args", "[2, 3]", "--wait")
    assert done.stdout.splitlines()[1:] == ["5"], done.stderr


@pytest.fixture
def short_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_json_lines_say_what_happened_to_which_run(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "--log-format", "json", ready=None)
    worker.wait_output("is ready")
    future = app.say.delay("good morning")
    future.result(timeout=40)
    worker.wait_output('"state": "Completed"')
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    ended = next(line for line in lines if line.get("state") == "Completed")
    assert ended["run_id"] == future.run_id
    assert ended["task"] == app.say.task_key
    assert ended["seconds"] >= 0
    assert {"ts", "level", "logger", "msg"} <= ended.keys()
    said = next(line for line in lines if line["msg"] == "saying good morning")
    assert (said["run_id"], said["logger"]) == (future.run_id, "orchestrator.task_runs")


def test_at_level_warning_calls_leave_no_lines(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "-l", "warning")
    worker.wait_output("tasks")
    app.say.delay("good morning").result(timeout=40)
    worker.terminate()
    assert worker.wait() == 0
    assert "good morning" not in worker.output
    assert "Running" not in worker.output


def test_options_are_variables_too(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker(ready=1, ORCHESTRATOR_WORKER_CONCURRENCY="1", ORCHESTRATOR_WORKER_QUEUES="special")
    assert "1 process (" in worker.output
    assert app.add.apply_async((1, 2), queue="special").result(timeout=40) == 3


def test_check_lists_the_tasks_and_tests_the_server(command: Command) -> None:
    done = command("worker", "--check", "-A", APP)
    assert done.returncode == 0, done.stderr
    assert app.add.task_key in done.stdout
    assert command("worker", "--check", "-A", "no_such_module").returncode == 1


@pytest.mark.parametrize("options", [["-c", "0"], ["-Q", "a b"], ["-n", "with space"], ["--max-tasks-per-child", "0"]])
def test_a_bad_option_is_named(command: Command, options: list[str]) -> None:
    done = command("worker", "-A", APP, *options)
    assert done.returncode == 1
    assert options[1].split()[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_run_writes_the_result_of_a_flow(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    start_worker("-c", "1", ready=1)
    done = command("run", f"{APP}:sums", "--param", "n=4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 2, 3, 4]


def test_run_tells_why_a_flow_failed(command: Command) -> None:
    done = command("run", f"{APP}:broken")
    assert done.returncode == 1
    assert "ValueError: broken on purpose" in done.stderr
    assert command("run", f"{APP}:missing").returncode == 1


def test_a_call_is_sent_looked_at_and_cancelled(fleet: Fleet, command: Command) -> None:
    sent = command("task", "delay", app.add.task_key, "-A", APP, "--kwargs", '{"a": 1, "b": 2}')
    assert sent.returncode == 0, sent.stderr
    run_id = sent.stdout.strip()
    assert json.loads(command("runs", "show", run_id, "--json").stdout)["state"] == "Pending"
    assert command("runs", "cancel", run_id).returncode == 0
    assert "Cancelled" in command("runs", "show", run_id).stdout
    assert command("runs", "cancel", run_id).returncode == 1
    assert command("runs", "show", "01a1fd63-9e9f-77c1-af09-7228ab8dc351").returncode == 1


def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(fleet: Fleet, command: Command) -> None:
    done = command("task", "delay", app.add.task_key, "-A", APP, "--args", "[1]")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert command("task", "delay", app.add.task_key, "-A", APP, "--args", "1").returncode == 2


def test_dead_letters_are_listed_replayed_and_purged(
    fleet: Fleet, command: Command, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker("-c", "2", ready=2)
    dead = [app.poison.delay(str(tmp_path), "exit") for _ in range(2)]
    wait_until(lambda: len(fleet.broker.dead_letters.newest()) == 2, 30, "two dead letters")
    listed = json.loads(command("dead", "ls", "--json").stdout)
    assert {row["id"] for row in listed} == {future.run_id for future in dead}
    assert "exit code 3" in command("dead", "ls").stdout
    assert "exit code 3" in command("dead", "show", dead[0].run_id).stdout
    (tmp_path / "antidote").touch()
    assert "1 of 1 queued again" in command("dead", "replay", dead[0].run_id[-8:]).stdout
    assert dead[0].result(timeout=40) == "cured"
    assert command("dead", "purge", "--yes").returncode == 2  # which ones?
    assert "1 deleted" in command("dead", "purge", "--all", "--yes").stdout
    assert "no dead letters" in command("dead", "ls").stdout


def test_logs_of_a_run_can_be_read(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    start_worker("-c", "1", ready=1)
    future = app.say.delay("good morning")
    future.result(timeout=40)
    wait_until(lambda: fleet.logs.read(future.run_id))
    shown = command("runs", "show", future.run_id, "--logs").stdout
    assert "saying good morning" in shown
    assert "Completed" in shown


def test_workers_are_listed(fleet: Fleet, command: Command, start_worker: StartWorker) -> None:
    assert "no live workers" in command("workers", "ls").stdout
    worker = start_worker("-c", "1", "-n", "oven", ready=1)
    wait_until(lambda: any(fleet.live_workers().values()))
    (row,) = json.loads(command("workers", "ls", "--json").stdout)
    assert (row["worker"], row["pid"], row["queues"]) == ("oven", worker.children()[0], ["default"])
    assert "oven" in command("workers", "ls").stdout


def test_secrets_are_masked_in_the_settings() -> None:
    environment = clean_environment(ORCHESTRATOR_REDIS_URL="redis://:geheim@host/", ORCHESTRATOR_SECRET_KEY="streng")
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        done = run_command(environment, *arguments)
        assert done.returncode == 0, done.stderr
        assert "***" in done.stdout
        assert "geheim" not in done.stdout
        assert "streng" not in done.stdout


def test_a_bad_setting_is_one_clear_line() -> None:
    done = run_command(clean_environment(ORCHESTRATOR_LEASE_SECONDS="soon"), "workers", "ls")
    assert done.returncode == 1
    assert "ORCHESTRATOR_LEASE_SECONDS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_private_server_can_be_kept_and_stopped(short_home: Path) -> None:
    environment = clean_environment(ORCHESTRATOR_HOME=str(short_home))
    assert run_command(environment, "store", "status").returncode == 3
    assert run_command(environment, "store", "start").returncode == 0
    try:
        told = json.loads(run_command(environment, "store", "status", "--json").stdout)
        assert (told["running"], told["lasting"]) == (True, True)
    finally:
        assert run_command(environment, "store", "stop").returncode == 0
    assert run_command(environment, "store", "status").returncode == 3


def test_help_and_version_are_quick_and_load_nothing_heavy() -> None:
    heavy = (
        "import sys, task_workers.cli; print([name for name in ('redis', 'pydantic', 'rich') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.strip() == "[]"
    assert "orchestrator 0." in run_command(clean_environment(), "version").stdout
    for name in ("worker", "store", "server", "dev", "run", "watch", "top", "queues", "completion", "version"):
        assert run_command(clean_environment(), name, "--help").returncode == 0


def test_serve_runs_the_tasks_of_a_script(fleet: Fleet, worker_environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "served.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from orchestrator import task\n"
        "from task_workers import serve\n\n"
        "@task(queue='served')\n"
        "def slowly(folder: str) -> str:\n"
        "    with open(Path(folder) / 'notes', 'a') as notes:\n"
        "        notes.write('slowly begins in 0\\n')\n"
        "    time.sleep(0.5)\n"
        "    return __name__\n\n"
        "if __name__ == '__main__':\n"
        "    if len(sys.argv) > 1:\n"
        "        print(slowly.delay(sys.argv[1]).run_id)\n"
        "    else:\n"
        "        serve(slowly, limit=2)\n"
        "        print('served')\n"
    )
    server = subprocess.Popen(
        [sys.executable, str(script)], env=worker_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        sent = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            env=worker_environment,
            capture_output=True,
            text=True,
            check=True,
        )
        wait_note(tmp_path, "slowly begins")
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=40)
        assert (server.returncode, out) == (0, "served\n"), err
        assert "Completed slowly" in err
    finally:
        server.kill()
    from orchestrator.futures import PrefectFuture

    assert PrefectFuture(sent.stdout.strip()).result(timeout=60) == "__main__"


def test_the_worker_leaves_no_process_behind(start_worker: StartWorker) -> None:
    worker = start_worker("-c", "2", ready=2)
    children = worker.children()
    worker.terminate()
    assert worker.wait() == 0
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.parametrize("program", ["task_workers.cli", "orchestrator"])
def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(program: str) -> None:
    code = (
        "import os, runpy, signal, sys\n"
        "class Here:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Here())\n"
        f"sys.argv = ['orchestrator', 'version']; runpy.run_module({program!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
