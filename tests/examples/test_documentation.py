"""The pages of the documentation, carried out: files are saved, commands typed, snippets run, outputs compared.

On a page a block of Python that begins with ``# name.py`` is a file; ``$ command`` in a console block is typed in the
folder of the page's files, and what follows is its output (``...`` stands for anything). All other blocks of Python are
one script, from top to bottom, which is run on a private fleet.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from brokers.private_server import stop_lasting
from tests.conftest import program_or_skip
from tests.support.waiting import wait_until
from tests.support.worker_process import clean_environment

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
STORIES = ("index", "tutorial", "every-night")
SNIPPETS = (
    "retries-and-timeouts",
    "limits-and-priorities",
    "caching",
    "results",
    "transactions",
    "pause-and-input",
    "async",
    "flows-on-workers",
    "large-maps",
    "stopping",
    "from-prefect",
    "troubleshooting",
    "dashboard",
    "schedules",
    "deployments",
    "work-pools",
    "docker",
    "kubernetes",
    "variables",
    "artifacts",
    "blocks",
    "client",
    "notifications",
    "automations",
    "events",
    "from-celery-beat",
    "from-prefect-deployments",
)
# pages whose snippets need nothing around them: whoever saves them and runs the file sees them end
ALONE = ("async", "stopping", "from-prefect", "troubleshooting", "deployments", "from-prefect-deployments")
# commands that go on, and what they say when they are up
STAYS = {
    "orchestrator worker -A": r"is ready",
    "orchestrator server start": r"http://\S+",
    "python nightly.py": r"is being served",
}
ON_A_FLEET = """
import runpy
from orchestrator.testing import private_fleet

with private_fleet():
    runpy.run_path("page.py", run_name="page")
print("the end")
"""
BY_ITSELF = """
import runpy

runpy.run_path("page.py", run_name="__main__")
print("the end")
"""


def python_of(page: str) -> tuple[dict[str, str], list[str]]:
    """The files on a page, and its other blocks of Python."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    files = {match[1]: block for block in blocks if (match := re.match(r"# (\S+\.py)\n", block))}
    return files, [block for block in blocks if block not in files.values()]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path; its private server ends with the test."""
    program_or_skip("embedded")
    made = Path(tempfile.mkdtemp(prefix="orc-"))
    (made / "files").mkdir()
    yield made
    stop_lasting(made)
    shutil.rmtree(made)


def environment_in(folder: Path) -> dict[str, str]:
    """Commands are found, no server is configured."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python_path = os.pathsep.join([str(folder / "files"), str(ROOT)])
    return clean_environment(
        ORCHESTRATOR_HOME=str(folder),
        ORCHESTRATOR_SERVER_PORT="0",  # a page names the usual one; tests beside each other take any
        PATH=path,
        PYTHONPATH=python_path,
        PYTHONUNBUFFERED="1",
    )


class Terminals:
    """One in which commands are typed, and others for those that go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = environment_in(folder)
        self.staying: list[subprocess.Popen[bytes]] = []

    def type(self, command: str, expected: str) -> None:
        """Run it and compare what it writes; or start it and wait until it is up."""
        up = next((said for name, said in STAYS.items() if command.startswith(name)), None)
        if up is not None:
            return self._stay(command, up)
        ran = subprocess.run(
            command, shell=True, cwd=self.folder / "files", env=self.environment, capture_output=True, timeout=60
        )
        written = ran.stdout.decode()
        assert ran.returncode == 0, f"{command}: {written}{ran.stderr.decode()}"
        pattern = ".*".join(re.escape(part.strip()) for part in " ".join(expected.split()).split("..."))
        assert re.fullmatch(pattern.replace(".*", r"\s*.*"), " ".join(written.split())), f"{command}: {written}"
        return None

    def _stay(self, command: str, up: str) -> None:
        log = self.folder / f"log-{len(self.staying)}"
        with log.open("wb") as file:
            self.staying.append(
                subprocess.Popen(
                    command.split(), cwd=self.folder / "files", env=self.environment, stdout=file, stderr=file
                )
            )
        wait_until(lambda: re.search(up, log.read_text()), 40, f"{up!r} from {command}, in {log}")
        if url := re.search(r"http://\S+", log.read_text()):
            with urlopen(url[0], timeout=20) as answer:
                assert answer.status == 200

    def close(self) -> None:
        """End what goes on, as the page says; a web server may end by the signal itself."""
        for process in self.staying:
            process.terminate()
        try:
            assert {process.wait(40) for process in self.staying} <= {0, -signal.SIGTERM}
        finally:
            for process in self.staying:
                process.kill()


@pytest.mark.parametrize("page", STORIES)
def test_whoever_follows_the_page_sees_what_it_says(page: str, folder: Path) -> None:
    files, others = python_of(page)
    assert files
    assert not others
    for name, text in files.items():
        (folder / "files" / name).write_text(text)
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    typed = [part.partition("\n") for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    assert typed
    terminals = Terminals(folder)
    try:
        for command, _, expected in typed:
            terminals.type(command, expected)
    finally:
        terminals.close()


@pytest.mark.parametrize("page", SNIPPETS)
def test_the_snippets_of_a_page_run_from_top_to_bottom(page: str, folder: Path) -> None:
    files, blocks = python_of(page)
    assert blocks
    how = BY_ITSELF if page in ALONE else ON_A_FLEET
    for name, text in {**files, "page.py": "\n".join(blocks), "run_page.py": how}.items():
        (folder / "files" / name).write_text(text)
    ran = subprocess.run(
        [sys.executable, "run_page.py"],
        cwd=folder / "files",
        env=environment_in(folder),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("the end\n")


def test_every_page_with_python_is_run_by_a_test() -> None:
    elsewhere = {"from-celery", "testing", "celery"}  # with tests of their own
    pages = {file.stem for file in DOCS.glob("*.md") if "```python" in file.read_text()}
    assert pages - elsewhere - set(STORIES) - set(SNIPPETS) - _run_by_others(pages) == set()


def _run_by_others(pages: set[str]) -> set[str]:
    """Those that another test reads."""
    tests = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    return {page for page in pages if any(f"{page}.md" in text for text in tests)}
