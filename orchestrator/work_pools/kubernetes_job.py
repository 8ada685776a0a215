"""The Job of a run, as ``kubectl create`` is given it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.deployments.command_words import operand
from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.docker_job import command_of
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.run_labels import label_value, name_for, with_own

LONGEST_NAME: Final = 40  # Kubernetes adds to it, and to that for the pod


def manifest_of(job: Job, name: str, labels: Mapping[str, str], env: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of a run's Job.

    Args:
        job: of the run; its environment comes before ``env``.
        name: for the Job unless the template or the job has one.
        labels: by which it is found again; its pod has them as well.
        env: what the worker adds to the environment.

    Raises:
        ConfigurationError: the template has no manifest with a container, or nothing says which image.

    >>> from orchestrator.work_pools.job import job_of
    >>> job = job_of(None, {"image": "shop/etl", "memory": "16Gi", "env": {"CITY": "Oslo"}}, "kubernetes")
    >>> (container,) = manifest_of(job, "nightly", {}, {})["spec"]["template"]["spec"]["containers"]
    >>> container["env"], container["args"]
    ([{'name': 'CITY', 'value': 'Oslo'}], ['orchestrator', 'flow-run', 'execute'])
    """
    manifest = copy.deepcopy(job.configuration.get("job_manifest"))
    try:
        pod = manifest["spec"]["template"]  # type: ignore[index]
        container = pod["spec"]["containers"][0]
        metadata = manifest.setdefault("metadata", {})  # type: ignore[union-attr]
        inside = pod.setdefault("metadata", {})
    except (TypeError, KeyError, IndexError, AttributeError):
        raise ConfigurationError(
            "the base job template has no job_manifest with spec.template.spec.containers: begin with what "
            "`orchestrator work-pool get-default-base-job-template --type kubernetes` writes"
        ) from None
    if not container.get("image"):
        raise ConfigurationError(
            "no image for the pod: deploy(..., image='shop/etl:1.2', build=False), or the job variable 'image'"
        )
    assert isinstance(manifest, dict)
    for part in (metadata, inside):
        part["labels"] = with_own(labels, part.get("labels"))
        _annotations_as_text(part)
    metadata.setdefault("namespace", job.configuration.get("namespace") or "default")
    _name(metadata, job.configuration, name)
    container["env"] = _variables(container.get("env"), job, env)
    if not container.get("args") and not container.get("command"):
        container["args"] = command_of(job.configuration)
    elif isinstance(container.get("args"), str):
        container["args"] = command_of({"command": container["args"]})
    if job.working_dir:
        container["workingDir"] = job.working_dir
    return manifest


def namespace_of(manifest: Mapping[str, Any]) -> str:
    """Where it is. Raises ConfigurationError: it begins with a dash."""
    return operand("the namespace of the job", manifest["metadata"]["namespace"])


def _name(metadata: dict[str, Any], configuration: Mapping[str, Any], name: str) -> None:
    if metadata.get("name"):
        return
    given = str(configuration.get("name") or metadata.get("generateName") or "").strip("-")
    metadata["generateName"] = f"{name_for(given or name, LONGEST_NAME)}-"


def _annotations_as_text(metadata: dict[str, Any]) -> None:
    if isinstance(metadata.get("annotations"), Mapping):
        metadata["annotations"] = {str(name): str(value) for name, value in metadata["annotations"].items()}


def _variables(given: Any, job: Job, more: Mapping[str, str]) -> list[dict[str, Any]]:
    """The environment as a list. Entries that have their values from elsewhere (``valueFrom``) stay as they are."""
    entries = [dict(one) for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    elsewhere = {str(one.get("name")): one for one in entries if "valueFrom" in one}
    own = {name: value for name, value in job.env.items() if name not in elsewhere}
    added = {name: value for name, value in more.items() if name not in own and name not in elsewhere}
    plain = {name: value for name, value in (added | own).items() if value is not None}
    return [*({"name": name, "value": value} for name, value in plain.items()), *elsewhere.values()]


def label_selector(labels: Mapping[str, str]) -> str:
    """What ``kubectl`` selects these by.

    >>> label_selector({"a": "1", "b": "2"})
    'a=1,b=2'
    """
    return ",".join(f"{name}={label_value(value)}" for name, value in labels.items())
