"""The manifests: their probes, ports and times are those of the command lines that they start."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from brokers.messages import Route
from brokers.redis.keys import GROUP, Keys
from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from task_workers.cli import worker as worker_command
from task_workers.health.health import WorkerHealth
from task_workers.options import WorkerOptions
from tests.deploy.reading import ROOT, compose, manifests, option

FOUND = manifests()
PODS: dict[str, Any] = {
    name: made["spec"]["template"]["spec"] for (kind, name), made in FOUND.items() if kind == "Deployment"
}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def container(name: str) -> dict[str, Any]:
    (found,) = PODS[name]["containers"]
    assert isinstance(found, dict)
    return found


def test_everything_is_listed_and_belongs_to_one_namespace() -> None:
    listed = FOUND[("Kustomization", "kustomization")]
    files = {path.name for path in (ROOT / "deploy" / "k8s").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == files
    assert listed["namespace"] == FOUND[("Namespace", "orchestrator")]["metadata"]["name"]
    assert not [key for key, made in FOUND.items() if "namespace" in made.get("metadata", {})]


def test_the_image_is_one_and_its_tag_is_the_version() -> None:
    (image,) = FOUND[("Kustomization", "kustomization")]["images"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image["newTag"] == version
    assert {container(name)["image"] for name in PODS} == {image["name"]}


def test_the_workers_are_those_of_compose() -> None:
    assert container("worker")["command"] == compose()["services"]["worker"]["command"]
    assert container("dashboard")["command"] == compose()["services"]["dashboard"]["command"]


def test_the_command_line_of_the_worker_is_understood() -> None:
    context = worker_command.command.make_context("worker", container("worker")["command"][2:])
    told = {name: value for name, value in context.params.items() if name != "check"}
    options = worker_command.options_from(told)
    assert (options.health_port, options.listen, options.processes) == (9808, "0.0.0.0", 2)


@pytest.mark.parametrize("name", PODS)
def test_probes_go_to_a_port_that_the_command_opens(name: str) -> None:
    made = container(name)
    (port,) = made["ports"]
    opened = option(made["command"], "--health-port" if name == "worker" else "--port")
    assert str(port["containerPort"]) == opened
    for probe in PROBES:
        asks = made[probe].get("httpGet") or made[probe]["tcpSocket"]
        assert asks["port"] == port["name"], probe


def test_probes_ask_for_paths_that_are_there() -> None:
    options = WorkerOptions(("shop",), health_port=0, metrics_port=0)
    fleet = Fleet(Settings())
    probe_servers = WorkerHealth(fleet, options, lambda: (), lambda: False).probe_servers()
    there = {path for probe_server in probe_servers for path in probe_server.paths}
    for probe_server in probe_servers:
        probe_server.close()
    worker = container("worker")
    assert worker["livenessProbe"]["httpGet"]["path"] == worker["startupProbe"]["httpGet"]["path"] == "/live"
    assert worker["readinessProbe"]["httpGet"]["path"] == "/ready"
    annotations = FOUND[("Deployment", "worker")]["spec"]["template"]["metadata"]["annotations"]
    assert {"/live", "/ready", annotations["prometheus.io/path"]} == there
    assert annotations["prometheus.io/port"] == option(worker["command"], "--metrics-port")


def test_pods_have_more_time_to_end_than_their_workers_take() -> None:
    assert PODS["worker"]["terminationGracePeriodSeconds"] > int(
        option(container("worker")["command"], "--shutdown-timeout")
    )


@pytest.mark.parametrize("name", PODS)
def test_pods_have_no_rights_and_write_nothing_but_temporary_files(name: str) -> None:
    assert PODS[name]["securityContext"]["runAsNonRoot"] is True
    assert f"USER {PODS[name]['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
    made = container(name)
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"] for mount in made["volumeMounts"]} == {volume["name"] for volume in PODS[name]["volumes"]}
    assert "memory" in made["resources"]["limits"]


def test_what_pods_are_told_is_there_and_is_settings() -> None:
    given = {**FOUND[("ConfigMap", "orchestrator")]["data"], **FOUND[("Secret", "orchestrator")]["stringData"]}
    assert set(given) <= {f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields}
    for name in PODS:
        sources = [next(iter(source.values()))["name"] for source in container(name)["envFrom"]]
        assert sources == ["orchestrator", "orchestrator"]


def test_labels_of_selectors_are_those_of_pods() -> None:
    for (kind, name), made in FOUND.items():
        if kind == "Deployment":
            assert made["spec"]["selector"]["matchLabels"] == made["spec"]["template"]["metadata"]["labels"]
        if kind == "Service":
            assert made["spec"]["selector"] == FOUND[("Deployment", name)]["spec"]["template"]["metadata"]["labels"]
            assert {port["targetPort"] for port in made["spec"]["ports"]} == {container(name)["ports"][0]["name"]}
        if kind == "PodDisruptionBudget":
            assert made["spec"]["selector"] == FOUND[("Deployment", name)]["spec"]["selector"]


def test_the_prometheus_operator_scrapes_the_workers_and_has_the_alerts() -> None:
    monitor = FOUND[("PodMonitor", "worker")]["spec"]
    assert monitor["selector"] == FOUND[("Deployment", "worker")]["spec"]["selector"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] == container("worker")["ports"][0]["name"]
    annotations = FOUND[("Deployment", "worker")]["spec"]["template"]["metadata"]["annotations"]
    assert endpoint["path"] == annotations["prometheus.io/path"]
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    assert FOUND[("PrometheusRule", "orchestrator")]["spec"] == rules


def test_keda_looks_at_streams_and_at_the_group_that_workers_read() -> None:
    scaled = FOUND[("ScaledObject", "worker")]["spec"]
    assert ("Deployment", scaled["scaleTargetRef"]["name"]) in FOUND
    assert "replicas" not in FOUND[("Deployment", "worker")]["spec"], "two who decide would fight"
    assert scaled["minReplicaCount"] >= 1, "somebody has to queue what is delayed"
    told = FOUND[("ConfigMap", "orchestrator")]["data"]
    keys = Keys(told["ORCHESTRATOR_NAMESPACE"])
    streams = {
        trigger["metadata"]["stream"]: trigger["metadata"]
        for trigger in scaled["triggers"]
        if trigger["type"] == "redis-streams"
    }
    assert streams.keys() == {keys.stream(str(Route("default", lane=lane))) for lane in ("s", "a")}
    assert {metadata["consumerGroup"] for metadata in streams.values()} == {GROUP}
    host = FOUND[("Secret", "orchestrator")]["stringData"]["ORCHESTRATOR_REDIS_URL"].split("/")[2]
    assert {metadata["address"] for metadata in streams.values()} == {host}


def test_kubectl_puts_them_together() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine")
    command = ["kubectl", "kustomize", "deploy/k8s"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert {(one["kind"], one["metadata"]["name"]) for one in made} == FOUND.keys() - {
        ("Kustomization", "kustomization")
    }
    assert {one["metadata"].get("namespace") for one in made if one["kind"] != "Namespace"} == {"orchestrator"}
