"""The manifests of a worker of a kubernetes pool: its command line is understood, its role is what it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from orchestrator.settings import Settings
from task_workers.cli.pool_worker import start
from task_workers.infrastructure import kubernetes
from tests.deploy.reading import ROOT, manifests, option

FOLDER = ROOT / "deploy" / "pool-worker"
FOUND: dict[tuple[str, str], dict[str, Any]] = {
    (document["kind"], document.get("metadata", {}).get("name", path.stem)): document
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}
POD = FOUND[("Deployment", "pool-worker")]["spec"]["template"]["spec"]
(WORKER,) = POD["containers"]


def test_everything_is_listed_and_is_beside_the_other_workers() -> None:
    listed = FOUND[("Kustomization", "kustomization")]
    assert set(listed["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    others = manifests()
    assert listed["namespace"] == others[("Kustomization", "kustomization")]["namespace"]
    for source in WORKER["envFrom"]:
        for kind, ref in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if ref in source:
                assert (kind, source[ref]["name"]) in others
    (image,) = listed["images"]
    assert WORKER["image"] == image["name"]


def test_the_command_line_is_understood_and_the_probes_ask_its_port() -> None:
    command = WORKER["command"]
    assert command[:3] == ["orchestrator", "worker", "start"]
    given = start.make_context("start", command[3:]).params
    assert (given["pool_name"], given["kind"], given["health_port"]) == ("kubernetes-pool", "kubernetes", 9808)
    assert WORKER["ports"][0]["containerPort"] == int(option(command, "--health-port"))
    paths = {probe: WORKER[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert paths == {"livenessProbe": "/live", "readinessProbe": "/ready"}
    assert POD["terminationGracePeriodSeconds"] > Settings.model_fields["shutdown_timeout_seconds"].default


def test_the_role_has_what_kubectl_is_asked_for() -> None:
    role = FOUND[("Role", "pool-worker")]
    allowed = {kind: set(rule["verbs"]) for rule in role["rules"] for kind in rule["resources"]}
    source = Path(kubernetes.__file__).read_text()
    assert set(re.findall(r'"(create|get|delete|logs)"', source)) == {"create", "get", "delete", "logs"}
    assert allowed["jobs"] == {"create", "get", "list", "watch", "delete"}  # `delete --wait` watches
    assert allowed["pods"] >= {"get", "list"}
    assert allowed["pods/log"] == {"get"}
    binding = FOUND[("RoleBinding", "pool-worker")]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert (
        POD["serviceAccountName"]
        == binding["subjects"][0]["name"]
        == FOUND[("ServiceAccount", "pool-worker")]["metadata"]["name"]
    )


def test_the_image_has_both_programs() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert re.search(r"COPY --from=\S+kubectl:v\S+ \S+ /usr/local/bin/kubectl", text)
    assert re.search(r"COPY --from=docker:\S+-cli \S+ /usr/local/bin/docker", text)
