"""A virtual environment for each peer: made when it is first needed, and used again until its row here changes.

``python -m benchmarks.peers.environments`` makes all of them and prints what is installed. Another peer is another row
in :data:`PEERS` and a file ``speed/apps/on_<name>.py`` (and for the faults one in ``peers/apps``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / ".venv-peers"
READY: Final = "ready"
CLIENT: Final = ("redis==8.1.0", "hiredis==3.5.0")
"""The Redis client of every peer that can work with it: the one that we use, and its parser in C."""


class Peer(NamedTuple):
    """One row: a task queue that PyPI gives."""

    name: str
    title: str
    requirements: tuple[str, ...]


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
    )
}
FAULTS_ASKED: Final = ("celery", "dramatiq", "rq", "taskiq")
"""Those to which ``peers.faults`` puts its questions; ``benchmarks.speed`` measures all."""


def folder_of(peer: Peer) -> Path:
    """Where its environment is; another requirement or another Python is another folder.

    >>> folder_of(PEERS["rq"]) == folder_of(PEERS["rq"]._replace(requirements=("rq==0.1",)))
    False
    """
    what = json.dumps([sys.version, peer.requirements])
    return FOLDER / f"{peer.name}-{hashlib.sha256(what.encode()).hexdigest()[:10]}"


def interpreter_of(peer: Peer) -> Path:
    """The Python of its environment, which is made now if it is not there yet.

    Raises:
        RuntimeError: it could not be made; the message is the installer's.
    """
    folder = folder_of(peer)
    with _one_at_a_time(peer):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)  # one that was begun and not finished
            _make(folder, peer.requirements)
            (folder / READY).touch()
    return folder / "bin" / "python"


@contextmanager
def _one_at_a_time(peer: Peer) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{peer.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", python, *requirements)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")


def versions_in(interpreter: Path) -> dict[str, str]:
    """Everything that is installed there, by name."""
    ask = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found: dict[str, str] = json.loads(subprocess.check_output([str(interpreter), "-c", ask], text=True))
    return found


def main() -> None:
    """Make them all."""
    for peer in PEERS.values():
        interpreter = interpreter_of(peer)
        installed = versions_in(interpreter)
        named = (requirement.partition("==")[0].partition("[")[0] for requirement in peer.requirements)
        print(f"{peer.title:<10} {interpreter.parents[1].name}: {', '.join(f'{n} {installed[n]}' for n in named)}")


if __name__ == "__main__":
    main()
