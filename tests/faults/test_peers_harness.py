"""What the questions to the peers stand on: the proxy that cuts, the killing of a worker, and one question to us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import redis

from benchmarks.peers.questions import NEIGHBOURS, poison
from benchmarks.peers.reply_cutter import ReplyCutter
from benchmarks.peers.rig import OURS, Rig, System, kill_session
from tests.support.servers import PROGRAMS, ServerProcess, find_program
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive


@pytest.fixture
def tcp_server() -> Iterator[ServerProcess]:
    program = next(found for found in map(find_program, PROGRAMS) if found is not None)
    server = ServerProcess(program, tcp=True)
    try:
        yield server.start()
    finally:
        server.close()


def plain(url: str) -> redis.Redis:
    """A client that does not repeat commands behind our back."""
    return redis.Redis.from_url(url, retry=None, socket_timeout=20)


def test_the_reply_that_names_the_call_is_cut_after_the_command_was_executed_and_only_once(
    tcp_server: ServerProcess,
) -> None:
    with ReplyCutter(tcp_server.port) as cutter, plain(cutter.url) as worker, plain(cutter.url) as other:
        assert other.ping()
        with cutter.held():
            tcp_server.client().rpush("queue", "call-1", "call-2")
            cutter.cut_at("call-1")
        with pytest.raises(redis.ConnectionError):
            worker.lmove("queue", "taken", "LEFT", "RIGHT")
        assert cutter.hit.is_set()
        assert cutter.command == "LMOVE"
        assert tcp_server.client().lrange("taken", 0, -1) == [b"call-1"]
        assert other.ping(), "the other connection goes on"
        assert worker.lrange("taken", 0, -1) == [b"call-1"], "a new connection hears of it"


def test_a_reply_is_held_until_it_is_known_what_to_cut(tcp_server: ServerProcess) -> None:
    server = tcp_server.client()
    with ReplyCutter(tcp_server.port) as cutter, plain(cutter.url) as worker, ThreadPoolExecutor() as pool:
        assert worker.ping()
        fetch = pool.submit(worker.blpop, "queue", 15)
        wait_until(lambda: server.info("clients")["blocked_clients"] == 1, 15)
        with cutter.held():
            server.rpush("queue", "call-1")
            assert not server.exists("queue"), "the server has answered"
            assert not wait([fetch], timeout=0.2).done
            cutter.cut_at("call-1")
        with pytest.raises(redis.ConnectionError):
            fetch.result(20)
        assert cutter.command == "BLPOP"


def test_a_worker_is_killed_with_the_children_that_are_in_groups_of_their_own(tmp_path: Path) -> None:
    note = tmp_path / "child"
    script = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setpgrp()\n"
        "    open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
        "    os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "time.sleep(600)\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", script, str(note)], start_new_session=True)
    try:
        wait_until(note.exists, 30)
        child = int(note.read_text())
        assert os.getpgid(child) == child
    finally:
        kill_session(leader)
    wait_until(lambda: not is_alive(child), 10)
    assert not is_alive(leader.pid)


@pytest.mark.slow
def test_a_poisonous_call_is_put_to_us_as_to_the_peers() -> None:
    with Rig(System(OURS, "documented")) as rig:
        answer = poison(rig, patience=60, settling=0)
    assert (answer.runs, answer.state) == (3, "dead letter")
    assert answer.others == (NEIGHBOURS, NEIGHBOURS)
    assert answer.restarts == 0
    assert not rig.folder.exists()
