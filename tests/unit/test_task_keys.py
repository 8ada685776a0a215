"""The key of a task tells it from every other, or it is not sent."""

from __future__ import annotations

import functools
import importlib
import pickle
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Task, task
from orchestrator.client.no_worker import knows
from orchestrator.errors import AmbiguousTask, UnknownTask
from orchestrator.runnables import registry
from orchestrator.runnables.identity import MAIN, key_of


def is_sent(some: Task[..., Any]) -> bool:
    """Whether it may be sent; and a worker with the same modules then runs this one."""
    try:
        registry.check(some)
    except AmbiguousTask:
        return False
    assert registry.find(some.task_key).identity.same_as(some.identity)
    return True


def adder(n: Any) -> Task[..., Any]:
    @task
    def add(x: int) -> Any:
        return x + n

    return add


def plain(x: int) -> int:
    return x


def test_closures_of_differing_values_have_keys_of_their_own_and_equal_ones_share_one() -> None:
    values = [1, 10, 1.0, True, "1", b"1", None, (1, 2), [1, 2], {"a": 1}, {"a": 2}, {1, 2}, Path("a"), plain, len, sys]
    made = [adder(value) for value in values]
    assert len({some.task_key for some in made}) == len(values)
    assert [adder(value).task_key for value in values] == [some.task_key for some in made]
    assert all(is_sent(some) for some in made)
    assert made[0].task_key.startswith(f"{__name__}.adder.<locals>.add#")


def test_lambdas_are_told_apart_by_what_they_do() -> None:
    double, square = task(lambda x: 2 * x), task(lambda x: x * x)
    assert double.task_key != square.task_key
    assert (registry.find(double.task_key).fn(5), registry.find(square.task_key).fn(5)) == (10, 25)
    added = [task(lambda x, n=n: x + n) for n in (1, 2)]
    assert added[0].task_key != added[1].task_key


def test_the_values_of_a_closure_give_the_same_key_in_every_process() -> None:
    code = (
        "import sys, pathlib; from orchestrator import task\n"
        "def make(a, b):\n    @task\n    def f(): return a, b\n    return f\n"
        "print(make({'x', 'y', 'z'}, pathlib.Path('p')).task_key, task(lambda x: x in {'a', 'b', 'c'}).task_key)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_closures_over_what_cannot_be_told_are_refused_while_several_live() -> None:
    first, second = adder(threading.Lock()), adder(threading.Lock())
    assert first.task_key == second.task_key
    assert not is_sent(first)
    assert not is_sent(second)
    with pytest.raises(AmbiguousTask, match=r"2 tasks .*none is run.*name="):
        registry.find(first.task_key)
    del first
    assert is_sent(second)


def test_one_function_with_two_sets_of_options() -> None:
    patient, hasty = task(plain, retries=3), task(plain)
    assert not is_sent(patient)
    assert not is_sent(hasty)
    named = [task(plain, name=name, retries=n) for n, name in enumerate(("patient", "in a hurry, really"))]
    assert [some.task_key.rpartition(".")[2] for some in named] == ["plain[patient]", "plain[in_a_hurry_really]"]
    assert all(is_sent(some) for some in named)
    again = [task(plain, name="again") for _ in range(3)]
    assert all(is_sent(some) for some in again), "they do the same"


def test_a_redefinition_wins_the_name_and_the_old_object_is_not_sent(tmp_path: Path, monkeypatch: Any) -> None:
    source = "from orchestrator import task\n@task\ndef f(): return 1\nold = f\n@task\ndef f(): return 2\n"
    (tmp_path / "redefined_twice.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("redefined_twice")
    assert not is_sent(module.old)
    assert is_sent(module.f)
    assert registry.find("redefined_twice.f").fn() == 2
    assert not is_sent(module.old.with_options(retries=1))
    assert is_sent(module.f.with_options(retries=1))


def test_tasks_made_in_a_loop_are_told_apart_by_their_defaults(tmp_path: Path, monkeypatch: Any) -> None:
    source = (
        "from orchestrator import task\nmade = []\nfor n in (1, 2, 3):\n"
        "    @task\n    def f(x, n=n): return x + n\n    made.append(f)\n"
        "    @task\n    def g(x, *, n=n): return x * n\n    made.append(g)\n"
    )
    (tmp_path / "made_in_a_loop.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("made_in_a_loop")
    keys = [some.task_key for some in module.made]
    assert len(set(keys)) == 6
    assert all(is_sent(some) for some in module.made)
    assert [registry.find(key).fn(5) for key in keys] == [6, 5, 7, 10, 8, 15]
    assert pickle.loads(pickle.dumps(module.made[0])) is module.made[0]
    with pytest.raises(UnknownTask):
        registry.find("made_in_a_loop.f")
    importlib.reload(module)
    assert [some.task_key for some in module.made] == keys
    assert all(is_sent(some) for some in module.made)


def test_tasks_of_a_loop_whose_defaults_cannot_be_told_are_not_taken_for_the_last(
    tmp_path: Path, monkeypatch: Any
) -> None:
    source = (
        "from orchestrator import task\nmade = []\nfor n in (object(), object()):\n"
        "    @task\n    def f(x, n=n): return n\n    made.append(f)\n"
        "    copy = f.with_options(retries=1)\n"
    )
    (tmp_path / "made_of_objects.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("made_of_objects")
    assert [is_sent(some) for some in module.made] == [False, True]
    with pytest.raises(AmbiguousTask):
        pickle.dumps(module.made[0])


def test_a_module_that_is_loaded_again_keeps_its_tasks(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "loaded_again.py"
    file.write_text("from orchestrator import task\n@task\ndef f(x): return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("loaded_again")
    old = module.f
    file.write_text("\n\nfrom orchestrator import task\n@task\ndef f(x): return 2 * x\n")
    importlib.reload(module)
    assert is_sent(old), "it does the same, some lines below"
    file.write_text("from orchestrator import task\n@task\ndef f(x): return 3 * x  # longer, too\n")
    importlib.reload(module)
    assert is_sent(module.f)
    assert not is_sent(old)


def test_a_name_that_only_ends_alike_is_another_task() -> None:
    for key in (f"other.{__name__}.plain", "plain", "test_task_keys.plain"):
        with pytest.raises(UnknownTask):
            registry.find(key)


SCRIPT = "from orchestrator import task\n@task\ndef load(): pass\nKEY = load.task_key\n"


@pytest.mark.parametrize("run_name", MAIN)
def test_a_script_has_the_key_that_a_worker_gives_it(run_name: str, tmp_path: Path) -> None:
    package = tmp_path / "shop" / "etl"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    for file, key in ((package / "steps.py", "shop.etl.steps.load"), (tmp_path / "my-own.py", "my-own.load")):
        file.write_text(SCRIPT)
        assert runpy.run_path(str(file), run_name=run_name)["KEY"] == key


def test_a_worker_finds_a_script_in_a_folder_that_is_no_package_by_its_file_and_no_other(
    tmp_path: Path, monkeypatch: Any
) -> None:
    for folder in ("jobs", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nightly_job.py").write_text(SCRIPT)
    sent = runpy.run_path(str(tmp_path / "jobs" / "nightly_job.py"), run_name="__main__")["load"]
    assert sent.task_key == "nightly_job.load"
    monkeypatch.delitem(registry._tasks, sent.task_key)
    monkeypatch.syspath_prepend(tmp_path)
    other = importlib.import_module("other.nightly_job")
    with pytest.raises(UnknownTask):
        registry.find(sent.task_key, sent.script)
    same = importlib.import_module("jobs.nightly_job")
    assert registry.find(sent.task_key, sent.script) is same.load
    assert same.load is not other.load
    assert f"nightly_job.load@{sent.script}" in registry.scripts()
    facts = {"queues": "default", "tasks": same.load.task_key, "scripts": ",".join(registry.scripts())}
    assert knows(facts, "default", sent.task_key, sent.script)
    assert not knows(facts, "default", sent.task_key, "another")
    with pytest.raises(UnknownTask):
        registry.find(sent.task_key)


@pytest.mark.parametrize(
    ("fn", "key"),
    [
        (functools.partial(plain, 1), f"{__name__}.plain#"),
        (plain, f"{__name__}.plain"),
        (test_lambdas_are_told_apart_by_what_they_do, f"{__name__}.test_lambdas_are_told_apart_by_what_they_do"),
    ],
)
def test_keys_as_they_read(fn: Callable[..., Any], key: str) -> None:
    assert key_of(fn, None).startswith(key)


def test_closures_are_forgotten_when_there_are_too_many() -> None:
    kept = adder("kept")
    for n in range(registry.MAX_CLOSURES + 1):
        adder(("many", n))
    assert len(registry.keys()) < registry.MAX_CLOSURES + 1000
    assert registry.find(kept.task_key) is kept, "as long as somebody holds it"
    assert is_sent(kept)
