"""Code of flows in a bucket, or whatever else fsspec reaches: where, and a folder with it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.deployments.git_repository import folder_of_sources, opened, shown
from orchestrator.errors import ConfigurationError
from orchestrator.filesystems import RemoteFileSystem


@dataclass(frozen=True)
class LocalStorage:
    """A folder of this machine with the code of flows.

    Args:
        path: of the folder.
        pull_interval: accepted; nothing is copied.

    Follows Prefect 3 (``prefect.runner.storage.LocalStorage``).
    """

    path: str | Path
    pull_interval: int | None = field(default=None, repr=False)

    def fetch(self) -> Path:
        """The folder."""
        return Path(self.path).expanduser()


class RemoteStorage:
    """A folder of code that fsspec reaches: ``flow.from_source(RemoteStorage("s3://bucket/flows"), "etl.py:load")``.

    Args:
        url: where: ``s3://bucket/folder``, ``gcs://``, ``az://``, ``sftp://``.
        pull_interval: accepted; the code is fetched when the source is asked for it.
        settings: arguments of the protocol's file system, such as ``key`` and ``secret``; secrets and blocks, too.

    Needs ``pip install 'orchestrator[storage]'``, and the package of the protocol.

    Raises:
        ValueError: an address that is none.

    >>> RemoteStorage("s3://bucket/flows", key="k", secret="s3cret")
    RemoteStorage(url='s3://bucket/flows')

    Follows Prefect 3 (``prefect.runner.storage.RemoteStorage``).
    """

    def __init__(self, url: str, pull_interval: int | None = 60, **settings: Any) -> None:
        self.url, self.pull_interval = url, pull_interval
        given = {name: opened(value) for name, value in settings.items()}
        try:
            self._files: Any = RemoteFileSystem(basepath=url, settings=given)
        except ValueError:  # its text has what was given, secrets included
            raise ValueError("the url of RemoteStorage is no address such as s3://bucket/folder") from None

    def __repr__(self) -> str:
        return f"RemoteStorage(url={shown(self.url)!r})"

    def fetch(self) -> Path:
        """A folder with the code as it is now, the same one while it does not change. Raises ConfigurationError."""
        home = folder_of_sources()
        with tempfile.TemporaryDirectory(dir=home) as made:
            code = Path(made, "code")
            code.mkdir()
            try:
                self._files.get_directory(local_path=str(code), _sync=True)
            except ConfigurationError:
                raise
            except Exception as error:  # whatever its protocol raises
                shown_error = shown(f"{type(error).__name__}: {error}")
                raise ConfigurationError(f"{shown(self.url)} cannot be fetched: {shown_error}") from None
            folder = home / _digest(self.url, code)
            try:
                code.rename(folder)
            except OSError:  # it is there already
                if not folder.is_dir():
                    raise
        return folder


def _digest(url: str, folder: Path) -> str:
    digest = hashlib.sha256(url.encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = file.relative_to(folder).as_posix().encode(), file.read_bytes()
        digest.update(b"\0%d\0%s\0%d\0%s" % (len(name), name, len(content), content))
    return digest.hexdigest()[:20]
