"""What a run of a pool is given: the base job template with the job variables of its deployment put in.

A template is ``{"job_configuration": {...}, "variables": JSON schema}``, as in Prefect 3. In the configuration
``{{ x }}`` stands for the variable x: alone it keeps the variable's type, inside of a text it becomes text; a key whose
variable has no value is left out. The schema has the defaults, which may name other variables. What begins with
``prefect.`` or ``orchestrator.`` stands for blocks and variables of the store, and is left as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from orchestrator.deployments.schema_checks import first_error
from orchestrator.errors import ConfigurationError
from orchestrator.work_pools.base_templates import PROCESS, base_template

_VARIABLE: Final = re.compile(r"\{\{\s*((?!prefect\.|orchestrator\.)[\w.-]+)\s*\}\}")
_PLACE: Final = "{{"
_ABSENT: Final = object()
_SECRETIVE: Final = ("env", "registry_credentials", "container_create_kwargs")  # values that no message shows


class Job(NamedTuple):
    """What a run of a pool is given.

    Attributes:
        env: variables of its environment; ``None``: without that one.
        working_dir: its working directory.
        kind: type of the pool.
        configuration: of a container or a Kubernetes Job, the rest that the template makes.
    """

    env: dict[str, str | None]
    working_dir: str | None
    kind: str = PROCESS
    configuration: Mapping[str, Any] = {}

    @property
    def is_process(self) -> bool:
        """Whether it is a process of the worker."""
        return self.kind == PROCESS


def job_of(template: Mapping[str, Any] | None, variables: Mapping[str, Any], kind: str = PROCESS) -> Job:
    """The job that a template makes of job variables.

    Args:
        template: of the pool; ``None``: that of its type.
        variables: of the deployment, with those of the run over them. ``None`` is as if it were not there.
        kind: type of the pool.

    >>> job_of(None, {"env": {"DAY": 3}}).env
    {'DAY': '3'}
    >>> own = {"job_configuration": {"working_dir": "/srv/{{ shop }}"}}
    >>> own["variables"] = {"properties": {"shop": {"default": "a"}}}
    >>> job_of(own, {}).working_dir, job_of(own, {"shop": "b"}).working_dir
    ('/srv/a', '/srv/b')
    >>> manifest = job_of(None, {"cpu": "4"}, "kubernetes").configuration["job_manifest"]
    >>> manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    {'cpu': '4'}
    """
    template = base_template(kind) if template is None else template
    given = {name: value for name, value in variables.items() if value is not None}
    values = _filled(template.get("job_configuration"), {**_defaults(template, given), **given})
    values = values if isinstance(values, dict) else {}
    working_dir = values.pop("working_dir", None)
    return Job(
        _environment(values.pop("env", None)),
        working_dir if isinstance(working_dir, str) and working_dir else None,
        kind,
        {} if kind == PROCESS else values,
    )


def _environment(env: Any) -> dict[str, str | None]:
    """Variables by name, of a table or of a list as Kubernetes has it."""
    if isinstance(env, list):
        env = {one["name"]: one.get("value") for one in env if isinstance(one, Mapping) and "name" in one}
    if not isinstance(env, Mapping):
        return {}
    return {str(name): None if value is None else _text(value) for name, value in env.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_variables(
    template: Mapping[str, Any] | None, variables: Mapping[str, Any], kind: str = PROCESS
) -> list[str]:
    """Sentences about job variables that the template does not have, each with the name that may have been meant.

    >>> unknown_variables(None, {"envs": {}, "env": {}})
    ["'envs' (did you mean 'env'?)"]
    """
    known = list(_properties(base_template(kind) if template is None else template))
    found = []
    for name in variables:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            found.append(f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name))
    return found


def check_variables(template: Mapping[str, Any] | None, variables: Mapping[str, Any], kind: str) -> None:
    """Whether job variables have the types that the template says; those that are still to be filled in are left out.

    Raises:
        ConfigurationError: one has another type. Values of environments and credentials are not in the message.

    >>> check_variables(None, {"privileged": "yes"}, "docker")
    Traceback (most recent call last):
    orchestrator.errors.ConfigurationError: the job variable 'privileged' does not fit: 'yes' is not of type 'boolean'
    """
    for name, schema in _properties(base_template(kind) if template is None else template).items():
        value = variables.get(name)
        if value is None or _is_open(value):
            continue
        try:
            error = first_error(schema, value)
        except Exception:  # whatever a damaged schema makes the checker raise: then nothing is checked
            continue
        if error is not None:
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            shown = f"it must be {_wanted(schema)}" if name in _SECRETIVE else error.message
            raise ConfigurationError(f"the job variable {name!r}{where} does not fit: {shown}")


def _wanted(schema: Mapping[str, Any]) -> str:
    return str(schema.get("type") or " or ".join(str(one.get("type")) for one in schema.get("anyOf", ())) or "other")


def _is_open(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_open, value.values()))
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and _PLACE in value


def _defaults(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of the variables; one that names another variable is what that one was given."""
    plain = {name: one["default"] for name, one in _properties(template).items() if one.get("default") is not None}
    found = {name: _filled(value, {**plain, **given}) for name, value in plain.items()}
    return {name: value for name, value in found.items() if value is not _ABSENT}


def _properties(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    schema = template.get("variables")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return {}
    return {str(name): one for name, one in properties.items() if isinstance(one, Mapping)}


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        parts = {key: _filled(part, variables) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part is not _ABSENT}
    if isinstance(value, list):
        return [part for one in value if (part := _filled(one, variables)) is not _ABSENT]
    if not isinstance(value, str):
        return value
    if alone := _VARIABLE.fullmatch(value.strip()):
        return variables.get(alone[1], _ABSENT)
    return _VARIABLE.sub(lambda found: _text(variables.get(found[1], "")), value)
