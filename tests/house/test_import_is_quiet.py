"""Importing opens no socket, starts no thread or process, and reads none of our variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Runs in an interpreter of its own: an audit hook cannot be taken off again, and what is imported stays imported.
WATCHER = """
import importlib, json, os, sys, threading

seen = []
LOUD = {"socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "_thread.start_new_thread",
        "_thread.start_joinable_thread", "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"}

def hook(event, arguments):
    if event in LOUD:
        seen.append(event)

def reading(environ, key, read=os._Environ.__getitem__):
    if key.startswith("ORCHESTRATOR_"):
        seen.append("read " + key)
    return read(environ, key)

def starting(thread, start=threading.Thread.start):  # not every Python audits threads
    seen.append("thread " + thread.name)
    start(thread)

sys.addaudithook(hook)
threading.Thread.start = starting
os._Environ.__getitem__ = reading
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({"seen": seen, "loaded": sorted(sys.modules)}))
"""


def imported(*names: str, path: Path = ROOT) -> dict[str, list[str]]:
    environment = {**os.environ, "PYTHONPATH": str(path), "ORCHESTRATOR_REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-c", WATCHER, *names]
    ran = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("package", ["brokers", "orchestrator", "task_workers"])
def test_importing_a_package_does_nothing_that_anyone_could_notice(package: str) -> None:
    assert imported(package)["seen"] == []


def test_importing_every_module_does_nothing_either() -> None:
    files = [path for package in ("brokers", "orchestrator", "task_workers") for path in (ROOT / package).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    knocking = {name for name in modules if name.endswith(".__main__")}  # these run the command line
    knocking.add("orchestrator.contrib.django.app")  # a worker's: it sets the user's project up
    assert imported(*sorted(modules - knocking))["seen"] == []


def test_importing_orchestrator_loads_neither_drivers_nor_settings() -> None:
    heavy = {"redis", "celery", "kombu", "click", "starlette", "numpy", "orchestrator.settings"}
    assert heavy.isdisjoint(imported("orchestrator")["loaded"])


def test_the_watcher_would_notice(tmp_path: Path) -> None:
    lines = [
        "import os, socket, threading",
        "socket.socket().close()",
        "os.environ.get('ORCHESTRATOR_REDIS_URL')",
        "threading.Thread(target=int, name='noise').start()",
    ]
    (tmp_path / "loud.py").write_text("\n".join(lines))
    seen = imported("loud", path=tmp_path)["seen"]
    assert {"socket.__new__", "read ORCHESTRATOR_REDIS_URL", "thread noise"} <= set(seen)
