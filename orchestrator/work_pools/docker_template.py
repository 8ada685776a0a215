"""The base job template of pools of type ``docker``: a container for each run. Follows Prefect 3."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.work_pools.common_variables import COMMON

_SIZE: Final = [{"type": "string", "pattern": r"^\d+(\.\d+)?\s*[bkmgBKMG]?[bB]?$"}, {"type": "integer", "minimum": 0}]

DOCKER_TEMPLATE: Final[dict[str, Any]] = {
    "job_configuration": {
        "name": "{{ name }}",
        "env": "{{ env }}",
        "labels": "{{ labels }}",
        "command": "{{ command }}",
        "image": "{{ image }}",
        "image_pull_policy": "{{ image_pull_policy }}",
        "registry_credentials": "{{ registry_credentials }}",
        "networks": "{{ networks }}",
        "network_mode": "{{ network_mode }}",
        "volumes": "{{ volumes }}",
        "mem_limit": "{{ mem_limit }}",
        "memswap_limit": "{{ memswap_limit }}",
        "privileged": "{{ privileged }}",
        "auto_remove": "{{ auto_remove }}",
        "stream_output": "{{ stream_output }}",
        "grace_period_seconds": "{{ grace_period_seconds }}",
        "container_create_kwargs": "{{ container_create_kwargs }}",
    },
    "variables": {
        "type": "object",
        "properties": {
            **COMMON,
            "image_pull_policy": {
                "title": "Image Pull Policy",
                "description": "Whether the image is pulled before the container is made; unless given, if it is not "
                "there.",
                "type": "string",
                "enum": ["IfNotPresent", "Always", "Never"],
            },
            "registry_credentials": {
                "title": "Registry Credentials",
                "description": "An object with username, password and registry_url, or a block that has them: "
                "{{ prefect.blocks.docker-registry-credentials.NAME }}.",
                "type": "object",
            },
            "networks": {
                "title": "Networks",
                "description": "Names of networks that the container is in.",
                "type": "array",
                "items": {"type": "string"},
            },
            "network_mode": {
                "title": "Network Mode",
                "description": "Such as host or bridge. In mode host, 127.0.0.1 is this machine.",
                "type": "string",
            },
            "volumes": {
                "title": "Volumes",
                "description": "Volumes as docker takes them: SOURCE:TARGET[:ro]. A relative source is in the worker's "
                "folder.",
                "type": "array",
                "items": {"type": "string"},
            },
            "mem_limit": {
                "title": "Memory Limit",
                "description": "The most memory: bytes, or a number with b, k, m or g.",
                "anyOf": _SIZE,
            },
            "memswap_limit": {
                "title": "Memory And Swap Limit",
                "description": "The most memory and swap together; -1: as much swap as there is.",
                "anyOf": [*_SIZE, {"enum": [-1, "-1"]}],
            },
            "privileged": {
                "title": "Privileged",
                "description": "All rights on the machine for the container.",
                "type": "boolean",
                "default": False,
            },
            "auto_remove": {
                "title": "Auto Remove",
                "description": "Remove the container when it has ended.",
                "type": "boolean",
                "default": False,
            },
            "container_create_kwargs": {
                "title": "Container Create Kwargs",
                "description": "Further options of `docker run` by their names, such as shm_size, entrypoint, user, "
                "extra_hosts, ports.",
                "type": "object",
            },
        },
    },
}
