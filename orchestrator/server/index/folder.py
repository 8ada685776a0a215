"""The folder of an index: temporary, locked while its process lives; a later process removes those of killed ones."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "orchestrator-index-"
_LOCK: Final = "lock"


def new_folder() -> tuple[Path, int]:
    """A folder for this user's eyes only, and the open file whose lock says that it is in use."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, lock


def remove(folder: str, lock: int) -> None:
    """Remove a folder that is not used any more."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def sweep(parent: Path) -> None:
    """Remove this user's folders whose processes were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # it is being made, or is gone
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # a live process has locked it
            pass
        finally:
            os.close(lock)
