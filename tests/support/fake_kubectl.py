"""A program ``kubectl`` for tests: pods of Jobs are processes. It knows what the worker asks of it, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fake_containers import STATE, Container, containers, follow, note_call  # type: ignore[import-not-found]


def _parsed(words: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    rest: list[str] = []
    at = 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        if not words[at].startswith("-"):
            rest.append(words[at])
            at += 1
        elif equals or name in ("--follow", "--ignore-not-found"):
            options[name] = value
            at += 1
        else:
            options[name] = words[at + 1]
            at += 2
    return options, rest


def _create() -> None:
    manifest = json.load(sys.stdin)
    if (STATE / "forbidden").exists():
        sys.exit('Error from server (Forbidden): jobs.batch is forbidden: User "worker" cannot create resource "jobs"')
    metadata = manifest["metadata"]
    metadata["name"] = metadata.get("name") or metadata["generateName"] + uuid.uuid4().hex[:5]
    (spec,) = manifest["spec"]["template"]["spec"]["containers"]
    env = {"PATH": os.environ["FAKE_PATH"], **{one["name"]: one["value"] for one in spec["env"] if "value" in one}}
    container = Container(metadata["name"])
    container.create(
        {"manifest": manifest, "command": spec["args"], "env": env, "cwd": os.environ.get("FAKE_CWD", "/")}
    )
    with (STATE / "manifests").open("a") as file:
        file.write(json.dumps(manifest) + "\n")
    container.start()
    print(json.dumps(manifest))


def _job(container: Container) -> dict[str, Any]:
    manifest, status = dict(container.spec["manifest"]), {}
    if container.phase == "ended":
        well = container.exit_code == 0
        kind = "Complete" if well else "Failed"
        status = {("succeeded" if well else "failed"): 1, "conditions": [{"type": kind, "status": "True"}]}
    return {**manifest, "status": status or {"active": 1}}


def _pod(container: Container) -> dict[str, Any]:
    states: dict[str, tuple[str, dict[str, Any]]] = {
        "created": ("Pending", {}),
        "pending": ("Pending", {"waiting": {"reason": "ContainerCreating"}}),
        "running": ("Running", {"running": {}}),
        "ended": ("Succeeded" if container.exit_code == 0 else "Failed",
                  {"terminated": {"exitCode": container.exit_code, "reason": "Error"}}),
    }  # fmt: skip
    phase, state = states[container.phase]
    return {
        "metadata": {"name": container.id},
        "status": {"phase": phase, "containerStatuses": [{"name": "c", "state": state}]},
    }


def _get(words: list[str]) -> None:
    options, (kind, *names) = _parsed(words)
    here = [one for one in containers() if one.spec["manifest"]["metadata"]["namespace"] == options["--namespace"]]
    selector = dict(part.split("=", 1) for part in options.get("--selector", "").split(",") if part)
    if names:
        found = [one for one in here if one.id == names[0]]
        if not found:
            sys.exit(f'Error from server (NotFound): jobs.batch "{names[0]}" not found')
        print(json.dumps(_job(found[0])))
    elif kind == "pods":
        print(json.dumps({"items": [_pod(one) for one in here if one.id == selector["job-name"]]}))
    else:
        items = [one for one in here if selector.items() <= one.spec["manifest"]["metadata"]["labels"].items()]
        print(json.dumps({"items": [_job(one) for one in items]}))


def main() -> None:
    """What ``kubectl`` was called with."""
    note_call(sys.argv[1:])
    verb, *words = sys.argv[1:]
    if verb == "create":
        _create()
    elif verb == "get":
        _get(words)
    elif verb == "logs":
        options, (name,) = _parsed(words)
        follow(Container(name.removeprefix("job/")), "--follow" in options)
    elif verb == "delete":
        options, (_, name) = _parsed(words)
        container = Container(name)
        if container.exists:
            container.stop(float(options.get("--grace-period", "30")))
            shutil.copy(container.log, STATE / f"{name}.log")
            shutil.rmtree(container.folder)
    elif verb != "version":
        sys.exit(f'error: unknown command "{verb}" for "kubectl"')


if __name__ == "__main__":
    main()
