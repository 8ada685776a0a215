"""Tasks with one key and the same code: which of them do the same, and which are not sent."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Task
from orchestrator.errors import AmbiguousTask
from orchestrator.runnables import registry


def is_sent(some: Task[..., Any]) -> bool:
    """Whether it may be sent; and a worker with the same modules then runs this one."""
    registry.check(some)
    return registry.find(some.task_key).identity.same_as(some.identity)


_PLUGIN = """
from orchestrator import task

def helper(x):
    return FACTOR * x

@task
def scaled(x):
    return helper(x)

@task
def twice(x):
    return scaled(scaled(x))
"""


def _plugin(factor: int, name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name, "FACTOR": factor}
    exec(_PLUGIN, names)
    return names


@pytest.mark.parametrize("name", ["scaled", "twice"])
def test_the_same_code_in_namespaces_with_other_values_is_not_the_same_task(name: str) -> None:
    one, other = _plugin(1, f"plugins_of_{name}"), _plugin(2, f"plugins_of_{name}")
    for names in (one, other):
        with pytest.raises(AmbiguousTask):
            registry.check(names[name])


@pytest.mark.parametrize("name", ["scaled", "twice"])
def test_the_same_code_in_namespaces_with_equal_values_is_the_same_task(name: str) -> None:
    one, other = _plugin(3, f"equal_plugins_of_{name}"), _plugin(3, f"equal_plugins_of_{name}")
    assert is_sent(one[name])
    assert is_sent(other[name])


def test_the_same_code_in_two_files_of_one_module_name_is_not_the_same_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "jobs_of_two.py"
        file.write_text(f"from orchestrator import task\nDB = {folder!r}\n\n@task\ndef load():\n    return DB\n")
        spec = importlib.util.spec_from_file_location("jobs_of_two", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "jobs_of_two", module)
        spec.loader.exec_module(module)
        found.append(module.load)
    with pytest.raises(AmbiguousTask):
        registry.check(found[0])
    assert is_sent(found[1]), "a worker that imports the module has this one"


_SCRIPT = """
import functools, sys
from orchestrator import task
from orchestrator.errors import AmbiguousTask
from orchestrator.runnables import registry

def around(word):
    def decorate(fn):
        @functools.wraps(fn)
        def inner(x):
            return word, fn(x)
        return inner
    return decorate

def plain(x):
    return x

class Scale:
    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return self.by * x

    def method(self, x):
        return self.by + x

ONE, OTHER = task(around("one")(plain)), task(around("other")(plain))
PARTIAL = task(functools.partial(lambda by, x: by * x, 2))
KEPT = task(functools.lru_cache(plain))
OBJECT = task(Scale(2), name="doubled")
METHOD = task(Scale(2).method, name="two more")

if __name__ == "__main__":
    import twice_imported as imported
    for name in ("ONE", "OTHER", "PARTIAL", "KEPT", "OBJECT", "METHOD"):
        for tasks in (globals(), vars(imported)):
            registry.check(tasks[name])
            assert registry.find(tasks[name].task_key).fn(5) == tasks[name].fn(5), name
"""


def test_a_script_that_imports_itself_may_send_its_tasks_and_those_of_the_module(tmp_path: Path) -> None:
    script = tmp_path / "twice_imported.py"
    script.write_text(_SCRIPT)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
