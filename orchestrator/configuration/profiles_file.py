"""The file of the profiles: found, read once while it stays as it is, and changed by one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.configuration.profiles import Profiles, parse, written
from orchestrator.errors import ConfigurationError

PATH_VARIABLE: Final = "ORCHESTRATOR_PROFILES_PATH"
NAME: Final = "profiles.toml"
_read: dict[str, tuple[tuple[int, int, int], Profiles]] = {}


def path() -> Path | None:
    """Where it is, or would be; ``None`` for a user without a home folder."""
    if given := os.environ.get(PATH_VARIABLE):
        return Path(given)
    if configured := os.environ.get("XDG_CONFIG_HOME"):
        return Path(configured) / "orchestrator" / NAME
    with suppress(RuntimeError):
        return Path.home() / ".config" / "orchestrator" / NAME
    return None


def read() -> Profiles | None:
    """The profiles; ``None`` where there is no file.

    Raises:
        ConfigurationError: it is damaged, or cannot be read.
    """
    file = path()
    if file is None:
        return None
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if PATH_VARIABLE not in os.environ:  # the home folder is another user's, as for a container's own user
            return None
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    state = (found.st_mtime_ns, found.st_size, found.st_ino)
    known = _read.get(str(file))
    if known is None or known[0] != state:
        known = _read[str(file)] = (state, _parsed(file))
    return known[1]


def _parsed(file: Path) -> Profiles:
    try:
        return parse(file.read_text("utf-8"), str(file))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is damaged: it is no text in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None


def change(edit: Callable[[Profiles], Profiles]) -> Profiles:
    """Write what ``edit`` makes of the profiles, whole or not at all; of two writers one waits for the other.

    The file is the user's alone (0600): profiles may have keys.

    Raises:
        ConfigurationError: it is damaged, or cannot be written; and what ``edit`` raises.
    """
    file = path()
    if file is None:
        raise ConfigurationError(f"this user has no home folder: name a file in {PATH_VARIABLE}")
    try:
        file = Path(os.path.realpath(file))  # a link stays one
        if file.exists() and not file.is_file():
            raise ConfigurationError(f"{PATH_VARIABLE}: {file} is no file, so no profile can be written")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(file):
            after = edit(_parsed(file) if file.exists() else Profiles())
            _replace(file, written(after))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    _read.clear()
    return after


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    import fcntl

    handle = os.open(f"{file}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(file: Path, text: str) -> None:
    import tempfile

    handle, made = tempfile.mkstemp(prefix=f".{NAME}.", dir=file.parent)  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(made, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(made)
        raise
