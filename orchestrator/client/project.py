"""The project that a program belongs to: on the private server each project has calls of its own.

Half the world's modules are called ``tasks``: without this, a worker that was started in one folder would run its own
function for a call from another. A project is the nearest folder with ``pyproject.toml`` or ``.git`` above the script,
or above the module that ``-A`` names; without one, the current folder. ``ORCHESTRATOR_PROJECT`` names it instead, and
programs that give the same name share their calls. Servers that somebody has set up (``ORCHESTRATOR_REDIS_URL``) are
shared as ever; there ``ORCHESTRATOR_NAMESPACE`` keeps applications apart.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from orchestrator.configuration.sources import pass_to_children as settings_to_children
from orchestrator.neighbours import PLACE
from orchestrator.settings import Settings, current

MARKS: Final = ("pyproject.toml", ".git")
NAME_CHARACTERS: Final = 16  # of a folder's name in a namespace, which has at most 40
VARIABLE: Final = "ORCHESTRATOR_PROJECT"
_INSTALLED: Final = ("site-packages", "dist-packages")
_begun_at: Path | None = None


def begin_at(apps: Iterable[str]) -> None:
    """This program serves what ``-A`` names: that is where its project is."""
    global _begun_at
    found = next(filter(None, map(_place_of_app, apps)), None)
    if found is not None:
        _begun_at = found


def pass_to_children() -> None:
    """The processes that this one starts have its settings and its project, wherever their programs are.

    Profiles may be changed, and others made active, while a worker runs: a child that is replaced stays in its fleet.
    """
    settings_to_children(Settings.model_fields)
    if current().private:
        os.environ.setdefault(VARIABLE, str(folder()))


def folder() -> Path:
    """The folder of this program's project."""
    return folder_above(_begun_at or _script() or Path.cwd()) or Path.cwd()


def folder_above(place: Path) -> Path | None:
    """The nearest folder with a mark, from a place upwards. The user's home and the root are no projects.

    >>> folder_above(Path("/")) is None
    True
    """
    homes = (Path(os.path.expanduser("~")), Path(place.anchor))
    for candidate in (place, *place.parents):
        if candidate not in homes and any((candidate / mark).exists() for mark in MARKS):
            return candidate
    return None


def namespace_for(project: str | None, base: str) -> tuple[str, str]:
    """The namespace of a project, and the project as messages show it.

    Args:
        project: a name, the path of a folder, or nothing: the one that this program is in.
        base: the namespace that would be used without projects.

    >>> namespace_for("shop", "orchestrator")
    ('orchestrator-shop', 'shop')
    """
    if project is not None and os.sep not in project:
        return f"{base}-{project}", project
    given = Path(project).expanduser().resolve() if project is not None else None
    place = (folder_above(given) or given) if given is not None else folder()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", place.name)[:NAME_CHARACTERS].strip("-.") or "root"
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    return f"{base}-{name}-{digest}", str(place)


def _script() -> Path | None:
    """The running script, unless it is a program that was installed: pytest, uvicorn, our own command line."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    return None if is_installed(path) else path


def is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed program, or to Python's own library."""
    programs = {Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))}
    library = Path(sysconfig.get_path("stdlib"))
    ours = Path(PLACE)
    return (
        any(part in _INSTALLED for part in path.parts)
        or path.parent in programs
        or path.is_relative_to(library)
        or any(path.is_relative_to(ours / package) for package in ("orchestrator", "task_workers", "brokers"))
    )


def _place_of_app(app: str) -> Path | None:
    name = app.partition(":")[0]
    if name.endswith(".py") or os.sep in name:
        return Path(name).resolve()
    here = Path.cwd()
    top = name.partition(".")[0]
    if (here / f"{top}.py").exists() or (here / top).is_dir():
        return here
    try:
        spec = importlib.util.find_spec(top)  # its parents only: nothing is imported
    except (ImportError, ValueError):
        return None
    origin = spec.origin if spec is not None else None
    if origin is None or not os.path.exists(origin) or is_installed(Path(origin).resolve()):
        return None
    return Path(origin).resolve()
