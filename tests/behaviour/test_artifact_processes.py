"""Artifacts of scripts: the last value of progress is there after their end, and half a table never."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from typing import Any

import pytest

from orchestrator.artifacts.reading import read_one
from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # no worker and no engine takes part


def script(fleet: Fleet, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], env=environment_of(fleet.settings), capture_output=True, text=True, timeout=60
    )


def test_at_the_end_of_a_process_the_last_value_is_written(fleet: Fleet) -> None:
    done = script(
        fleet,
        "from orchestrator.artifacts import *\n"
        "bar = create_progress_artifact(0.0)\n"
        "print(bar)\n"
        "for share in range(101): update_progress_artifact(bar, share)\n",
    )
    assert done.returncode == 0, done.stderr
    bar = read_one(fleet.broker, done.stdout.strip())
    assert bar is not None
    assert bar.data == 100.0


def test_a_process_that_is_killed_before_a_table_is_whole_leaves_nothing_to_see(fleet: Fleet) -> None:
    key = f"half-{secrets.token_hex(4)}"
    done = script(
        fleet,
        "import os, signal\n"
        "from orchestrator.artifacts import create_table_artifact\n"
        "from orchestrator.client.fleet import current_fleet\n"
        "def die(new, versions):\n"
        "    print(new.id, new.chunks, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "current_fleet().broker.artifacts.create = die\n"
        f"create_table_artifact([[number] for number in range(2500)], key={key!r})\n",
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    artifact_id, chunks = done.stdout.split()
    assert chunks == "3"
    written: list[Any] = fleet.broker.artifacts.chunks(artifact_id, range(3))
    assert all(written), "they had been written; tests of the contract show that they expire"
    assert fleet.broker.artifacts.read([artifact_id]) == [None]
    assert fleet.broker.artifacts.newest(key=key) == (0, [])
    assert artifact_id not in fleet.broker.artifacts.newest()[1]
