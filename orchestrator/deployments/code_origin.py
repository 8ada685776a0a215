"""Where the code of a flow is now: module or file, digest of the source files, commit."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from orchestrator.deployments.code_snapshots import SourceFiles
from orchestrator.deployments.versions import Version
from orchestrator.errors import ConfigurationError
from orchestrator.runnables.code_places import place_of
from orchestrator.runnables.identity import qualname_of

GIT_SECONDS: Final = 5.0
_CREDENTIALS: Final = re.compile(r"^(https?://)[^/\s]*@")  # a runner of CI clones with its token in the URL


def origin_of(flow: Any) -> tuple[Version, SourceFiles | None]:
    """What a version of a flow has of its code, without a number; and the source files, if there are any.

    Raises:
        ConfigurationError: the flow is inside a function, where no other process finds it.
    """
    fn = inspect.unwrap(flow.fn)
    function, place = qualname_of(fn), place_of(flow.fn)
    if place is None:
        return Version(0, function=function, isasync=flow.isasync), None
    if "<locals>" in function or "<lambda>" in function:
        raise ConfigurationError(
            f"the flow {flow.name!r} is defined inside {function.partition('.<locals>')[0]}(): the process that runs "
            "it would not find it there; define it at the top of its module"
        )
    file = os.path.realpath(fn.__globals__["__file__"])
    files = _files_around(file)
    commit, repository = git_commit(Path(file).parent) if files is not None else ("", "")
    origin = Version(
        0,
        place=place,
        function=function,
        file=file,
        root=str(files.root) if files is not None else "",
        digest=files.digest if files is not None else "",
        commit=commit,
        repository=repository,
        isasync=flow.isasync,
    )
    return origin, files


def _files_around(file: str) -> SourceFiles | None:
    try:
        return SourceFiles.around(file)
    except (OSError, ConfigurationError):  # inside an archive
        return None


def git_commit(folder: Path) -> tuple[str, str]:
    """The commit that a folder is checked out at and the URL of its origin; empty where it has changed since.

    A user and a password in the URL are left out: many people see it.
    """
    try:
        if _git(folder, "status", "--porcelain", "--untracked-files=normal", "."):
            return "", ""
        repository = _git(folder, "config", "--get", "remote.origin.url", may_fail=True)
        return _git(folder, "rev-parse", "HEAD"), _CREDENTIALS.sub(r"\1", repository)
    except (OSError, subprocess.SubprocessError):  # no git, no work tree, a large one on a slow disk
        return "", ""


def _git(folder: Path, *words: str, may_fail: bool = False) -> str:
    ran = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
        check=not may_fail,
        stdin=subprocess.DEVNULL,
    )
    return ran.stdout.strip()
