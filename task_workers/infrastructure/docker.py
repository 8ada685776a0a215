"""Containers, with docker's command line: ``docker`` on PATH, which knows its own contexts and credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from orchestrator.work_pools.docker_job import container_environment, create_arguments, networks_of
from orchestrator.work_pools.run_labels import AUTO_REMOVE
from task_workers.infrastructure.base import GONE, Condition, Found, Handle, InfrastructureError, Phase, Wanted
from task_workers.infrastructure.docker_environment import handed
from task_workers.infrastructure.docker_login import VARIABLE as CONFIG
from task_workers.infrastructure.docker_login import Credentials, credentials_of, folder_for
from task_workers.infrastructure.programs import Program, ProgramOutput

PULL_SECONDS: Final = 1800.0  # creating pulls the image
STOP_SECONDS: Final = 30.0  # beside the grace that the container gets
STDIN: Final = "/dev/stdin"  # values are never in a file that could stay behind
_NOT_THERE: Final = ("no such object", "no such container", "is already in progress")


class Docker:
    """See :class:`task_workers.infrastructure.base.Infrastructure`."""

    noun = "container"

    def __init__(self) -> None:
        self._docker = Program("docker", "install Docker's command line where the worker runs")

    def check(self) -> None:
        self._docker.path()

    def start(self, wanted: Wanted) -> Handle:
        given = wanted.job.configuration
        labels = {**wanted.labels, AUTO_REMOVE: "yes" if given.get("auto_remove") is True else "no"}
        credentials = credentials_of(given.get("registry_credentials"))
        env = handed(container_environment(given, wanted.environment))
        words = create_arguments(wanted.job, wanted.name, labels, env.named, STDIN)
        with self._logged_in(credentials) as more:
            made = self._docker.run(*words, text=env.file, env=env.named | more, seconds=PULL_SECONDS)
        handle = Handle(self.noun, made.split()[-1])
        try:
            for network in networks_of(given)[1:]:
                self._docker.run("network", "connect", "--", network, handle.name)
            self._docker.run("start", handle.name)
        except InfrastructureError:
            self.remove(handle)
            raise
        return handle

    def look(self, handle: Handle) -> Condition:
        found = self._inspected([handle.name])
        return _condition(found[0].get("State")) if found else GONE

    def follow(self, handle: Handle, *, from_now: bool = False) -> ProgramOutput:
        return self._docker.follow("logs", "--follow", *(["--tail", "0"] if from_now else []), handle.name)

    def end(self, handle: Handle, grace_seconds: float) -> None:
        grace = max(0, round(grace_seconds))
        self._unless_gone("stop", "--time", str(grace), handle.name, seconds=grace + STOP_SECONDS)

    def remove(self, handle: Handle) -> None:
        self._unless_gone("rm", "--force", handle.name, seconds=STOP_SECONDS)

    def find(self, labels: Mapping[str, str], namespaces: Sequence[str]) -> list[Found]:
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        ids = self._docker.run("ps", "--all", "--no-trunc", "--quiet", *filters).split()
        return [
            Found(Handle(self.noun, str(one.get("Id"))), _table(_table(one.get("Config")).get("Labels")))
            for one in self._inspected(ids)
        ]

    def _inspected(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """What docker knows of these; those that are gone are left out."""
        if not ids:
            return []
        try:
            return [_table(one) for one in json.loads(self._docker.run("inspect", "--type=container", *ids))]
        except InfrastructureError as error:
            if not _is_not_there(error):
                raise
        except ValueError as error:
            raise InfrastructureError(f"docker inspect wrote what is no JSON: {error}") from None
        return [found for one in ids for found in self._inspected([one])] if len(ids) > 1 else []

    def _unless_gone(self, *words: str, seconds: float) -> None:
        try:
            self._docker.run(*words, seconds=seconds)
        except InfrastructureError as error:
            if not _is_not_there(error):
                raise

    @contextmanager
    def _logged_in(self, credentials: Credentials | None) -> Iterator[dict[str, str]]:
        """What docker's environment needs so that it may pull the image."""
        if credentials is None:
            yield {}
            return
        with folder_for(credentials) as folder:
            env = {CONFIG: str(folder)}
            self._docker.run(*credentials.arguments, text=credentials.password, env=env)
            yield env


def _condition(state: Any) -> Condition:
    facts = _table(state)
    status = str(facts.get("Status"))
    if status in ("exited", "dead"):
        code = facts.get("ExitCode")
        reason = "it was out of memory" if facts.get("OOMKilled") is True else str(facts.get("Error") or "")
        return Condition(Phase.ENDED, code if isinstance(code, int) else None, reason)
    return Condition(Phase.STARTING if status == "created" else Phase.RUNNING)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_not_there(error: InfrastructureError) -> bool:
    return any(text in str(error).lower() for text in _NOT_THERE)
