"""The container of a run, as ``docker create`` is asked for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from orchestrator.deployments.command_words import operand, option
from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.common_variables import COMMAND
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.run_labels import name_for, with_own

_PULL: Final = {"Always": "always", "IfNotPresent": "missing", "Never": "never"}
_OPTIONS: Final = {  # names of docker's library -> options of its command line, where these are others
    "cpu_shares": "cpu-shares",
    "devices": "device",
    "extra_hosts": "add-host",
    "ipc_mode": "ipc",
    "labels": "label",
    "mem_limit": "memory",
    "memswap_limit": "memory-swap",
    "network_mode": "network",
    "pid_mode": "pid",
    "ports": "publish",
    "sysctls": "sysctl",
    "ulimits": "ulimit",
    "volumes": "volume",
    "working_dir": "workdir",
}
_FURTHER: Final = "container_create_kwargs"
_ENVIRONMENT: Final = ("env", "environment")
_BETWEEN: Final = {"--add-host": ":", "--publish": ":"}  # what stands between name and value, elsewhere =


def command_of(configuration: Mapping[str, Any]) -> list[str]:
    """What is run in the container.

    >>> command_of({"command": "python -m shop 'big one'"})
    ['python', '-m', 'shop', 'big one']
    """
    given = configuration.get("command") or COMMAND
    return shlex.split(given) if isinstance(given, str) else [str(word) for word in given]


def networks_of(configuration: Mapping[str, Any]) -> list[str]:
    """The networks that the container is in; ``docker create`` gets the first.

    Raises:
        ConfigurationError: one begins with a dash.
    """
    mode, names = configuration.get("network_mode"), configuration.get("networks") or []
    first = [operand("the job variable 'network_mode'", mode)] if mode else []
    return [*first, *(operand("a name of the job variable 'networks'", name) for name in names)]


def container_environment(configuration: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with that of ``container_create_kwargs`` over it.

    Args:
        configuration: of the job.
        environment: of the run.

    Raises:
        ConfigurationError: a variable has no value.

    >>> container_environment({"container_create_kwargs": {"environment": ["CITY=Rome"]}}, {"CITY": "Oslo", "A": "1"})
    {'CITY': 'Rome', 'A': '1'}
    """
    found: dict[str, str | None] = dict(environment)
    further = configuration.get(_FURTHER) or {}
    for given in (further.get(name) for name in _ENVIRONMENT):
        if isinstance(given, Mapping):
            found |= {str(name): None if value is None else str(value) for name, value in given.items()}
            continue
        for one in given if isinstance(given, list) else [given] if given else []:
            name, equals, value = str(one).partition("=")
            if not equals:  # docker would take the worker's
                raise ConfigurationError(f"the variable {name[:100]!r} of {_FURTHER} has no value: write NAME=VALUE")
            found[name] = value
    return {name: value for name, value in found.items() if value is not None}


def create_arguments(
    job: Job, name: str, labels: Mapping[str, str], variables: Iterable[str], env_file: str = ""
) -> list[str]:
    """The arguments of ``docker``. Values of the environment are not among them: others can read them there.

    Args:
        job: of the run.
        name: for the container unless the job has one; made what docker takes.
        labels: by which it is found again.
        variables: names of its environment; docker takes the values from its own.
        env_file: where docker reads the others with their values.

    Raises:
        ConfigurationError: nothing says which image, or a value would be taken as an option.

    >>> job = Job({}, None, "docker", {"image": "shop/etl", "mem_limit": "512m", "volumes": ["/data:/data:ro"]})
    >>> " ".join(create_arguments(job, "nightly", {}, ["CITY"])[1:9])
    '--name nightly --env CITY --memory 512m --volume /data:/data:ro'
    """
    given = job.configuration
    image = given.get("image")
    if not image:
        raise ConfigurationError(
            "no image for the container: deploy(..., image='shop/etl:1.2', build=False), or the job variable 'image'"
        )
    words = ["create", "--name", f"{name_for(str(given['name']))}-{name[-8:]}" if given.get("name") else name]
    for label, value in with_own(labels, given.get("labels")).items():
        words += ["--label", f"{label}={value}"]
    for variable in variables:
        words += ["--env", variable]
    words += _limits(given)
    for volume in given.get("volumes") or []:
        words += ["--volume", _volume(str(volume))]
    for network in networks_of(given)[:1]:
        words += ["--network", network]
    if given.get("image_pull_policy") in _PULL:
        words += ["--pull", _PULL[given["image_pull_policy"]]]
    entrypoint, further = _further(given.get(_FURTHER) or {})
    if job.working_dir:
        words += ["--workdir", job.working_dir]
    if env_file:
        further += ["--env-file", env_file]
    return [*words, *further, "--", operand("the image", image), *entrypoint, *command_of(given)]


def _limits(given: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name in ("mem_limit", "memswap_limit"):
        if given.get(name) is not None:
            words += [f"--{_OPTIONS[name]}", str(given[name])]
    return [*words, "--privileged"] if given.get("privileged") is True else words


def _volume(text: str) -> str:
    """A relative source is a folder of the worker, as docker's older command lines do not have it."""
    source, colon, target = text.partition(":")
    return f"{os.path.abspath(source)}:{target}" if colon and source.startswith(".") else text


def _further(kwargs: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Options of ``docker create`` under the names of docker's library; words of an entrypoint come after the image."""
    words: list[str] = []
    after: list[str] = []
    for name, value in kwargs.items():
        if name in _ENVIRONMENT:  # its values are for nobody's eyes
            continue
        if name == "entrypoint" and isinstance(value, list):
            value, after = (value[0] if value else ""), [str(word) for word in value[1:]]
        if name == "nano_cpus":
            name, value = "cpus", float(value) / 1e9
        words += _option(option(_FURTHER, _OPTIONS.get(name, name)), value)
    return after, words


def _option(word: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [word]
    if isinstance(value, Mapping):
        between = _BETWEEN.get(word, "=")
        pairs = {str(k): v for k, v in value.items()}
        if word == "--publish":  # {"8080/tcp": 9090}: port of the container -> port here
            value = [f"{here}:{inside}" if here else inside for inside, here in pairs.items()]
        else:
            value = [f"{name}{between}{part}" for name, part in pairs.items()]
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    return [part for one in values for part in (word, str(one))]
