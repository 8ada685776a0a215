"""The folders of the private server: where its state is kept, where its socket is, the key that signs.

Everything here belongs to one user of the machine and is closed to the others.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

from brokers.errors import EmbeddedServerError

HOME_VARIABLE: Final = "ORCHESTRATOR_HOME"
SECRET_KEY_BYTES: Final = 32

_SECRET_FILE: Final = "secret.key"
_ENCRYPTION_FILE: Final = "encryption.key"
_KEEP: Final = "make it readable by you alone (chmod 600), or bring it back from a backup: secrets need this very key"
_SOCKET_FILE: Final = "server.sock"
_LONGEST_SOCKET_PATH: Final = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS


def default_home() -> Path:
    """The state folder of this user: ``$ORCHESTRATOR_HOME``, else the platform's folder for such things.

    That is ``$XDG_STATE_HOME/orchestrator`` or ``~/.local/state/orchestrator``, and on macOS
    ``~/Library/Application Support/orchestrator``. Nothing is created.

    Raises :class:`~brokers.errors.EmbeddedServerError` if this user has no home folder and none of these is set.

    Example: ``default_home()`` gives ``Path("/home/ann/.local/state/orchestrator")``.
    """
    if asked_for := os.environ.get(HOME_VARIABLE):
        return Path(asked_for).expanduser().absolute()
    try:
        if sys.platform == "darwin":
            return Path("~/Library/Application Support/orchestrator").expanduser()
        state = os.environ.get("XDG_STATE_HOME", "")
        base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    except RuntimeError as error:
        raise EmbeddedServerError(f"this user has no home folder ({error}); set {HOME_VARIABLE} to a folder") from error
    return base / "orchestrator"


def open_home(home: Path) -> Path:
    """Create the state folder if need be (mode 0700) and check that it is ours; returns its real path.

    The real path, so that two names of one folder mean one server.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    real = home.resolve()
    facts = real.stat()
    if facts.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"the folder {real} belongs to user {facts.st_uid}, this process runs as user {os.geteuid()}; "
            f"set {HOME_VARIABLE} to a folder of its own"
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedServerError(f"the folder {real} can be written by other users; run: chmod go-w {str(real)!r}")
    return real


def socket_path(home: Path) -> Path:
    """A path for the server's socket, in a folder (created, 0700, ours) whose name follows from ``home``.

    In ``$XDG_RUNTIME_DIR`` if that can be used, else in the folder for temporary files: the path of a socket is limited
    to about 100 bytes, and ``home`` may be longer than that.
    """
    reasons = []
    for folder in _socket_folders(home):
        path = folder / _SOCKET_FILE
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            reasons.append(f"{path} is longer than {_LONGEST_SOCKET_PATH} bytes")
            continue
        try:
            _make_private(folder)
        except OSError as error:
            reasons.append(str(error))
        else:
            return path
    raise EmbeddedServerError(f"there is no place for the socket of the private server: {'; '.join(reasons)}")


def secret_key(home: Path) -> bytes:
    """The 32 random bytes that sign what this user's processes send to each other; made once, kept in ``home``.

    Any number of processes may ask at the same time: all get the same key.

    Raises :class:`~brokers.errors.EmbeddedServerError` if the file is damaged, or readable by other users.

    Example: ``secret_key(default_home())``.
    """
    return _key(home, _SECRET_FILE, "remove it, a new key will be made")


def private_encryption_key(home: Path) -> bytes:
    """The 32 random bytes that encrypt this user's secrets in the store; kept as that of :func:`secret_key`."""
    return _key(home, _ENCRYPTION_FILE, _KEEP)


def has_encryption_key(home: Path) -> bool:
    """Whether that key has been made."""
    return (home / _ENCRYPTION_FILE).exists()


def _key(home: Path, name: str, advice: str) -> bytes:
    try:
        path = open_home(home) / name
        if not path.exists():
            _create_secret(path)
        with path.open("rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(SECRET_KEY_BYTES + 1)
    except OSError as error:
        raise EmbeddedServerError(f"the key in {home / name} cannot be used: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EmbeddedServerError(f"{path} is open to other users; {advice}")
    if len(key) != SECRET_KEY_BYTES:
        raise EmbeddedServerError(f"{path} has not {SECRET_KEY_BYTES} bytes as it should; {advice}")
    return key


def _create_secret(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link appears complete or not at all, and only the first one does.
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        draft.unlink(missing_ok=True)


def _socket_folders(home: Path) -> list[Path]:
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folders = [Path(runtime, f"orchestrator-{name}")] if os.path.isabs(runtime) else []
    for temporary in (tempfile.gettempdir(), "/tmp"):
        folders.append(Path(temporary, f"orchestrator-{os.geteuid()}-{name}"))
    return folders


def _make_private(folder: Path) -> None:
    """Create the folder, or check that nobody else has put one there under this name."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
            raise PermissionError(f"{folder} is not a folder of user {os.geteuid()}") from None
        folder.chmod(0o700)
