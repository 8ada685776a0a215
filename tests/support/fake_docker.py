"""A program ``docker`` for tests: containers are processes. It knows what the worker asks of it, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fake_containers import STATE, Container, containers, follow, note_call  # type: ignore[import-not-found]

FLAGS = {"--privileged", "--detach", "--follow", "--all", "--force", "--no-trunc", "--password-stdin", "--quiet"}


def _parsed(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options, and what comes after them."""
    options: dict[str, list[str]] = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            return options, words[at + 1 :]
        name, equals, value = words[at].partition("=")
        if name in FLAGS:
            options.setdefault(name, []).append("")
            at += 1
        elif equals:
            options.setdefault(name, []).append(value)
            at += 1
        else:
            options.setdefault(name, []).append(words[at + 1])
            at += 2
    return options, words[at:]


def _of_files(files: list[str]) -> list[str]:
    lines = [line.lstrip() for file in files for line in Path(file).read_text("utf-8").split("\n")]
    return [line.removesuffix("\r") for line in lines if line and not line.startswith("#")]


def _create(words: list[str]) -> None:
    options, (image, *command) = _parsed(words)
    name = options["--name"][0]
    if any(one.spec["name"] == name for one in containers()):
        sys.exit(f'Conflict. The container name "/{name}" is already in use')
    _keep_configuration()
    if (STATE / "no-image").exists():
        sys.exit(f"Unable to find image '{image}' locally\npull access denied for {image}")
    env = {"PATH": os.environ["FAKE_PATH"]}
    for one in [*_of_files(options.get("--env-file", [])), *options.get("--env", [])]:
        variable, equals, value = one.partition("=")
        if equals or variable in os.environ:
            env[variable] = value if equals else os.environ[variable]
    labels = dict(one.split("=", 1) for one in options.get("--label", []))
    container = Container(uuid.uuid4().hex[:12])
    container.create(
        {"name": name, "image": image, "command": command, "env": env, "labels": labels, "options": options,
         "docker": dict(os.environ), "cwd": os.environ.get("FAKE_CWD", "/")}
    )  # fmt: skip
    print(container.id)


def _keep_configuration() -> None:
    """What docker found in the folder of its configuration, for the test."""
    folder = os.environ.get("DOCKER_CONFIG")
    if folder:
        found = {file.name: [file.stat().st_mode & 0o777, file.read_text()] for file in Path(folder).iterdir()}
        (STATE / "configuration").write_text(json.dumps({"folder": folder, "files": found}))


def _state(container: Container) -> dict[str, object]:
    phase = {"created": "created", "pending": "running", "running": "running", "ended": "exited"}[container.phase]
    return {"Status": phase, "ExitCode": container.exit_code or 0, "OOMKilled": False, "Error": ""}


def _inspect(words: list[str]) -> None:
    _, names = _parsed(words)
    found = [container for name in names if (container := Container(name)).exists]
    print(
        json.dumps(
            [
                {
                    "Id": one.id,
                    "Name": f"/{one.spec['name']}",
                    "State": _state(one),
                    "Config": {"Labels": one.spec["labels"]},
                }
                for one in found
            ]
        )
    )
    if len(found) < len(names):
        sys.exit(f"Error: No such object: {names[-1]}")


def _ps(words: list[str]) -> None:
    options, _ = _parsed(words)
    wanted = dict(one.removeprefix("label=").split("=", 1) for one in options.get("--filter", []))
    for one in containers():
        if wanted.items() <= one.spec["labels"].items():
            print(one.id)


def main() -> None:
    """What ``docker`` was called with."""
    note_call(sys.argv[1:])
    verb, *words = sys.argv[1:]
    options, rest = _parsed(words) if verb != "create" else ({}, [])
    if verb == "create":
        _create(words)
    elif verb == "start":
        Container(rest[0]).start()
    elif verb == "inspect":
        _inspect(words)
    elif verb == "ps":
        _ps(words)
    elif verb == "logs":
        follow(Container(rest[0]), "--follow" in options)
    elif verb in ("stop", "rm"):
        container = Container(rest[0])
        if not container.exists:
            sys.exit(f"Error: No such container: {rest[0]}")
        container.stop(float(options.get("--time", ["0"])[0]))
        if verb == "rm":
            shutil.rmtree(container.folder)
    elif verb in ("build", "login"):
        (STATE / f"{verb}.stdin").write_text(sys.stdin.read())
        _keep_configuration()
    elif verb not in ("push", "network", "version"):
        sys.exit(f"docker: {verb!r} is not a docker command")


if __name__ == "__main__":
    main()
