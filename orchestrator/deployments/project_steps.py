"""What a project's file has done before it is deployed: scripts; and ``{{ ... }}`` in the values of that file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.errors import ConfigurationError

_PLACE: Final = re.compile(r"\{\{\s*(.*?)\s*\}\}")


def run_steps(steps: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Run steps in turn; what those with an ``id`` gave, by it.

    Raises:
        ConfigurationError: a step is not known here, or its program failed.
    """
    outputs: dict[str, dict[str, str]] = {}
    for step in steps:
        ((name, arguments),) = step.items()
        given = filled_in(dict(arguments or {}), outputs)
        run = _STEPS.get(str(name).rpartition(".")[2])
        if run is None:
            raise ConfigurationError(
                f"the step {name} is not known here (known: {', '.join(_STEPS)}): do it before `orchestrator deploy`, "
                "and give an image as image: in job_variables"
            )
        output = run(given)
        if given.get("id"):
            outputs[str(given["id"])] = output
    return outputs


def filled_in(value: Any, outputs: Mapping[str, Mapping[str, str]]) -> Any:
    """A value with ``{{ $VARIABLE }}`` and ``{{ step.output }}`` filled in, in all of its parts.

    Raises:
        ConfigurationError: something in it is not there.

    >>> filled_in({"tags": ["{{ build.stdout }}", "etl"]}, {"build": {"stdout": "1.2"}})
    {'tags': ['1.2', 'etl']}
    """
    if isinstance(value, Mapping):
        return {key: filled_in(part, outputs) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, outputs) for part in value]
    return _PLACE.sub(lambda found: _meaning(found[1], outputs), value) if isinstance(value, str) else value


def _meaning(place: str, outputs: Mapping[str, Mapping[str, str]]) -> str:
    if place.startswith("$"):
        return os.environ.get(place[1:], "")
    step, _, output = place.partition(".")
    found = outputs.get(step, {}).get(output)
    if found is None:
        raise ConfigurationError(
            f"{{{{ {place} }}}} cannot be filled in: it is neither {{{{ $NAME }}}} nor an output of a step with an id"
        )
    return found


def _run_shell_script(given: Mapping[str, Any]) -> dict[str, str]:
    script = given.get("script")
    if not isinstance(script, str):
        raise ConfigurationError(f"the step run_shell_script needs a script, not {script!r}")
    environment = {name: str(value) for name, value in (given.get("env") or {}).items()}
    try:
        ran = subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=given.get("directory"),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ConfigurationError(f"the script of a step cannot be run: {error}") from None
    if ran.returncode:
        raise ConfigurationError(f"the script of a step ended with code {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return {"stdout": ran.stdout.strip(), "stderr": ran.stderr.strip()}


def _pip_install_requirements(given: Mapping[str, Any]) -> dict[str, str]:
    file = str(given.get("requirements_file") or "requirements.txt")
    command = [sys.executable, "-m", "pip", "install", "-r", file]
    ran = subprocess.run(command, cwd=given.get("directory"), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ConfigurationError(f"pip install -r {file} failed: {ran.stderr.strip()[-500:]}")
    return {"stdout": ran.stdout.strip(), "stderr": ran.stderr.strip()}


_STEPS: Final = {"run_shell_script": _run_shell_script, "pip_install_requirements": _pip_install_requirements}
