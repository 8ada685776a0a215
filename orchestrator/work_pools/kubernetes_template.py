"""The base job template of pools of type ``kubernetes``: a Job for each run. Follows Prefect 3
(``prefect-kubernetes``), and has ``cpu``, ``memory`` and ``annotations`` beside.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.work_pools.common_variables import COMMON

CONTAINER: Final = "flow-run"
_QUANTITY: Final = [{"type": "string", "pattern": r"^[0-9.]+([numkKMGTPE]i?|e[0-9]+)?$"}, {"type": "number"}]


def _amount(title: str, description: str, default: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"title": title, "description": description, "anyOf": _QUANTITY}
    return found if default is None else {**found, "default": default}


MANIFEST: Final[dict[str, Any]] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
        "labels": "{{ labels }}",
        "annotations": "{{ annotations }}",
        "namespace": "{{ namespace }}",
        "generateName": "{{ name }}-",
    },
    "spec": {
        "backoffLimit": "{{ backoff_limit }}",
        "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
        "parallelism": 1,
        "completions": 1,
        "template": {
            "metadata": {"labels": "{{ labels }}", "annotations": "{{ annotations }}"},
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": "{{ service_account_name }}",
                "containers": [
                    {
                        "name": CONTAINER,
                        "env": "{{ env }}",
                        "image": "{{ image }}",
                        "imagePullPolicy": "{{ image_pull_policy }}",
                        "args": "{{ command }}",
                        "resources": {
                            "requests": {"cpu": "{{ cpu_request }}", "memory": "{{ memory_request }}"},
                            "limits": {"cpu": "{{ cpu_limit }}", "memory": "{{ memory_limit }}"},
                        },
                    }
                ],
            },
        },
    },
}

KUBERNETES_TEMPLATE: Final[dict[str, Any]] = {
    "job_configuration": {
        "name": "{{ name }}",
        "env": "{{ env }}",
        "labels": "{{ labels }}",
        "command": "{{ command }}",
        "namespace": "{{ namespace }}",
        "job_manifest": MANIFEST,
        "job_watch_timeout_seconds": "{{ job_watch_timeout_seconds }}",
        "pod_watch_timeout_seconds": "{{ pod_watch_timeout_seconds }}",
        "stream_output": "{{ stream_output }}",
        "grace_period_seconds": "{{ grace_period_seconds }}",
    },
    "variables": {
        "type": "object",
        "properties": {
            **COMMON,
            "namespace": {
                "title": "Namespace",
                "description": "The namespace of the Job.",
                "type": "string",
                "default": "default",
                "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
            },
            "annotations": {
                "title": "Annotations",
                "description": "Annotations of the Job and of its pod.",
                "type": "object",
            },
            "service_account_name": {
                "title": "Service Account Name",
                "description": "The service account of the pod.",
                "type": "string",
            },
            "image_pull_policy": {
                "title": "Image Pull Policy",
                "description": "Whether the node pulls the image.",
                "type": "string",
                "enum": ["IfNotPresent", "Always", "Never"],
                "default": "IfNotPresent",
            },
            "cpu": _amount("CPU", "Cores of the pod, such as 4 or 500m: its request and its limit."),
            "memory": _amount("Memory", "Memory of the pod, such as 16Gi: its request and its limit."),
            "cpu_request": _amount("CPU Request", "Cores that the pod is given; unless given, as cpu.", "{{ cpu }}"),
            "cpu_limit": _amount("CPU Limit", "Cores that it may use; unless given, as cpu.", "{{ cpu }}"),
            "memory_request": _amount("Memory Request", "Unless given, as memory.", "{{ memory }}"),
            "memory_limit": _amount("Memory Limit", "Unless given, as memory.", "{{ memory }}"),
            "backoff_limit": {
                "title": "Backoff Limit",
                "description": "How often Kubernetes starts another pod by itself. 0: the run is queued again instead.",
                "type": "integer",
                "minimum": 0,
                "default": 0,
            },
            "finished_job_ttl": {
                "title": "Finished Job TTL",
                "description": "Seconds after which Kubernetes deletes a Job that has ended; unless given, never.",
                "type": "integer",
                "minimum": 0,
            },
            "job_watch_timeout_seconds": {
                "title": "Job Watch Timeout",
                "description": "The longest that a run may take from the start of its Job; unless given, as long as it "
                "likes.",
                "type": "number",
                "exclusiveMinimum": 0,
            },
            "pod_watch_timeout_seconds": {
                "title": "Pod Watch Timeout",
                "description": "Within so many seconds its pod has begun, or the run has crashed.",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 60,
            },
        },
    },
}
