"""Git repositories that have the code of flows: which, at which commit, and a folder with it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.errors import ConfigurationError

CLONE_SECONDS: Final = 300.0
_CREDENTIALS: Final = re.compile(r"//[^/@\s]+@")
_USERS: Final = {"gitlab": "oauth2", "bitbucket": "x-token-auth"}  # by a part of the host: whom a token belongs to
ANY_USER: Final = "x-access-token"
_TOKENS: Final = ("access_token", "token", "password", "value")


@dataclass(frozen=True)
class GitRepository:
    """A git repository with the code of flows: ``flow.from_source(GitRepository(url, branch="main"), "etl.py:load")``.

    Args:
        url: https, ssh, file or what else git takes.
        credentials: for https: a table or a block with ``access_token`` (or ``token``, ``password``) and perhaps
            ``username``, or a Secret block that is the token. Given to git in its environment, and written nowhere.
        name, pull_interval: accepted; code is fetched when it is asked for.
        branch: or tag; the repository's own unless given.
        commit_sha: that very commit. Not beside a branch.
        include_submodules: fetch them as well.

    Raises:
        ValueError: a branch and a commit, one that begins with a dash, credentials without a token or for another URL
            than https, or a user without a password.

    >>> GitRepository("https://host/org/shop.git", credentials={"access_token": "s3cret"}, branch="v1")
    GitRepository(url='https://host/org/shop.git', branch='v1')

    Follows Prefect 3 (``prefect.runner.storage.GitRepository``).
    """

    url: str
    credentials: Any = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    branch: str | None = None
    include_submodules: bool = field(default=False, repr=False)
    pull_interval: int | None = field(default=60, repr=False)
    commit_sha: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.branch and self.commit_sha:
            raise ValueError(f"branch={self.branch!r} and commit_sha={self.commit_sha!r}: give one of them")
        for name in ("url", "branch", "commit_sha"):
            if (getattr(self, name) or "").startswith("-"):
                raise ValueError(f"{name}={getattr(self, name)!r} begins with a dash, as an option of git does")
        self.environment()

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name in ("branch", "commit_sha") if (value := getattr(self, name))]
        return f"GitRepository({', '.join([f'url={shown(self.url)!r}', *given])})"

    def environment(self) -> dict[str, str]:
        """The credentials as variables for git: in its arguments others would see them."""
        if self.credentials is None:
            return {}
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https"):
            raise ValueError(f"credentials of {shown(self.url)}: they are for https URLs; ssh has keys of its own")
        login = base64.b64encode(_login(self.credentials, address.netloc).encode()).decode()
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{address.scheme}://{address.netloc}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
        }

    def fetch(self) -> Path:
        """A folder with its code as it is now; made anew when its branch has moved. Raises ConfigurationError."""
        home = folder_of_sources()
        wanted = self.commit_sha or self.branch
        commit = (
            self.commit_sha or self._git("ls-remote", self.url, wanted or "HEAD").split("\t")[0] or wanted or "HEAD"
        )
        with_modules = "\0submodules" if self.include_submodules else ""
        folder = home / hashlib.sha256(f"{self.url}\0{commit}{with_modules}".encode()).hexdigest()[:20]
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=home) as made:
            self._git("clone", "--quiet", self.url, f"{made}/clone")
            self._git("-C", f"{made}/clone", "checkout", "--quiet", "--detach", commit)
            if self.include_submodules:
                self._git("-C", f"{made}/clone", "submodule", "--quiet", "update", "--init", "--recursive")
            try:
                Path(made, "clone").rename(folder)
            except OSError:  # another process was quicker
                if not folder.is_dir():
                    raise
        return folder

    def _git(self, *words: str) -> str:
        environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"} | self.environment()
        try:
            ran = subprocess.run(
                ["git", *words], capture_output=True, text=True, timeout=CLONE_SECONDS, env=environment, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigurationError(f"{shown(self.url)} cannot be cloned: {shown(str(error))}") from None
        if ran.returncode:
            raise ConfigurationError(f"{shown(self.url)} cannot be cloned: {shown(ran.stderr.strip()[-500:])}")
        return ran.stdout


def folder_of_sources() -> Path:
    """Where fetched code of this user is. Raises ConfigurationError."""
    home = Path(tempfile.gettempdir()) / f"orchestrator-sources-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.lstat().st_uid != os.getuid():  # whoever made it could put code into it that runs here
        raise ConfigurationError(f"{home} belongs to somebody else: no code is fetched into it; delete it")
    return home


def shown(text: str) -> str:
    """A text in which URLs have no user or password.

    >>> shown("https://me:s3cret@host/shop.git")
    'https://***@host/shop.git'
    """
    return _CREDENTIALS.sub("//***@", text)


def _login(credentials: Any, host: str) -> str:
    """``user:token``, as the hosts of repositories want it. Raises ValueError: there is no token."""
    if isinstance(credentials, Mapping):
        parts: Mapping[str, Any] = credentials
    elif hasattr(type(credentials), "model_fields"):
        parts = {name: getattr(credentials, name) for name in type(credentials).model_fields}
    else:
        parts = {"token": credentials}
    found = {name: opened(parts[name]) for name in (*_TOKENS, "username") if parts.get(name) is not None}
    token = next((str(found[name]) for name in _TOKENS if found.get(name)), "")
    if not token:
        raise ValueError(f"credentials for {host} have no access_token, token or password")
    if "username" in found:
        return f"{found['username']}:{token}"
    if ":" in token:  # with its user
        return token
    return f"{next((user for part, user in _USERS.items() if part in host), ANY_USER)}:{token}"


def opened(value: Any) -> Any:
    """A secret as it is: pydantic's, or one in a block."""
    value = getattr(value, "value", value)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
