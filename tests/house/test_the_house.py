"""The house in numbers: each is printed, and held where it is. Whoever needs more says why, here."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from types import FrameType
from typing import Final

import pytest

from orchestrator import task
from orchestrator.testing.throwaway import throwaway_fleet
from tests.support import house

ROOT_FILES: Final = {
    "__init__": "the names that most programs need",
    "__main__": "python -m orchestrator",
    "cache_policies": "users choose one",
    "context": "tags, and what runs here",
    "docker": "DockerImage, where Prefect has it",
    "errors": "users catch them",
    "exceptions": "the same under the names of Prefect",
    "fleet": "programs that choose their connection themselves",
    "filesystems": "LocalFileSystem, RemoteFileSystem",
    "flow_runs": "wait_for_flow_run, where Prefect has it",
    "flows": "@flow",
    "futures": "handles, wait, as_completed",
    "neighbours": "no import of a user: it is loaded before any room, so that the three packages find each other",
    "progress": "a task tells how far it is",
    "results": "ResultStore, get_result_store",
    "runtime": "what runs here, as attributes",
    "settings": "what can be set",
    "states": "what a run came to",
    "task_worker": "serve, where Prefect has it",
    "tasks": "@task",
    "transactions": "with transaction():",
    "variables": "values that flows read and people change",
}
LONGEST_FILE: Final = 330
LONG_FILES: Final = {  # lines that they may have; a limit here is only ever lowered
    "orchestrator/errors.py": (365, "the tree of all errors, and a sentence for each"),
    "orchestrator/settings.py": (365, "every setting has a field with its description; listed once"),
    "orchestrator/tasks.py": (450, "half of it is what users read: overloads and docstrings of @task"),
}
LARGEST_CIRCLE: Final = 5  # packing, its extensions, and reading: they hand values to each other
LONGEST_FUNCTION: Final = 60
FROM_ABOVE: Final = 4  # of Celery messages, by task_workers.celery, which is made of Celery itself
CALLS_OF_A_DELAY: Final = 25  # functions of ours, in Python 3.11
INSIDES: Final = ("brokers.redis", "brokers.celery", "brokers.embedded")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What the test prints is seen, also when it passes."""
    yield
    out = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{out.rstrip()}", end=" ")


pytestmark = pytest.mark.usefixtures("show")


def test_a_file_at_the_root_is_something_that_users_import() -> None:
    found = {path.stem for path in (house.ROOT / "orchestrator").glob("*.py")}
    print(f"files at the root of orchestrator: {len(found)}")
    assert found == set(ROOT_FILES)
    assert len(found) <= 24


def test_no_large_ring_of_modules_import_each_other() -> None:
    found = house.circles(house.all_imports())
    print("circles of modules:", "; ".join(", ".join(circle) for circle in found) or "none")
    assert len(found[0]) <= LARGEST_CIRCLE, found[0]


def test_functions_are_seen_without_scrolling() -> None:
    longest = house.functions()[0]
    print(f"longest function: {longest.what}, {longest.lines} lines")
    assert longest.lines <= LONGEST_FUNCTION


def test_files_are_read_in_one_go() -> None:
    long = {file.what: file.lines for file in house.files() if file.lines > LONGEST_FILE}
    print(f"files above {LONGEST_FILE} lines: {long or 'none'}")
    assert set(long) == set(LONG_FILES), "one that is short again needs no reason any more"
    assert not {name: lines for name, lines in long.items() if lines > LONG_FILES[name][0]}, "cut it, or say why"


def test_upper_floors_know_the_broker_by_its_doors() -> None:
    found = house.imports_from_above(house.all_imports(), INSIDES)
    print(f"imports of broker insides from above: {len(found)}")
    assert len(found) <= FROM_ABOVE, found


def test_the_import_rules_name_every_room() -> None:
    rules = tomllib.loads((house.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert not rules["exclude_type_checking_imports"]
    (rooms,) = [contract for contract in rules["contracts"] if contract["id"] == "rooms"]
    assert rooms["exhaustive"], "a room that is not listed is an error of the linter"
    listed = {name.strip(" ()") for layer in rooms["layers"] for name in layer.split(":")}
    for room in set(rooms["exhaustive_ignores"]) - {"neighbours", "__main__"}:  # these are listed by their files
        inside = {path.stem for path in (house.ROOT / "orchestrator" / room).iterdir() if not path.name.startswith("_")}
        missing = {f"{room}.{name}" for name in inside} - listed
        assert not missing or f"{room}.tracing" in missing, missing


@task
def same(x: int) -> int:
    return x


@pytest.mark.needs_server
def test_a_delay_is_few_function_calls() -> None:
    with throwaway_fleet():
        same.delay(0)
        same.delay(0)  # caches are filled, a connection is open
        found = min((_own_calls() for _ in range(5)), key=len)
    found = [name for name in found if name != "is_wanted"]  # asked only where something has imported OpenTelemetry
    print(f"functions of ours that one delay calls: {len(found)}")
    assert len(found) <= CALLS_OF_A_DELAY, ", ".join(found)


def _own_calls() -> list[str]:
    found: list[str] = []
    folders = tuple(str(house.ROOT / floor) for floor in house.FLOORS)

    def look(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folders):
            found.append(frame.f_code.co_qualname)

    sys.setprofile(look)
    try:
        same.delay(1)
    finally:
        sys.setprofile(None)
    return found
