"""``docs/from-celery.md``: every line of Python on the page is run, the cells of its table included."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.settings import describe
from task_workers.cli.group import COMMANDS
from tests.conftest import program_or_skip
from tests.support.celery_engine import CeleryWorker
from tests.support.foreign_shop import redis_broker
from tests.support.servers import ServerProcess
from tests.support.worker_process import clean_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-celery.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: block for block in BLOCKS if (match := re.match(r"# (\w+\.py)\n", block))}
PARTS = [block for block in BLOCKS if block not in FILES.values()]
CELLS = [
    cell
    for row in re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE)
    for cell in re.findall(r"`([^`]+)`", row.split("|", 1)[1])
]
MENTIONS = {
    "adelay",
    "__cause__",
    "idempotency_key",
    "orchestrator.runtime.task_run",
    "orchestrator.testing",
    "async def",
}


def is_python(cell: str) -> bool:
    """What can be run: a call, or a decorator."""
    return ("(" in cell or cell.startswith(("@", "future."))) and not cell.startswith("orchestrator ")


def script() -> str:
    """The page from top to bottom, then each cell of the table."""
    lines = [f"{cell}\ndef _():\n    pass\n" if cell.startswith("@") else cell for cell in CELLS if is_python(cell)]
    return "\n".join([*PARTS, *lines, "print('the end')\n"])


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess(program_or_skip("embedded")).start()
    yield process
    process.close()


@pytest.fixture(scope="module", params=["redis", "amqp"])
def environment(request: pytest.FixtureRequest, server: ServerProcess, folder: Path) -> dict[str, str]:
    number = 1 if request.param == "redis" else 3
    broker = redis_broker(server, 1) if number == 1 else request.getfixturevalue("rabbitmq").url
    return clean_environment(
        CELERY_BROKER_URL=broker,
        CELERY_RESULT_BACKEND=redis_broker(server, number + 1),
        ORCHESTRATOR_BROKER_URL=f"celery+{broker}",
        ORCHESTRATOR_REDIS_URL=f"{server.url}?db={number + 2}" if number == 1 else server.url,
        PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)]),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("from-celery")
    for name, text in FILES.items():
        (made / name).write_text(text)
    (made / "page.py").write_text(script())
    return made


@pytest.fixture(scope="module")
def worker(environment: dict[str, str], folder: Path) -> Iterator[CeleryWorker]:
    """The page's own command."""
    assert "celery -A shop worker -c 4\n" in PAGE
    started = CeleryWorker(["-c", "4", "-l", "info"], environment, str(folder), app="shop")
    yield started
    started.stop()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", ["page.py", "client.py"])
def test_the_code_of_the_page_runs(environment: dict[str, str], folder: Path, name: str) -> None:
    ran = subprocess.run(
        [sys.executable, name], env=environment, cwd=folder, capture_output=True, text=True, timeout=110
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert name != "page.py" or ran.stdout.endswith("the end\n")


def test_nothing_on_the_page_is_left_out() -> None:
    assert set(FILES) == {"shop.py", "client.py"}
    assert len(BLOCKS) == PAGE.count("```python")
    ast.parse(script())
    ran = [cell for cell in CELLS if is_python(cell)]
    assert len(ran) > 30
    for cell in CELLS:
        if cell.startswith("orchestrator "):
            assert cell.split()[1] in COMMANDS, cell
        elif cell.startswith("ORCHESTRATOR_"):
            assert cell in {setting.variable for setting in describe()}, cell
        else:
            assert is_python(cell) or cell in MENTIONS or cell.startswith("celery "), cell
