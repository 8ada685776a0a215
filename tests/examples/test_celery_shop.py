"""``examples/celery_shop``: an unmodified ``celery worker`` command, and a flow in another process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.conftest import program_or_skip
from tests.support.celery_engine import CeleryWorker
from tests.support.foreign_shop import redis_broker
from tests.support.servers import ServerProcess
from tests.support.worker_process import clean_environment

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "celery_shop"


@pytest.fixture(scope="module")
def server_program() -> Path:
    """What a user without a server gets."""
    return program_or_skip("embedded")


@pytest.fixture(scope="module", params=["redis", "amqp"])
def environment(request: pytest.FixtureRequest, server: ServerProcess) -> dict[str, str]:
    """What the README exports."""
    amqp = request.param == "amqp"
    broker: str = request.getfixturevalue("rabbitmq").url if amqp else redis_broker(server, 1)
    return clean_environment(
        CELERY_BROKER_URL=broker,
        ORCHESTRATOR_BROKER_URL=f"celery+{broker}",
        ORCHESTRATOR_REDIS_URL=server.url,
        ORCHESTRATOR_NAMESPACE=f"celery-shop-{request.param}",
        PYTHONPATH=str(ROOT),
    )


@pytest.fixture(scope="module")
def worker(environment: dict[str, str]) -> Iterator[CeleryWorker]:
    started = CeleryWorker(["-c", "2", "-l", "info"], environment, str(SHOP), app="shop.app")
    yield started
    started.stop()


def run(environment: dict[str, str], *command: str) -> str:
    ran = subprocess.run(
        [sys.executable, *command], env=environment, cwd=SHOP, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.usefixtures("worker")
def test_both_kinds_of_task_in_one_flow_print_what_the_readme_says(environment: dict[str, str]) -> None:
    said = re.search(r"It prints\n\n((?:    .*\n)+)", (SHOP / "README.md").read_text())
    assert said
    printed = run(environment, "flow.py")
    assert [line.strip() for line in said[1].splitlines()] == printed.splitlines()


def test_who_called_the_moved_task_through_celery_goes_on(environment: dict[str, str], worker: CeleryWorker) -> None:
    client = Celery("client", broker=environment["CELERY_BROKER_URL"], set_as_current=False)
    result = client.send_task("shop.tasks.write_receipt", ["ann paid 5"])
    worker.wait_output(f"shop.tasks.write_receipt[{result.id}] succeeded")  # the shop keeps no results
