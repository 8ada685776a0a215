"""A log-in at a registry for one container: docker's own configuration of this user does not learn of it."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from orchestrator.deployments.command_words import operand
from orchestrator.errors import ConfigurationError
from task_workers.infrastructure.base import InfrastructureError

VARIABLE: Final = "DOCKER_CONFIG"
HUB: Final = "https://index.docker.io/v1/"
_FILE: Final = "config.json"
_STORES: Final = ("credsStore", "credHelpers")  # they would keep it for everybody
_NO_FOLDER: Final = "no folder for the log-in at the registry can be made"
_WHERE: Final = "the job variable 'registry_credentials'"


class Credentials(NamedTuple):
    """What a registry asks for.

    Attributes:
        username, password: both are needed.
        registry: empty: Docker Hub.
    """

    username: str
    password: str
    registry: str = ""

    @property
    def arguments(self) -> list[str]:
        """Of ``docker``; the password is not among them."""
        where = ["--", self.registry] if self.registry else []
        return ["login", "--username", self.username, "--password-stdin", *where]


def credentials_of(given: Any) -> Credentials | None:
    """Those of a job variable; ``None`` where there are none.

    Raises:
        ConfigurationError: one of them is missing, or the address of the registry would be an option.

    >>> credentials_of({"username": "me", "password": "s3cret"}).arguments
    ['login', '--username', 'me', '--password-stdin']
    """
    if not given:
        return None
    table = given if isinstance(given, dict) else {}
    user, password = table.get("username"), table.get("password")
    if not user or not password:
        raise ConfigurationError(f"{_WHERE} needs 'username' and 'password'")
    return Credentials(str(user), str(password), operand(f"{_WHERE}['registry_url']", table.get("registry_url") or ""))


@contextmanager
def folder_for(credentials: Credentials) -> Iterator[Path]:
    """A folder for ``DOCKER_CONFIG``, as long as the block lasts; only this user can read it.

    All of the user's own configuration is in it (contexts, plugins, certificates, registries) but programs that keep
    credentials: with one of them a log-in would be there for everybody.

    Raises:
        InfrastructureError: it cannot be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="orchestrator-docker-", ignore_cleanup_errors=True)
    except OSError as error:
        raise InfrastructureError(f"{_NO_FOLDER}: {error}") from None
    with made as name:
        try:
            _fill(Path(name), _own_folder(), credentials)
        except OSError as error:
            raise InfrastructureError(f"{_NO_FOLDER}: {error}") from None
        yield Path(name)


def _own_folder() -> Path | None:
    given = os.environ.get(VARIABLE)
    found = Path(given) if given else Path(os.path.expanduser("~")) / ".docker"
    return found.absolute() if os.access(found, os.R_OK | os.X_OK) and found.is_dir() else None


def _fill(folder: Path, own: Path | None, credentials: Credentials) -> None:
    for one in own.iterdir() if own is not None else ():
        if one.name != _FILE:
            (folder / one.name).symlink_to(one)
    kept = _read(own / _FILE) if own is not None else {}
    encoded = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    registries = kept.get("auths") if isinstance(kept.get("auths"), dict) else {}
    # docker chooses a store of the system by itself where its configuration knows no registry, so it knows this one
    kept["auths"] = {**(registries or {}), credentials.registry or HUB: {"auth": encoded}}
    file = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as writer:
        json.dump({name: value for name, value in kept.items() if name not in _STORES}, writer)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
