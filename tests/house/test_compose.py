"""``compose.yaml`` says what the processes it starts understand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_store_keeps_what_it_is_given() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert any(volume.endswith(":/data") for volume in SERVICES["redis"]["volumes"])


def test_a_worker_is_given_more_time_to_stop_than_it_takes() -> None:
    worker = SERVICES["worker"]
    own = int(worker["command"][worker["command"].index("--shutdown-timeout") + 1])
    assert int(worker["stop_grace_period"].removesuffix("s")) > own


def test_services_can_be_scaled_and_get_signals_themselves() -> None:
    for name, service in SERVICES.items():
        assert "container_name" not in service, name
        assert isinstance(service["command"], list), f"{name}: a shell would swallow the signal to stop"
        assert "healthcheck" in service, name


def test_the_workers_command_line_is_understood(tmp_path: Path) -> None:
    command = SERVICES["worker"]["command"]
    done = subprocess.run(
        [sys.executable, "-m", "task_workers.cli", *command[1:], "--check"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "ORCHESTRATOR_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "examples.web.tasks" in done.stdout + done.stderr
