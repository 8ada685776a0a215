"""Flows whose code is elsewhere: in a folder, in a git repository, which is cloned, or where fsspec reaches it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from orchestrator.deployments.git_repository import GitRepository
from orchestrator.deployments.remote_storage import LocalStorage, RemoteStorage
from orchestrator.errors import MissingFlowError
from orchestrator.runnables.module_loading import object_of
from orchestrator.runnables.runnable import Runnable

_URL: Final = re.compile(r"^(https?://|ssh://|git://|file://|git@)|\.git$")
_OTHER_URL: Final = re.compile(r"^[a-z][a-z0-9+.-]+://")


def flow_from_source(source: Any, entrypoint: str) -> Any:
    """A flow of a folder, or of a git repository: ``https://...``, with ``@branch``, tag or commit at the end.

    Args:
        source: a path, the URL of a repository, a GitRepository, or what fsspec reaches: a URL, or a RemoteStorage.
        entrypoint: ``path/in/it.py:function``, or ``module.in.it.function``.

    Raises:
        MissingFlowError: there is no such folder, file or flow. ScriptError: the file raised an exception.
        ConfigurationError: the repository cannot be cloned, or the folder not fetched.

    Follows Prefect 3 (``Flow.from_source``).
    """
    folder = _folder_of(source)
    if not folder.is_dir():
        raise MissingFlowError(f"there is no folder {str(folder)!r}")
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    place, _, function = entrypoint.rpartition(":")
    found = object_of(f"{folder / place}:{function}" if place.endswith(".py") else entrypoint)
    if not isinstance(found, Runnable) or found.noun != "flow":
        raise MissingFlowError(f"{entrypoint!r} is {found!r}, which is no flow")
    return found


def _folder_of(source: Any) -> Path:
    if isinstance(source, GitRepository | RemoteStorage | LocalStorage):
        return source.fetch()
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    if not text:
        raise TypeError(
            f"source={source!r}: give the path of a folder, the URL of a git repository or a bucket, or a "
            "GitRepository or RemoteStorage of orchestrator.runner.storage"
        )
    if _URL.search(text.partition("@")[0] if "://" not in text else text):
        address, reference = _with_reference(text)
        return GitRepository(address, branch=reference or None).fetch()
    if _OTHER_URL.search(text):
        return RemoteStorage(text).fetch()
    return Path(text)


def _with_reference(url: str) -> tuple[str, str]:
    """A URL without what follows its last ``@``, and that; the ``@`` of a user stays.

    >>> _with_reference("https://me@host/shop.git@v1"), _with_reference("git@host:shop.git")
    (('https://me@host/shop.git', 'v1'), ('git@host:shop.git', ''))
    """
    head, at, tail = url.rpartition("@")
    if at and "/" in head and ":" not in tail and not head.endswith("/") and "/" not in tail:
        return head, tail
    return url, ""
