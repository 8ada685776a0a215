"""The flow of a deployment, loaded where its run is: from where it is written, or from what a version has kept."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from orchestrator.deployments.code_snapshots import SourceFiles, unpack
from orchestrator.deployments.versions import Version
from orchestrator.errors import ConfigurationError, MissingFlowError
from orchestrator.runnables.identity import MAIN
from orchestrator.runnables.module_loading import module_of_file, named_in, object_of
from orchestrator.runnables.runnable import Runnable

log = logging.getLogger("orchestrator.deployments")
_lock: Final = threading.RLock()
_here: Final[dict[str, Any]] = {}  # deployment -> its flow, where that is in no file
_digests: Final[dict[str, str]] = {}  # file of a module -> digest of the source files when this process had it

_archives: Final[set[str]] = set()  # folders with files that versions have kept, from which modules are loaded now


def keep_here(deployment_id: str, flow: Any) -> None:
    """Its flow was typed into a shell or notebook: only this process has it."""
    _here[deployment_id] = flow


def note_loaded(file: str) -> None:
    """A module of this file is loaded now: what it is, should the file change later."""
    if file not in _digests and (files := _files_around(file)) is not None:
        _digests[file] = files.digest


def flow_of(
    deployment_id: str, flow_name: str, version: Version, *, is_current: bool, snapshot: Callable[[], bytes | None]
) -> Any:
    """The flow of a version of a deployment.

    Args:
        deployment_id, flow_name: of the deployment.
        version: where its code is.
        is_current: it is the one that runs where nobody asks for another: if its code is not kept, that of today is
            taken for it.
        snapshot: reads what is kept of its code.

    Raises:
        MissingFlowError: its code is gone, or is no flow. ScriptError: it raised an exception.
    """
    if version.place is None:
        found = _here.get(deployment_id)
        if found is None:
            raise MissingFlowError(
                f"the flow of {version.deployment_name!r} was typed into a shell or a notebook, and this is another "
                "process: serve it where it was typed in, or write it into a file"
            )
    else:
        with _lock:
            found = _load(version, is_current, snapshot)
    if not isinstance(found, Runnable) or found.noun != "flow":
        raise MissingFlowError(f"{version.entrypoint!r} is {found!r}, which is no flow")
    return found if found.name == flow_name else found.with_options(name=flow_name)


def _files_around(file: str) -> SourceFiles | None:
    try:
        return SourceFiles.around(file)
    except (OSError, ConfigurationError):
        return None


def digest_of(file: str) -> str:
    """The digest of the source files around a file; empty where they cannot be read."""
    files = _files_around(file)
    return files.digest if files is not None else ""


def _load(version: Version, is_current: bool, snapshot: Callable[[], bytes | None]) -> Any:
    if not version.digest or _digests.get(version.file) == version.digest:
        return object_of(version.entrypoint)
    now = _files_around(version.file)
    if now is not None and now.digest == version.digest:
        _leave_archives()
        if version.file in _digests:  # as it was before it was changed
            _forget_modules(version, now.contents)
        _digests[version.file] = now.digest
        return object_of(version.entrypoint)
    archive = snapshot() if version.has_snapshot else None
    _leave_archives()
    if archive is not None:
        return _from_archive(version, archive)
    if (in_image := _of_image(version)) is not None:
        return in_image
    if not is_current or not Path(version.file).is_file():
        raise MissingFlowError(
            f"the code of version {version.number} of {version.deployment_name!r} is gone: {version.file} is not as it "
            "was then, and was too large to be kept"
        )
    log.warning(
        "%s has changed since version %d of %r was deployed: today's code runs; deploy it to have a version of it",
        version.file,
        version.number,
        version.deployment_name,
    )
    return object_of(version.entrypoint)


def _from_archive(version: Version, archive: bytes) -> Any:
    try:
        folder = unpack(archive, version.digest)
    except Exception as error:  # foreign bytes, or a full disk
        raise MissingFlowError(
            f"the kept files of version {version.number} of {version.deployment_name!r} cannot be unpacked: {error}"
        ) from error
    file = Path(version.file).relative_to(version.root)
    _forget_modules(version, [path.relative_to(folder) for path in folder.rglob("*.py")])
    _archives.add(str(folder))
    sys.path.insert(0, str(folder))
    return named_in(module_of_file(folder / file), version.function)


def _of_image(version: Version) -> Any:
    """What an image has in its working directory, at the place that the file had in the project; ``None``: nothing."""
    if not version.image or not version.root or Path(version.file).exists():
        return None
    file = Path.cwd() / os.path.relpath(version.file, version.root)
    if not file.is_file():
        return None
    if version.place is not None and version.place.endswith(".py"):
        return named_in(module_of_file(file), version.function)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return object_of(version.entrypoint)


def _leave_archives() -> None:
    """What was loaded from kept files makes room, under its names and on the path."""
    while _archives:
        folder = _archives.pop()
        sys.path[:] = [place for place in sys.path if place != folder]
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(folder + os.sep):
                del sys.modules[name]


def _forget_modules(version: Version, files: Iterable[Path | str]) -> None:
    """Modules of these files, as other versions had them, make room under their names."""
    _digests.pop(version.file, None)
    gone = {os.path.realpath(Path(version.root, file)) for file in files}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place and name not in MAIN and os.path.realpath(place) in gone:
            del sys.modules[name]
