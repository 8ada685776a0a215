"""The input: the source files of the running Python's standard library, and one that cannot be parsed."""

from __future__ import annotations

import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Final

SINGLE_MODULES: Final = "(single modules)"
OURS: Final = "(ours, broken)"
_NOT_THE_LIBRARY: Final = frozenset(("site-packages", "dist-packages"))


def library_files(limit: int | None = None) -> dict[str, list[str]]:
    """Paths by package; with ``limit`` so many, spread over all."""
    root = Path(sysconfig.get_path("stdlib")).resolve()
    files = sorted(path for path in root.rglob("*.py") if _NOT_THE_LIBRARY.isdisjoint(path.relative_to(root).parts))
    if limit is not None:
        files = [files[len(files) * n // limit] for n in range(min(limit, len(files)))]
    packages: dict[str, list[str]] = defaultdict(list)
    for path in files:
        parts = path.relative_to(root).parts
        packages[parts[0] if len(parts) > 1 else SINGLE_MODULES].append(str(path))
    return dict(packages)


def make_broken_file(folder: Path) -> str:
    """Some libraries come without their tests, where the files that do not parse are: here is one for sure."""
    path = folder / "broken.py"
    path.write_text("def broken(:\n", "utf-8")
    return str(path)
