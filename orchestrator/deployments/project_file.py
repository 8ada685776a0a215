"""The deployments that a project describes in ``orchestrator.yaml``, or in the ``prefect.yaml`` that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

from orchestrator.client.schemas.limits import ConcurrencyLimitConfig
from orchestrator.errors import ConfigurationError

FILES: Final = ("orchestrator.yaml", "prefect.yaml")  # the first that is there is read
_TEXTS: Final = ("name", "entrypoint", "description", "version")
_POOL: Final = {"name": "work_pool_name", "work_queue_name": "work_queue_name", "job_variables": "job_variables"}
_AS_THEY_ARE: Final = ("version", "description", "tags", "parameters", "paused", "enforce_parameter_schema", "priority")
_LISTS: Final = ("schedules", "triggers", "tags", "build", "push", "pull")
_KNOWN: Final = frozenset(
    (*_TEXTS, *_AS_THEY_ARE, *_LISTS, "schedule", "work_pool", "concurrency_limit", "max_deliveries")
)
_IGNORED: Final = frozenset(
    ("sla", "flow_name", "infra_overrides", "version_type")
)  # left out, with a line that says so

Step = Mapping[str, Any]


class ProjectDeployment(NamedTuple):
    """A deployment as a project's file describes it.

    Attributes:
        name: of the deployment.
        entrypoint: of its flow: ``path/file.py:function``.
        options: of :meth:`orchestrator.flows.Flow.to_deployment`.
        steps: what is done before it is deployed: those of ``build``, then those of ``push``.
        left_out: names of what is in the file and means nothing here.
    """

    name: str
    entrypoint: str | None
    options: dict[str, Any]
    steps: tuple[Step, ...] = ()
    left_out: tuple[str, ...] = ()


def find_project_file(folder: Path) -> Path | None:
    """The file of a project's folder; ``None``: it has none."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_project_file(path: Path) -> list[ProjectDeployment]:
    """The deployments that a file describes.

    Raises:
        ConfigurationError: it cannot be read, is no YAML, or describes none; the message says where.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    return deployments_in(found, str(path))


def deployments_in(project: Any, where: str) -> list[ProjectDeployment]:
    """The deployments of a project as YAML has it. Raises ConfigurationError.

    >>> (one,) = deployments_in({"deployments": [{"name": "nightly", "entrypoint": "etl.py:load"}]}, "prefect.yaml")
    >>> one.name, one.entrypoint
    ('nightly', 'etl.py:load')
    """
    deployments = project.get("deployments") if isinstance(project, Mapping) else None
    if not isinstance(deployments, list) or not deployments:
        raise ConfigurationError(
            f"{where} describes no deployments: it needs a list `deployments:` with name, entrypoint"
        )
    return [_deployment(each, project, f"{where}, deployment {at}") for at, each in enumerate(deployments, 1)]


def selected(deployments: Sequence[ProjectDeployment], names: Sequence[str]) -> list[ProjectDeployment]:
    """Those with these names, which may hold ``*`` and ``?``, or be ``flow/deployment``.

    Raises:
        ConfigurationError: one means none of them.
    """
    found: dict[int, ProjectDeployment] = {}
    for name in names:
        fitting = {at: one for at, one in enumerate(deployments) if fnmatchcase(one.name, name.rpartition("/")[2])}
        if not fitting:
            known = ", ".join(one.name for one in deployments)
            raise ConfigurationError(f"the project has no deployment {name!r}; it has: {known}")
        found |= fitting
    return [found[at] for at in sorted(found)]


def _deployment(given: Any, project: Mapping[str, Any], where: str) -> ProjectDeployment:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} is no table: write name, entrypoint and so on below it")
    if unknown := sorted(str(key) for key in given if key not in _KNOWN and key not in _IGNORED):
        raise ConfigurationError(
            f"{where} has {', '.join(unknown)}, which is not known; known: {', '.join(sorted(_KNOWN))}"
        )
    for key in _TEXTS:
        if given.get(key) is not None and not isinstance(given[key], str):
            raise ConfigurationError(f"{where}: {key} is {given[key]!r}, and must be a text: put it in quotes")
    for key in _LISTS:
        if given.get(key) is not None and not isinstance(given[key], list):
            raise ConfigurationError(f"{where}: {key} is {given[key]!r}, and must be a list")
    if not given.get("name"):
        raise ConfigurationError(f"{where} has no name")
    return ProjectDeployment(
        given["name"],
        given.get("entrypoint"),
        _options(given, where),
        (*_steps(given, project, "build", where), *_steps(given, project, "push", where)),
        tuple(key for key in (*sorted(_IGNORED), "pull") if given.get(key) or project.get(key)),
    )


def _options(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    options = {name: given[name] for name in (*_AS_THEY_ARE, "max_deliveries") if given.get(name) is not None}
    pool = given.get("work_pool") or {}
    if not isinstance(pool, Mapping):
        raise ConfigurationError(f"{where}: work_pool is {pool!r}, and must be a table with name, work_queue_name, ...")
    options |= {option: pool[name] for name, option in _POOL.items() if pool.get(name) is not None}
    if "schedules" in given and given["schedules"] is not None:
        options["schedules"] = given["schedules"]
    elif given.get("schedule"):
        options["schedules"] = [given["schedule"]]
    if given.get("triggers") is not None:
        options["triggers"] = given["triggers"]
    if "concurrency_limit" in given:
        options["concurrency_limit"] = _limit(given["concurrency_limit"], where)
    return options


def _limit(given: Any, where: str) -> Any:
    if not isinstance(given, Mapping):
        return given
    try:
        return ConcurrencyLimitConfig(**given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: concurrency_limit: {' '.join(str(error).split())}") from None


def _steps(given: Mapping[str, Any], project: Mapping[str, Any], kind: str, where: str) -> list[Step]:
    """The steps of a deployment, else those of the project."""
    steps = given[kind] if kind in given else project.get(kind)
    for step in steps or ():
        if not isinstance(step, Mapping) or len(step) != 1:
            raise ConfigurationError(f"{where}: a step of {kind} is {step!r}, and must be one name with its arguments")
    return list(steps or ())
