"""``docs/django.md``: the project on the page, with a real worker; and what the page does not show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of
from tests.support.worker_process import ROOT, WorkerProcess
from tests.web.pages import write_files

pytest.importorskip("django")
TASKS = "django.tasks" if find_spec("django.tasks") else "django_tasks"
PAGE = (ROOT / "docs" / "django.md").read_text()


@pytest.fixture(scope="module")
def project(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's project, with its tables."""
    folder = tmp_path_factory.mktemp("project")
    assert write_files("django.md", folder, django__tasks=TASKS) == []
    (folder / "shop" / "__init__.py").touch()
    run(folder, fleet, "from django.core.management import call_command; call_command('migrate', run_syncdb=True)")
    return folder


@pytest.fixture(scope="module")
def django_worker(fleet: Fleet, project: Path) -> Iterator[WorkerProcess]:
    environment = environment_for(fleet, project)
    words = ("-A", "orchestrator.contrib.django.app", "-c", "1", "--threads", "2")
    process = WorkerProcess(project / "log", environment, *words, cwd=project)
    try:
        process.wait_ready(1)
        yield process
    finally:
        process.close()


def environment_for(fleet: Fleet, folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(folder), str(ROOT)])
    return {**environment_of(fleet.settings), "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop.settings"}


def run(folder: Path, fleet: Fleet, code: str) -> str:
    """Run code in the project, as ``manage.py shell -c`` would; what it printed."""
    script = f"import django\ndjango.setup()\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment_for(fleet, folder),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TAKE_ORDER = """
from django.test import Client
from shop.models import Order
from tests.support.waiting import wait_until
from orchestrator.fleet import current_fleet
from orchestrator.inspection import RunFilter, walk_runs
def runs():
    return walk_runs(current_fleet(), RunFilter(tasks=("*send_receipt",))).runs
earlier = {run.id for run in runs()}
assert Client().post("/orders?customer=ann").status_code == 202
wait_until(lambda: Order.objects.get(customer="ann").receipt, 60)
print(Order.objects.get(customer="ann").receipt)
try:
    Client().post("/orders?customer=mallory")
except PermissionError:
    print("rolled back", Order.objects.filter(customer="mallory").exists())
def states():
    return [run.state_name for run in runs() if run.id not in earlier]
wait_until(lambda: states() != ["Running"], 60)  # the receipt is written before the run ends
print(states())
"""


@pytest.mark.usefixtures("django_worker")
def test_a_call_is_sent_when_the_transaction_is_committed_and_not_when_it_is_rolled_back(
    project: Path, fleet: Fleet
) -> None:
    said = run(project, fleet, TAKE_ORDER).splitlines()
    assert said == ["receipt for ann", "rolled back False", "['Completed']"]


@pytest.mark.usefixtures("django_worker")
def test_the_tasks_of_django_are_run_as_the_page_says(project: Path, fleet: Fleet) -> None:
    expected = re.search(r"prints\n\n((?:    .*\n)+)", PAGE)
    assert expected is not None
    said = run(project, fleet, "import shop.use")
    assert said.splitlines() == [line.strip() for line in expected[1].splitlines()]


WRONG = """
from django.db import transaction
from orchestrator.contrib.django import delay_on_commit
from orchestrator.errors import ParameterBindError
from shop.tasks import send_receipt
with transaction.atomic():
    try:
        delay_on_commit(send_receipt)
    except ParameterBindError:
        print("told at once")
"""


def test_arguments_that_do_not_fit_are_told_where_the_call_is(project: Path, fleet: Fleet) -> None:
    assert run(project, fleet, WRONG) == "told at once\n"


IN_COROUTINES = """
import asyncio
from asgiref.sync import async_to_sync
from django.db import transaction
from orchestrator.contrib.django import adelay_on_commit, delay_on_commit
from orchestrator.fleet import current_fleet
from shop.tasks import send_receipt

def submitted():
    return sum(current_fleet().broker.figures.submitted().values())

before = submitted()

def sent():
    return submitted() - before

async def view():
    delay_on_commit(send_receipt, 1)
    at_once = sent()
    await adelay_on_commit(send_receipt, 2)
    return at_once, await asyncio.to_thread(sent)

print(asyncio.run(view()))
with transaction.atomic():
    async_to_sync(adelay_on_commit)(send_receipt, 3)
    print(sent())
print(sent())
"""


def test_in_coroutines_a_call_is_sent_too(project: Path, fleet: Fleet) -> None:
    assert run(project, fleet, IN_COROUTINES).splitlines() == ["(1, 2)", "2", "3"]


UNKNOWN = f"""
from uuid import uuid4
from {TASKS} import default_task_backend
from {TASKS}.exceptions import TaskResultDoesNotExist
from orchestrator.contrib.django import delay_on_commit
from shop.mails import send_mail
from shop.tasks import send_receipt
for name in ("nonsense", str(uuid4()), str(send_receipt.delay(99).task_run_id)):
    try:
        default_task_backend.get_result(name)
    except TaskResultDoesNotExist:
        print("unknown")
result = send_mail.using(priority=-5).enqueue("bob", text="x" * 9000)
print(result.status, result.priority if hasattr(result, "priority") else "")
from tests.support.waiting import wait_until
wait_until(lambda: (result.refresh(), result.is_finished)[1], 60)
found = default_task_backend.get_result(result.id)
print(found.return_value, found.task.func.__name__, found.attempts, found.started_at <= found.finished_at)
"""


@pytest.mark.usefixtures("django_worker")
def test_results_that_are_none_and_one_whose_arguments_are_not_kept(project: Path, fleet: Fleet) -> None:
    said = run(project, fleet, UNKNOWN).splitlines()
    assert said == ["unknown", "unknown", "unknown", "READY ", "9000 send_mail 1 True"]
