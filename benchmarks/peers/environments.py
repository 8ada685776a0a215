"""An environment for each peer: made when it is first needed, and used again until its row here changes.

A peer of PyPI has a virtual environment, one of npm a folder with its ``node_modules``. ``python -m
benchmarks.peers.environments`` makes all of them and prints what is installed. Another peer is another row in
:data:`PEERS` and a file ``speed/apps/on_<name>.py``, or ``.mjs`` (and for the faults one in ``peers/apps``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / ".venv-peers"
READY: Final = "ready"
CLIENT: Final = ("redis==8.1.0", "hiredis==3.5.0")
"""The Redis client of every peer that can work with it: the one that we use, and its parser in C."""


class Peer(NamedTuple):
    """One row: a task queue.

    Attributes:
        name: in results and commands.
        title: for people.
        requirements: what is installed, each with its exact version, the queue itself first.
        kind: who installs it: ``pip``, or ``npm`` for a queue of Node.
    """

    name: str
    title: str
    requirements: tuple[str, ...]
    kind: Literal["pip", "npm"] = "pip"

    @property
    def pins(self) -> dict[str, str]:
        """What is asked for, name and version.

        >>> Peer("a", "A", ("kombu[redis]==5.7.0",)).pins, Peer("b", "B", ("@b/queue@1.2.3",), "npm").pins
        ({'kombu': '5.7.0'}, {'@b/queue': '1.2.3'})
        """
        sign = "==" if self.kind == "pip" else "@"
        parts = (requirement.rpartition(sign) for requirement in self.requirements)
        return {name.partition("[")[0]: version for name, _, version in parts}


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer("celery", "Celery", ("celery==5.7.0", "kombu[redis]==5.7.0", *CLIENT)),
        Peer("dramatiq", "Dramatiq", ("dramatiq==2.2.1", *CLIENT)),
        Peer("rq", "RQ", ("rq==3.0.0", *CLIENT)),
        Peer("taskiq", "taskiq", ("taskiq==0.13.0", "taskiq-redis==1.2.4", *CLIENT)),
        Peer("arq", "arq", ("arq==0.28.0", "redis==5.3.1", CLIENT[1])),  # it demands redis<6
        Peer("saq", "SAQ", ("saq==0.26.4", "typing-extensions==4.16.0", "redis==7.4.1", CLIENT[1])),  # redis<8
        Peer("huey", "Huey", ("huey==3.5.4", *CLIENT)),
        Peer("docket", "docket", ("pydocket==0.27.0", *CLIENT)),
        Peer("bullmq", "BullMQ", ("bullmq@6.7.0", "ioredis@6.0.0"), "npm"),
    )
}
FAULTS_ASKED: Final = ("celery", "dramatiq", "rq", "taskiq")
"""Those to which ``peers.faults`` puts its questions; ``benchmarks.speed`` measures all."""


def missing_for(peer: Peer) -> str:
    """What this machine lacks for it, in words; empty if nothing."""
    lacking = [program for program in ("node", "npm") if peer.kind == "npm" and not shutil.which(program)]
    return f"{' and '.join(lacking)} not found on this machine" if lacking else ""


def folder_of(peer: Peer) -> Path:
    """Where its environment is; another requirement, or another Python or Node, is another folder.

    >>> folder_of(PEERS["rq"]) == folder_of(PEERS["rq"]._replace(requirements=("rq==0.1",)))
    False
    """
    runs_on = sys.version if peer.kind == "pip" else node_version()
    what = json.dumps([runs_on, peer.requirements])
    return FOLDER / f"{peer.name}-{hashlib.sha256(what.encode()).hexdigest()[:10]}"


def node_version() -> str:
    """Of the Node that is found first, like ``20.1.0``."""
    return subprocess.check_output([_program("node"), "--version"], text=True).strip().removeprefix("v")


def environment_of(peer: Peer) -> Path:
    """The folder of its environment, which is made now if it is not there yet.

    Raises:
        RuntimeError: it could not be made; the message is the installer's, or says which program is missing.
    """
    folder = folder_of(peer)
    with _one_at_a_time(peer):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)  # one that was begun and not finished
            _make(folder, peer)
            (folder / READY).touch()
    return folder


def interpreter_of(peer: Peer) -> Path:
    """What runs its programs: the Python of its environment, which is made now if it is not there yet, or Node.

    Raises:
        RuntimeError: see :func:`environment_of`.
    """
    folder = environment_of(peer)
    return folder / "bin" / "python" if peer.kind == "pip" else Path(_program("node"))


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is not on the PATH; the peers that run on it are left out without it")
    return found


@contextmanager
def _one_at_a_time(peer: Peer) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{peer.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, peer: Peer) -> None:
    if peer.kind == "npm":
        folder.mkdir()
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        _run(_program("npm"), "install", "--prefix", str(folder), "--save-exact", *quiet, *peer.requirements)
        return
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", python, *peer.requirements)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")


def versions_of(peer: Peer) -> dict[str, str]:
    """Everything that is installed for it, by name; makes its environment if it is not there yet."""
    folder = environment_of(peer)
    if peer.kind == "npm":
        told = json.loads((folder / "package-lock.json").read_text())["packages"]
        installed = {place.rpartition("node_modules/")[2]: facts["version"] for place, facts in told.items() if place}
        return {"node": node_version(), **installed}
    ask = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found: dict[str, str] = json.loads(subprocess.check_output([str(interpreter_of(peer)), "-c", ask], text=True))
    return {normal(name): version for name, version in found.items()}


def normal(name: str) -> str:
    """A project's name as PyPI compares names.

    >>> normal("typing_extensions"), normal("Taskiq.Redis")
    ('typing-extensions', 'taskiq-redis')
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Make them all."""
    for peer in PEERS.values():
        if lacking := missing_for(peer):
            print(f"{peer.title:<10} left out: {lacking}")
            continue
        installed = versions_of(peer)
        print(f"{peer.title:<10} {folder_of(peer).name}: {', '.join(f'{n} {installed[n]}' for n in peer.pins)}")


if __name__ == "__main__":
    main()
