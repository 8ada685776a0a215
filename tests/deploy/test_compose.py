"""``compose.yaml`` is a valid Compose file, and keeps what the fleet promises: nothing lost, and scaled at will."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from orchestrator.settings import Settings
from task_workers.cli.pool_worker import start
from tests.deploy.reading import ROOT, compose, filled_in, option

COMPOSE = compose()
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("worker", "web", "dashboard", "celery-worker")
WORKERS = ("worker", "celery-worker")


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text())
    validator = jsonschema.Draft201909Validator(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert list(validator.iter_errors({"services": {"worker": {"imaje": "x"}}})), "it would find a slip"


def test_the_store_keeps_what_it_is_given() -> None:
    command = SERVICES["redis"]["command"]
    assert option(command, "--appendonly") == "yes"
    assert option(command, "--maxmemory-policy") == "noeviction"
    assert option(command, "--maxmemory") != "0", "the kernel would kill it instead"
    assert any(volume.endswith(":/data") for volume in SERVICES["redis"]["volumes"])
    assert any(volume.endswith(":/var/lib/rabbitmq") for volume in SERVICES["rabbitmq"]["volumes"])


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_given_more_time_to_stop_than_it_takes(name: str) -> None:
    own = int(option(SERVICES[name]["command"], "--shutdown-timeout"))
    assert seconds(SERVICES[name]["stop_grace_period"]) > own + 5


@pytest.mark.parametrize(("name", "flag"), [("worker", "--health-port"), ("web", "--port"), ("dashboard", "--port")])
def test_a_health_check_asks_the_service_itself(name: str, flag: str) -> None:
    (url,) = re.findall(r"http://[^']+", " ".join(SERVICES[name]["healthcheck"]["test"]))
    assert urlsplit(url).netloc == f"127.0.0.1:{option(SERVICES[name]['command'], flag)}"


@pytest.mark.parametrize("name", SERVICES)
def test_services_can_be_scaled_get_signals_themselves_and_are_watched(name: str) -> None:
    service = SERVICES[name]
    assert "container_name" not in service
    assert isinstance(service.get("command", []), list), "a shell would swallow the signal to stop"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    if name in OURS:
        assert service["command"]
        assert service["init"] is True
        assert service["image"] == "orchestrator-example"
    else:
        image, _, tag = service["image"].partition(":")
        assert tag.count(".") >= 2, f"{image} is pinned"


def test_what_is_scaled_has_no_port_of_the_machine_and_the_others_only_on_loopback() -> None:
    assert all("ports" not in SERVICES[name] for name in WORKERS)
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_ports_and_volumes_are_those_of_the_command_lines() -> None:
    assert SERVICES["web"]["ports"] == [f"127.0.0.1:8000:{option(SERVICES['web']['command'], '--port')}"]
    assert SERVICES["dashboard"]["ports"] == [f"127.0.0.1:4200:{option(SERVICES['dashboard']['command'], '--port')}"]
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in named if not name.startswith("./")} == COMPOSE["volumes"].keys()
    assert [name for name in named if name.startswith("./") and not (ROOT / name).exists()] == []


def test_the_dashboard_is_not_started_without_a_token() -> None:
    told = SERVICES["dashboard"]["environment"]["ORCHESTRATOR_SERVER_TOKEN"]
    assert filled_in(told, {"ORCHESTRATOR_SERVER_TOKEN": "t"}) == "t"
    with pytest.raises(KeyError):
        filled_in(told, {})


def test_celery_carries_the_calls_of_its_profile_and_of_no_other() -> None:
    celery_worker = SERVICES["celery-worker"]["environment"]
    url = celery_worker["ORCHESTRATOR_BROKER_URL"]
    assert Settings(broker_url=url).carried
    assert urlsplit(url.removeprefix("celery+")).hostname == SERVICES["rabbitmq"]["hostname"] == "rabbitmq"
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {
        "rabbitmq": ["celery"],
        "celery-worker": ["celery"],
        "prometheus": ["metrics"],
        "grafana": ["metrics"],
    }
    assert SERVICES["worker"]["environment"].keys() == celery_worker.keys()
    assert filled_in(SERVICES["worker"]["environment"]["ORCHESTRATOR_BROKER_URL"], {}) == ""
    assert f"export ORCHESTRATOR_BROKER_URL={url}" in (ROOT / "compose.yaml").read_text()


def test_every_variable_of_the_services_is_a_setting() -> None:
    known = {f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields}
    assert {name for service in OURS for name in SERVICES[service]["environment"]} <= known


def test_what_waits_for_others_waits_for_services_that_say_when_they_are_ready() -> None:
    for name, service in SERVICES.items():
        profiles = set(service.get("profiles", ()))
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert set(SERVICES[other].get("profiles", ())) <= profiles, f"{name} would be started without {other}"


def test_prometheus_scrapes_the_port_at_which_workers_show_figures() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert str(found["port"]) == option(SERVICES["worker"]["command"], "--metrics-port")
    assert option(SERVICES["worker"]["command"], "--listen") == "0.0.0.0"


def test_the_image_installs_what_we_depend_on_before_there_is_code(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    steps = [line for line in text.splitlines() if line.startswith(("COPY", "RUN"))]
    (first,) = [at for at, step in enumerate(steps) if "pip install -r" in step]
    copied = [step.split()[1:-1] for step in steps[:first] if step.startswith("COPY")]
    assert copied == [["pyproject.toml"]]
    lists = steps[first].removeprefix("RUN ").partition(" >")[0].replace("python", sys.executable, 1)
    listed = subprocess.run(["sh", "-c", lists], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    names = {re.split(r"[^\w.-]", line)[0] for line in listed if line}
    assert {"redis", "msgpack", "fastapi", "prometheus-client"} <= names
    assert any("pip install --no-deps ." in step for step in steps[first:])


def test_the_image_has_a_pinned_base_and_an_own_user_and_nothing_that_it_does_not_need() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2, "built in one stage, run in another"
    assert {base.partition(":")[0] for base in bases} == {"python"}
    assert all(base.partition(":")[2].count(".") == 2 for base in bases)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["10001:10001"]
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[1] == "*"
    assert {"brokers", "orchestrator", "task_workers", "examples", "pyproject.toml"} <= copied | allowed
    assert copied <= allowed | {"README.md", "LICENSE"}
    assert not [name for name in allowed if not (ROOT / name).exists()]


def test_the_workers_of_a_pool_on_the_page_are_started_by_commands_that_are_understood() -> None:
    page = (ROOT / "docs" / "deploying.md").read_text()
    in_compose, in_kubernetes = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    services = yaml.safe_load(f"x-orchestrator: &orchestrator {{}}\nservices:\n{in_compose}")["services"]
    container = yaml.safe_load(in_kubernetes)
    commands = [services["pool-worker"]["command"], container["command"]]
    for command in commands:
        assert command[:3] == ["orchestrator", "worker", "start"]
        assert start.make_context("start", command[3:]).params["pool_name"] == "my-pool"
    assert all(service["stop_grace_period"] == "35s" for service in services.values())
