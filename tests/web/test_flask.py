"""``docs/flask.md``: the application on the page, with a real worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import task
from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of
from tests.support.worker_process import ROOT, WorkerProcess
from tests.web.pages import write_files

flask = pytest.importorskip("flask")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's application, and a script of its other blocks."""
    made = tmp_path_factory.mktemp("flask")
    (made / "others.py").write_text("\n".join(write_files("flask.md", made)))
    return made


def environment(fleet: Fleet, folder: Path) -> dict[str, str]:
    return {**environment_of(fleet.settings), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.fixture(scope="module")
def flask_worker(fleet: Fleet, folder: Path) -> Iterator[WorkerProcess]:
    words = ("-A", "shop.py", "-c", "1", "--threads", "2")
    process = WorkerProcess(folder / "log", environment(fleet, folder), *words, cwd=folder)
    try:
        process.wait_ready(1)
        yield process
    finally:
        process.close()


def run(folder: Path, fleet: Fleet, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(fleet, folder),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ORDER = """
from shop import create_app
from tests.support.waiting import wait_until
client = create_app().test_client()
answer = client.post("/reports/ann")
assert answer.status_code == 202
address = "/reports/" + answer.json["id"]
wait_until(lambda: client.get(address).json["state"] == "Completed", 60)
print(client.get(address).json["result"])
"""


@pytest.mark.usefixtures("flask_worker")
def test_a_task_finds_the_application_on_a_worker(fleet: Fleet, folder: Path) -> None:
    assert run(folder, fleet, ORDER) == "Dear ann\n"


def test_the_other_blocks_of_the_page(fleet: Fleet, folder: Path) -> None:
    more = "from shop import make_report\nprint(make_report('bob'))\n"
    away = (
        "from orchestrator.settings import Settings, use\n"
        "from orchestrator.client.fleet import Fleet, use_fleet\n"
        "use_fleet(Fleet(Settings(redis_url='redis://127.0.0.1:1/0')))\n"
        "print(app.test_client().post('/reports/ann').status_code)\n"
    )
    assert run(folder, fleet, f"from others import *\n{more}{away}") == "Dear bob\n503\n"


def app() -> Any:
    made = flask.Flask("found once")
    made.config["MADE"] = 1
    return made


def test_functions_of_every_kind_run_inside() -> None:
    from orchestrator.contrib.flask import tasks_of, with_app_context

    found: list[Any] = []

    def make() -> Any:
        found.append(1)
        return app()

    inside = tasks_of(make)

    @inside
    def name() -> str:
        return str(flask.current_app.name)

    @inside(retries=1)
    def names() -> Iterator[str]:
        yield flask.current_app.name

    @task
    @with_app_context(app())
    def other(suffix: str) -> str:
        """Its documentation."""
        return str(flask.current_app.name) + suffix

    assert name() == "found once"
    assert list(names()) == ["found once"]
    assert other("!") == "found once!"
    assert other.description == "Its documentation."
    assert found == [1]
    with pytest.raises(RuntimeError, match="application context"):
        _ = flask.current_app.name


async def _async_name() -> str:
    return str(flask.current_app.name)


def test_a_coroutine_runs_inside() -> None:
    import asyncio

    from orchestrator.contrib.flask import tasks_of

    assert asyncio.run(tasks_of(app)(_async_name)()) == "found once"


def test_what_is_no_application_is_told() -> None:
    from orchestrator.contrib.flask import with_app_context

    with pytest.raises(TypeError, match="which is not a Flask application"):
        with_app_context(lambda: "something")(lambda: None)()  # type: ignore[arg-type, return-value]
