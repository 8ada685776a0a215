"""Two versions side by side: of the user's module, and of our own packages. Real processes, each with its own sources.

What can be understood is run; what cannot is a typed error or a dead letter that says so, never a crash.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import program_or_skip
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, ROOT, WorkerProcess, clean_environment

pytestmark = pytest.mark.behaviour

# -- the user's module, before and after -----------------------------------------------------------------------------

OLD_SHOP = """
import dataclasses, enum
from pydantic import BaseModel
from orchestrator import task

class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"

@dataclasses.dataclass
class Order:
    number: int
    note: str = "of the old"

class Receipt(BaseModel):
    number: int
    total: int

class Bill(BaseModel):
    number: int

@task
def optional(a): return [a]
@task
def required(a): return [a]
@task
def dropped(a, b=0): return [a, b]
@task
def renamed(colour): return colour
@task
def gone(a): return a
@task
def order(it: Order) -> Order: return it
@task
def receipt(number: int) -> Receipt: return Receipt(number=number, total=7)
@task
def bill(number: int) -> Bill: return Bill(number=number)
@task
def paint(it: Colour) -> Colour: return it
@task
def fails(a): raise ValueError(f"no {a}")
@task(validate_parameters=True)
def checked(a: int | str): return a
"""

NEW_SHOP = """
import dataclasses, enum
from pydantic import BaseModel
from orchestrator import task

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

@dataclasses.dataclass
class Order:
    number: int
    gift: bool = False

class Receipt(BaseModel):
    number: str
    total: int
    currency: str

class Bill(BaseModel):
    number: int
    due: str = "soon"

@task
def optional(a, b="default"): return [a, b]
@task
def required(a, b): return [a, b]
@task
def dropped(a): return [a]
@task
def renamed(color): return color
@task
def order(it: Order) -> Order: return it
@task
def receipt(number: int) -> Receipt: return Receipt(number=f"no. {number}", total=7, currency="EUR")
@task
def bill(number: int) -> Bill: return Bill(number=number)
@task
def paint(it: Colour) -> Colour: return it
@task(validate_parameters=True)
def checked(a: int): return a
@task
def brought(a): return a
"""

SEND = """
import json, sys, orchestrator, shop
calls = json.loads(sys.argv[1])
print(json.dumps([orchestrator.__file__, {what: eval(call, vars(shop)).run_id for what, call in calls.items()}]))
"""

READ = """
import json, sys, shop
from orchestrator.futures import PrefectFuture
found = {}
for what, run_id in json.loads(sys.argv[1]).items():
    future = PrefectFuture(run_id)
    future.wait(60)
    value = future.result(timeout=1, raise_on_failure=False)
    found[what] = [future.state.name, type(value).__name__, str(value)]
print(json.dumps(found))
"""


class Side:
    """One environment: a version of the user's module, and of our packages.

    Args:
        folder: for its files.
        shop: source of the user's module.
        settings: variables of its processes.
        packages: where our packages are.
    """

    def __init__(self, folder: Path, shop: str, settings: dict[str, str], packages: Path = ROOT) -> None:
        self._sources = folder / "sources"
        self._sources.mkdir(parents=True)
        (self._sources / "shop.py").write_text(shop)
        self.packages = packages
        patience = {"ORCHESTRATOR_UNKNOWN_TASK_WAIT_SECONDS": "0"}
        self._environment = clean_environment(**QUICK, **patience, **settings, PYTHONPATH=str(self._sources))
        self._log = folder / "worker.log"
        self.workers: list[WorkerProcess] = []

    def _run(self, program: str, argument: dict[str, str]) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(argument)],
            cwd=self.packages,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def send(self, calls: dict[str, str]) -> dict[str, str]:
        """Send calls, expressions over the names of the user's module; their run ids."""
        packages, run_ids = self._run(SEND, calls)
        assert Path(packages).is_relative_to(self.packages)
        sent: dict[str, str] = run_ids
        return sent

    def read(self, run_ids: dict[str, str]) -> dict[str, list[str]]:
        """Of each run: the name of its state, the type of its result or error, and that as text."""
        found: dict[str, list[str]] = self._run(READ, run_ids)
        return found

    def command(self, *arguments: str) -> str:
        """What a command of this side writes."""
        command = [sys.executable, "-m", "orchestrator", *arguments]
        done = subprocess.run(
            command, cwd=self.packages, env=self._environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def work(self) -> WorkerProcess:
        """A worker of this side."""
        worker = WorkerProcess(self._log, self._environment, "-A", "shop", "-c", "1", cwd=self.packages)
        self.workers.append(worker)
        worker.wait_ready(1)
        return worker


@pytest.fixture(scope="module")
def server_program() -> Path:
    """One program is enough: what our processes make of each other's bytes makes no difference to the server."""
    return program_or_skip("embedded")


@pytest.fixture
def settings(server: ServerProcess, namespace: str) -> dict[str, str]:
    """Where both sides meet."""
    return {"ORCHESTRATOR_REDIS_URL": server.url, "ORCHESTRATOR_NAMESPACE": namespace}


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    """Their workers are ended with the test."""
    made: list[Side] = []
    yield made
    for side in made:
        for worker in side.workers:
            worker.close()
            print(f"--- {worker.log}\n{worker.output}")


def assert_found(found: dict[str, list[str]], expected: dict[str, tuple[str, str, str]]) -> None:
    """State and type are exact, the text contains what is expected."""
    assert found.keys() == expected.keys()
    for what, (state, kind, text) in expected.items():
        assert found[what][:2] == [state, kind], (what, found[what])
        assert text in found[what][2], (what, found[what])


FROM_OLD_TO_NEW = {
    "a parameter that came with a default": ("optional.delay(1)", ("Completed", "list", "[1, 'default']")),
    "a parameter that came without": ("required.delay(1)", ("Failed", "ParameterBindError", "'b'")),
    "a parameter that is gone": ("dropped.delay(1, 2)", ("Failed", "ParameterBindError", "too many")),
    "a parameter that is gone, by name": ("dropped.delay(1, b=2)", ("Failed", "ParameterBindError", "'b'")),
    "a parameter with a new name, by place": ("renamed.delay('red')", ("Completed", "str", "red")),
    "a parameter with a new name, by name": ("renamed.delay(colour=1)", ("Failed", "ParameterBindError", "color")),
    "a task that is gone": ("gone.delay(1)", ("Crashed", "RunCrashed", "UnknownTask: no task 'shop.gone'")),
    "a dataclass with other fields": ("order.delay(Order(1))", ("Completed", "Order", "note='of the old'")),
    "a model with other fields": ("receipt.delay(1)", ("Unreadable", "RunCrashed", "shop:Receipt refuses")),
    "a model with one field more": ("bill.delay(1)", ("Completed", "Bill", "number=1")),
    "a member of an enum that stayed": ("paint.delay(Colour.RED)", ("Completed", "Colour", "Colour.RED")),
    "a member of an enum that is gone": ("paint.delay(Colour.GREEN)", ("Crashed", "RunCrashed", "SerializationError")),
    "an annotation that became narrower": ("checked.delay('x')", ("Failed", "ParameterTypeError", "argument 'a'")),
}

FROM_NEW_TO_OLD = {
    "a parameter that is not there yet": ("optional.delay(1, 2)", ("Failed", "ParameterBindError", "too many")),
    "its default": ("optional.delay(1)", ("Completed", "list", "[1]")),
    "a parameter that was needed": ("dropped.delay(1)", ("Completed", "list", "[1, 0]")),
    "a parameter with a new name, by name": ("renamed.delay(color=1)", ("Failed", "ParameterBindError", "colour")),
    "a task that is not there yet": (
        "brought.delay(1)",
        ("Crashed", "RunCrashed", "UnknownTask: no task"),
    ),
    "a dataclass with other fields": ("order.delay(Order(1, True))", ("Completed", "Order", "gift=False")),
    "a model with fewer fields": ("receipt.delay(1)", ("Unreadable", "RunCrashed", "shop:Receipt refuses")),
    "a model that lacks a field": ("bill.delay(1)", ("Completed", "Bill", "due='soon'")),
}


@pytest.mark.parametrize(
    ("sender", "receiver", "table"),
    [
        pytest.param(OLD_SHOP, NEW_SHOP, FROM_OLD_TO_NEW, id="workers deployed first"),
        pytest.param(NEW_SHOP, OLD_SHOP, FROM_NEW_TO_OLD, id="clients deployed first"),
    ],
)
def test_calls_between_two_versions_of_the_users_module(
    sender: str, receiver: str, table: dict[str, Any], settings: dict[str, str], sides: list[Side], tmp_path: Path
) -> None:
    client, other = Side(tmp_path / "client", sender, settings), Side(tmp_path / "worker", receiver, settings)
    sides += [client, other]
    worker = other.work()
    run_ids = client.send({what: call for what, (call, _) in table.items()})
    assert_found(client.read(run_ids), {what: expected for what, (_, expected) in table.items()})
    assert len(worker.children()) == 1
    assert "Traceback" not in worker.output
    worker.terminate()
    assert worker.wait() == 0


# -- our own packages, of another version ----------------------------------------------------------------------------


def later_packages(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of our packages with some lines changed: (file, text that is there once, other text)."""
    for package in ("brokers", "orchestrator", "task_workers"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in changes:
        file = folder / name
        text = file.read_text()
        assert text.count(before) == 1, f"{name} has {before!r} {text.count(before)} times: mend this test"
        file.write_text(text.replace(before, after))
    return folder


CALLS, ARGUMENTS, OUTCOMES = (
    "orchestrator/submission/envelopes.py",
    "orchestrator/serializers/calls.py",
    "orchestrator/serializers/outcomes.py",
)
SCHEMA, META = "brokers/schema.py", "brokers/call_meta.py"
SUBMIT, SEND_ONE = "brokers/redis/scripts/lib/submitting.lua", "brokers/redis/scripts/send.lua"
NEXT_VERSION = (SCHEMA, "VERSION: int = 1\n", "VERSION: int = 2\n")
WITH_MORE_IN_EVERYTHING = (
    NEXT_VERSION,
    (META, "return msgpack.packb(fields) if fields else None", 'return msgpack.packb(fields | {"zz": {"later": [1]}})'),
    (CALLS, "    extras: dict[str, Any] = {}\n", '    extras: dict[str, Any] = {"Z": "later"}\n'),
    (ARGUMENTS, "([positional, named], True)", "([positional, named, 9], True)"),
    (OUTCOMES, "ended, run_count, body, worker))", "ended, run_count, body, worker, 9))"),
    (SUBMIT, "local fields = { 't', task,", "local fields = { 'zz', 'later', 't', task,"),
    (SUBMIT, "  local n = 6\n", "  local n = 8\n"),
    (SEND_ONE, "local fields = { 't', task,", "local fields = { 'zz', 'later', 't', task,"),
    (SEND_ONE, "local n = 10\n", "local n = 12\n"),
    (SEND_ONE, "'HSET', key, 't', task,", "'HSET', key, 'zz', 'later', 't', task,"),
)
UNDERSTOOD = {
    "a plain call": ("optional.delay(1)", ("Completed", "list", "[1]")),
    "an option": ("optional.with_options(retries=1).delay(2)", ("Completed", "list", "[2]")),
    "a delay": ("optional.apply_async((3,), countdown=0.1, expires=60)", ("Completed", "list", "[3]")),
    "an upstream": ("optional.delay(bill.delay(4))", ("Completed", "list", "number=4")),
    "a dataclass": ("order.delay(Order(5))", ("Completed", "Order", "number=5")),
    "an error": ("fails.delay(6)", ("Failed", "ValueError", "no 6")),
}


@pytest.mark.parametrize("keys", ["without keys", "signed and encrypted"])
@pytest.mark.parametrize("later_one", ["client", "worker"])
def test_our_own_versions_read_each_other_and_ignore_what_they_do_not_know(
    later_one: str, keys: str, server: ServerProcess, settings: dict[str, str], sides: list[Side], tmp_path: Path
) -> None:
    if keys == "signed and encrypted":
        settings |= {"ORCHESTRATOR_SECRET_KEY": "k" * 32, "ORCHESTRATOR_REQUIRE_SIGNATURE": "1"}
        settings |= {"ORCHESTRATOR_ENCRYPTION_KEY": "e" * 32}
    later = later_packages(tmp_path / "packages", *WITH_MORE_IN_EVERYTHING)
    client = Side(tmp_path / "client", OLD_SHOP, settings, later if later_one == "client" else ROOT)
    other = Side(tmp_path / "worker", OLD_SHOP, settings, later if later_one == "worker" else ROOT)
    sides += [client, other]
    worker = other.work()
    expected = {what: expectation for what, (_, expectation) in UNDERSTOOD.items()}
    run_ids = client.send({what: call for what, (call, _) in UNDERSTOOD.items()})
    if later_one == "client":  # else this would show nothing
        with server.client() as redis:
            for run_id in run_ids.values():
                record = redis.hgetall(f"{{{settings['ORCHESTRATOR_NAMESPACE']}}}:r:{run_id}")
                assert record[b"zz"] == b"later"
                assert b"zz" in record[b"m"]
    assert_found(client.read(run_ids), expected)
    assert_found(other.read(run_ids), expected)
    assert len(worker.children()) == 1
    worker.terminate()
    assert worker.wait() == 0
    assert "Traceback" not in worker.output


TOO_NEW = (SCHEMA, "READABLE_BY: int = 1\n", "READABLE_BY: int = 2\n")
NO_LONGER = (SCHEMA, "OLDEST: int = 1\n", "OLDEST: int = 2\n")


@pytest.mark.parametrize(
    ("later_one", "change", "told"),
    [
        ("client", TOO_NEW, "workers below version 2 must not run; this one has version 1: upgrade it"),
        ("worker", NO_LONGER, "written in version 1 of the envelope; this worker reads versions from 2 on"),
    ],
)
def test_a_version_that_must_not_be_guessed_at_is_a_dead_letter_and_can_be_replayed_where_it_is_understood(
    later_one: str, change: tuple[str, str, str], told: str, settings: dict[str, str], sides: list[Side], tmp_path: Path
) -> None:
    later = later_packages(tmp_path / "packages", NEXT_VERSION, change)
    client = Side(tmp_path / "client", OLD_SHOP, settings, later if later_one == "client" else ROOT)
    other = Side(tmp_path / "worker", OLD_SHOP, settings, later if later_one == "worker" else ROOT)
    alike = Side(tmp_path / "alike", OLD_SHOP, settings, client.packages)
    sides += [client, other, alike]
    worker = other.work()
    run_ids = client.send({"first": "optional.delay(1)"})
    assert_found(client.read(run_ids), {"first": ("Crashed", "RunCrashed", told)})
    assert len(worker.children()) == 1
    worker.terminate()
    assert worker.wait() == 0
    alike.work()
    assert client.command("dead", "replay", "--all") == "1 of 1 queued again\n"
    wait_until(lambda: client.read(run_ids)["first"][0] == "Completed", 40, "the replayed call has completed")


EXPIRES = "brokers/redis/scripts/lib/ends.lua"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((EXPIRES, "'expired before it started'", "'nobody had the time'"), "nobody had the time"),
        ((EXPIRES, ".. '\\31' .. reason", ""), "expired before it started"),
    ],
    ids=["in other words", "as 0.1, without a reason"],
)
def test_a_run_has_expired_whatever_the_sentence_of_the_worker_that_ended_it(
    change: tuple[str, str, str], told: str, settings: dict[str, str], sides: list[Side], tmp_path: Path
) -> None:
    client = Side(tmp_path / "client", OLD_SHOP, settings)
    other = Side(tmp_path / "worker", OLD_SHOP, settings, later_packages(tmp_path / "packages", change))
    sides += [client, other]
    run_ids = client.send({"late": "optional.apply_async((1,), expires=0.001)"})
    other.work()
    assert_found(client.read(run_ids), {"late": ("Expired", "RunCancelled", told)})
