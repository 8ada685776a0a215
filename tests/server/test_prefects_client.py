"""Prefect's own client works with our server; it lives in an environment of its own, which ``make prefect`` makes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from brokers.messages import AckKind
from orchestrator.blocks.system import JSON
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from tests.server.conftest import Site
from tests.support.apps import deployed_flows
from tests.support.work import Work

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("ORCHESTRATOR_TEST_PREFECT", ROOT / ".venv-prefect/bin/python"))
SCRIPT = ROOT / "tests/support/prefects_client.py"


@pytest.mark.skipif(not PYTHON.exists(), reason="Prefect's client is not installed: `make prefect` does it")
def test_prefects_client_reads_and_does_everything(own_fleet: Fleet, work: Work, tmp_path: Path) -> None:
    deployed_flows.tracker.to_deployment("nightly", cron="0 9 * * *", parameters={"city": "Oslo"}, tags=["etl"]).apply()
    JSON(value={"a": 1}).save("numbers")
    work.submit("shop.pay")
    work.run(AckKind.COMPLETED)
    site = Site(make_app(own_fleet, token="s3cret"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"{site.url}/api",
        "PREFECT_API_KEY": "s3cret",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    try:
        done = subprocess.run(
            [PYTHON, SCRIPT, "tracker/nightly"], env=environment, capture_output=True, text=True, timeout=100
        )
    finally:
        site.close()
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "flows": ["tracker"],
        "deployments": ["nightly"],
        "found": [True, "Scheduled", ["etl", "prefect"]],
        "cancelled": ["ACCEPT", "Cancelled", {"city": "Rome"}],
        "states": ["Scheduled", "Cancelled"],
        "task_runs": ["Completed"],
        "logs": 0,
        "paused": False,
        "to_come": True,
        "variables": [["city", {"a": 1}]],
        "artifacts": ["report"],
        "pools": ["pool"],
        "blocks": ["numbers"],
        "automations": 0,
    }
