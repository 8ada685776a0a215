"""A project may have folders of the names of our packages: ours win, or the clash is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.neighbours import PLACE, hidden_in, python_arguments
from tests.support.worker_process import clean_environment

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from orchestrator import flow, task

@task
def double(x):
    return 2 * x

@flow
def f():
    return double.submit(21).result()

if __name__ == "__main__":
    import task_workers.serving
    print(f(), *[warning.message for warning in told])
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(PYTHONPATH=PLACE, ORCHESTRATOR_TASK_RUNNER="threads")
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(params=["brokers/__init__.py", "task_workers.py"])
def clash(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project's own module of one of our names."""
    file: Path = tmp_path / str(request.param)
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise SystemExit('the module of the project')\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return file


def named(file: Path) -> str:
    return str(file.parent if file.name == "__init__.py" else file)


@pytest.mark.parametrize("how", [("script.py",), ("-m", "script")])
def test_a_script_beside_it_runs_and_is_told(how: tuple[str, ...], clash: Path) -> None:
    done = run(clash.parents[0 if clash.name != "__init__.py" else 1], *how)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("42 ")
    assert f"Rename {named(clash)}" in done.stdout


def test_the_command_line_and_the_children_of_a_worker_get_ours(clash: Path) -> None:
    folder = clash.parents[0 if clash.name != "__init__.py" else 1]
    command = "import sys; sys.path.pop(0); from task_workers.cli import main; main(['task', 'ls', '-A', 'script'])"
    done = run(folder, "-c", command)
    assert done.stdout.strip() == "script.double", done.stderr
    assert f"Rename {named(clash)}" in done.stderr
    code = "from orchestrator.neighbours import python_arguments as of; print(*of('task_workers.cli'), sep='\\n')"
    told = run(Path(PLACE), "-c", f"import os; os.chdir({str(folder)!r}); {code}").stdout.strip().split("\n", 1)
    assert told[0] == "-c"
    assert "orchestrator" in run(folder, *told, "version").stdout


def test_what_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "brokers").mkdir()
    (tmp_path / "brokers" / "__init__.py").touch()
    done = run(tmp_path, "-c", "import brokers, orchestrator")
    assert done.returncode == 1
    assert f"ImportError: the package 'brokers' that orchestrator needs, in {PLACE}/brokers" in done.stderr
    assert f"Rename {tmp_path}/brokers" in done.stderr


def test_a_project_with_an_orchestrator_of_its_own_is_told(tmp_path: Path) -> None:
    (tmp_path / "orchestrator.py").write_text("")
    done = run(tmp_path, "-c", "from task_workers import serve")
    assert done.returncode == 1
    assert f"Rename {tmp_path}/orchestrator.py" in done.stderr


def test_folders_that_are_no_packages_and_our_own_checkout_are_no_clash(tmp_path: Path) -> None:
    (tmp_path / "brokers").mkdir()
    assert hidden_in(str(tmp_path)) == hidden_in(PLACE) == []
    assert python_arguments("task_workers.supervisor.child_main") == ["-m", "task_workers.supervisor.child_main"]
