"""Images that have a flow's code, built and pushed with docker's command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.deployments.command_words import operand, option
from orchestrator.errors import ConfigurationError

AUTO: Final = "auto"
BASE_IMAGE: Final = "orchestrator:latest"
FOLDER: Final = "/opt/flows"
LAST_LINES: Final = 15
_OPTIONS: Final = {"buildargs": "build-arg", "nocache": "no-cache", "labels": "label", "network_mode": "network"}


@dataclass(frozen=True)
class DockerImage:
    """An image that has a flow's code. Follows Prefect 3 (``prefect.docker.DockerImage``).

    Args:
        name: with a registry, if it is to be pushed.
        tag: ``latest`` unless given here or in the name.
        dockerfile: its path; ``auto``: one that copies this folder into ``base_image`` and installs its
            ``requirements.txt``, if there is one.
        build_kwargs: options of ``docker build``: ``buildargs``, ``platform``, ``nocache``, ...; ``path`` is the folder
            that is sent, the current one unless given.
        base_image: has this package; see the ``Dockerfile`` of the project.

    >>> DockerImage("shop/etl", tag="1.2").reference
    'shop/etl:1.2'
    """

    name: str
    tag: str | None = None
    dockerfile: str = AUTO
    build_kwargs: Mapping[str, Any] = field(default_factory=dict)
    base_image: str = BASE_IMAGE

    @property
    def reference(self) -> str:
        """``name:tag``. Raises ConfigurationError: it begins with a dash."""
        operand("the name of an image", self.name)
        has_tag = ":" in self.name.rpartition("/")[2]  # a colon before it is that of a port
        return self.name if has_tag or "@" in self.name else f"{self.name}:{self.tag or 'latest'}"

    def build(self) -> None:
        """Build it here. Raises ConfigurationError: docker is not here, or says why it cannot be built."""
        kwargs = dict(self.build_kwargs)
        folder = Path(str(kwargs.pop("path", None) or Path.cwd())).absolute()  # no name of a folder is an option
        words = ["build", "--tag", self.reference, *_options(kwargs)]
        if self.dockerfile == AUTO:
            text = auto_dockerfile(self.base_image, (folder / "requirements.txt").is_file())
            _docker([*words, "--file", "-", str(folder)], f"the image {self.reference!r} cannot be built", text)
        else:
            file = Path(self.dockerfile).absolute()
            if not file.is_file():
                raise ConfigurationError(f"the image {self.reference!r} cannot be built: there is no file {file}")
            _docker([*words, "--file", str(file), str(folder)], f"the image {self.reference!r} cannot be built")

    def push(self) -> None:
        """Push it. Raises ConfigurationError: docker says why it cannot be pushed."""
        _docker(["push", self.reference], f"the image {self.reference!r} cannot be pushed")


def auto_dockerfile(base_image: str, with_requirements: bool) -> str:
    """What is built where nobody has written a Dockerfile.

    >>> print(auto_dockerfile("orchestrator:latest", False))
    FROM orchestrator:latest
    COPY . /opt/flows
    WORKDIR /opt/flows
    <BLANKLINE>
    """
    lines = [f"FROM {base_image}"]
    if with_requirements:
        lines += ["USER root", "COPY requirements.txt /tmp/requirements.txt"]
        lines += ["RUN python -m pip install --no-cache-dir -r /tmp/requirements.txt", "USER 10001:10001"]
    return "\n".join([*lines, f"COPY . {FOLDER}", f"WORKDIR {FOLDER}", ""])


def _options(kwargs: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in kwargs.items():
        given = option("build_kwargs", _OPTIONS.get(name, name))
        if isinstance(value, Mapping):
            words += [word for key, part in value.items() for word in (given, f"{key}={part}")]
        elif value is True:
            words.append(given)
        elif value is not None and value is not False:
            words += [given, str(value)]
    return words


def _docker(words: Sequence[str], trouble: str, text: str | None = None) -> None:
    """Run it; its output is the user's to see. It takes as long as it takes."""
    program = shutil.which("docker")
    if program is None:
        raise ConfigurationError(
            f"{trouble}: there is no docker on PATH. Build and push it elsewhere, then deploy with build=False"
        )
    stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text.encode()}
    done = subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ, **stdin)
    if done.returncode:
        last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
        raise ConfigurationError(f"{trouble}: docker {words[0]} ended with {done.returncode}:\n" + "\n".join(last))
