"""``orchestrator dev``: an application with everything that it needs, in one terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.errors import ConfigurationError
from task_workers.dev import target_of
from tests.support.waiting import wait_until
from tests.support.worker_process import ROOT, clean_environment, is_alive

pytestmark = pytest.mark.behaviour

TASKS = """
from orchestrator import task

@task
def double(x: int) -> int:
    return 2 * x
"""
WEB = """
import json
from tasks import double

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    future = await double.adelay(21)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"run": future.run_id}).encode()})
"""


class Dev:
    """A running ``orchestrator dev``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / "dev.log"
        self._file = self._log.open("wb")
        self.environment = clean_environment(ORCHESTRATOR_HOME=str(folder / "home"), PYTHONPATH=str(ROOT))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "dev", *arguments, "--port", "0", "--dashboard-port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            env=self.environment,
            cwd=folder,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """What the terminal shows."""
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """Until the terminal shows it so often; the last place."""
        wait_until(lambda: len(re.findall(pattern, self.output)) >= times, 40, f"{pattern!r} in: {self.output}")
        return re.findall(pattern, self.output)[-1]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command, in another terminal."""
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=self.environment,
            cwd=self._log.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def parts(self) -> list[int]:
        """The processes that it has started itself."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def close(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.kill()
        self.process.wait(10)
        self._file.close()


Start = Callable[..., Dev]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[Dev] = []

    def begin(*arguments: str) -> Dev:
        started.append(Dev(folder, *arguments))
        return started[-1]

    yield begin
    for dev in started:
        dev.close()
        print(dev.output)


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes in /proc")


@needs_proc
def test_an_application_with_a_page_runs_and_ctrl_c_ends_all_of_it(start: Start, folder: Path) -> None:
    (folder / "shop" / "app.py").write_text(WEB)
    dev = start("shop", "-c", "1", "--no-dashboard")
    url = dev.wait_for(r"app        (http://\S+)")
    dev.wait_for("is ready")
    dev.wait_for("Application startup complete")
    with urllib.request.urlopen(url, timeout=40) as answer:
        run_id = json.load(answer)["run"]
    assert dev.call("watch", run_id).returncode == 0
    dev.wait_for(r"worker    \| .*Completed double")
    parts = dev.parts()
    assert len(parts) >= 2
    os.kill(dev.process.pid, signal.SIGINT)
    assert dev.process.wait(40) == 0
    assert "all has ended" in dev.output
    assert "is killed" not in dev.output
    wait_until(lambda: not any(is_alive(pid) for pid in parts), message="nothing is left")
    assert dev.call("store", "status").returncode == 3  # the private server has ended with its last user


@needs_proc
def test_parts_end_when_dev_itself_is_killed(start: Start, folder: Path) -> None:
    dev = start("shop", "-c", "1", "--no-dashboard", "--no-reload")
    dev.wait_for("is ready")
    parts = dev.parts()
    dev.process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in parts), 40, "nothing is left")


def test_workers_take_new_code_when_a_file_is_saved(start: Start, folder: Path) -> None:
    pytest.importorskip("watchfiles")
    dev = start("shop", "-c", "1", "--no-dashboard")
    dev.wait_for("is ready")
    assert dev.call("task", "submit", "tasks.double", "4", "-A", "shop/tasks.py").stdout.strip() == "8"
    (folder / "shop" / "tasks.py").write_text(TASKS.replace("2 * x", "3 * x"))
    dev.wait_for(r"dev       \| tasks.py changed")
    dev.wait_for("is ready", times=2)
    assert dev.call("task", "submit", "tasks.double", "4", "-A", "shop/tasks.py").stdout.strip() == "12"


def test_a_file_that_is_saved_while_the_worker_begins_is_not_missed(start: Start, folder: Path) -> None:
    pytest.importorskip("watchfiles")
    slow = "import time\nfrom pathlib import Path\nwhile not Path('go').exists(): time.sleep(0.02)\n"
    (folder / "shop" / "tasks.py").write_text(slow + TASKS)
    dev = start("shop", "-c", "1", "--no-dashboard")
    dev.wait_for("Ctrl-C ends it")

    def saved() -> bool:  # again and again: the watch may not have begun yet
        (folder / "shop" / "tasks.py").write_text(slow + TASKS.replace("2 * x", "3 * x"))
        return "| tasks.py changed" in dev.output

    wait_until(saved, 40, "the change is seen")
    (folder / "go").touch()
    dev.wait_for("is ready", times=2)  # with the code of before, or not: it is renewed
    assert dev.call("task", "submit", "tasks.double", "4", "-A", "shop/tasks.py").stdout.strip() == "12"
    assert "has ended" not in dev.output


def test_code_that_cannot_be_imported_is_tried_again_when_it_is_mended(start: Start, folder: Path) -> None:
    pytest.importorskip("watchfiles")
    (folder / "shop" / "tasks.py").write_text("import nothing_like_that\n" + TASKS)
    dev = start("shop", "-c", "1", "--no-dashboard")
    dev.wait_for("No module named 'nothing_like_that'")
    dev.wait_for("worker has ended with exit code 1")
    (folder / "shop" / "tasks.py").write_text(TASKS)
    dev.wait_for("is ready")


def test_without_reload_a_worker_that_cannot_begin_ends_it(start: Start, folder: Path) -> None:
    (folder / "shop" / "tasks.py").write_text("import nothing_like_that\n" + TASKS)
    dev = start("shop", "-c", "1", "--no-dashboard", "--no-reload")
    assert dev.process.wait(40) == 1


# -- what APP means ----------------------------------------------------------------------------------------------------


def test_a_directory_means_its_tasks_and_its_web_application() -> None:
    target = target_of(str(ROOT / "examples" / "web"))
    assert target.apps == (str(ROOT / "examples" / "web" / "tasks.py"),)
    assert target.web is not None
    assert (target.web.name, target.web.root) == ("app:app", ROOT / "examples" / "web")


def test_a_directory_without_tasks_py_means_every_file_that_has_tasks(tmp_path: Path) -> None:
    (tmp_path / "mails.py").write_text("import orchestrator\n@orchestrator.task(retries=1)\ndef send(): ...\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    target = target_of(str(tmp_path))
    assert target.apps == (str(tmp_path / "mails.py"),)
    assert target.web is None


def test_a_file_with_tasks_and_a_page_is_both(folder: Path) -> None:
    (folder / "main.py").write_text(TASKS + "async def app(scope, receive, send): ...\n")
    target = target_of(str(folder / "main.py"))
    assert target.apps == (str(folder / "main.py"),)
    assert target.web is not None
    assert target.web.name == "main:app"


def test_an_app_that_is_no_web_application_is_not_served(folder: Path) -> None:
    (folder / "shop" / "app.py").write_text("from celery import Celery\napp = Celery('shop')\n")
    assert target_of(str(folder / "shop")).web is None


def test_a_module_is_found_without_importing_it() -> None:
    target = target_of("tests.support.app_for_workers")
    assert (target.apps, target.web) == (("tests.support.app_for_workers",), None)
    assert target.folders == (ROOT / "tests" / "support",)  # where the package begins


@pytest.mark.parametrize("name", ["no_such_module", "./nowhere", "nowhere.py"])
def test_what_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        target_of(name)


def test_a_directory_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no tasks\.py"):
        target_of(str(tmp_path))
