"""Job variables that every type of pool has whose runs are containers."""

from __future__ import annotations

from typing import Any, Final

GRACE_SECONDS: Final = 300.0  # a large image is pulled, a pod waits for a machine
COMMAND: Final = "orchestrator flow-run execute"
_TEXT_VALUES: Final = {"type": ["string", "number", "boolean", "null"]}

COMMON: Final[dict[str, Any]] = {
    "name": {
        "title": "Name",
        "description": "Of what is started; unless given, made of the flow run's name.",
        "type": "string",
    },
    "env": {
        "title": "Environment Variables",
        "description": "Environment variables of the container. null: without that one.",
        "anyOf": [
            {"type": "object", "additionalProperties": _TEXT_VALUES},
            {"type": "array", "items": {"type": "object", "required": ["name"]}},
        ],
    },
    "labels": {
        "title": "Labels",
        "description": "Labels of what is started, beside those by which workers find it again.",
        "type": "object",
        "additionalProperties": _TEXT_VALUES,
    },
    "command": {
        "title": "Command",
        "description": f"What is run in the container; unless given: {COMMAND}.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
    "image": {
        "title": "Image",
        "description": "The image; unless given, the one that the deployment names.",
        "type": "string",
        "minLength": 1,
    },
    "stream_output": {
        "title": "Stream Output",
        "description": "Show what the container writes among the worker's own lines.",
        "type": "boolean",
        "default": True,
    },
    "grace_period_seconds": {
        "title": "Grace Period",
        "description": "The worker holds the run for so long until what was started reports for it; then the run has "
        "crashed.",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": GRACE_SECONDS,
    },
}
