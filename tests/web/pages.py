"""The files that a page of the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.worker_process import ROOT


def blocks_of(page: str) -> list[str]:
    """Its blocks of Python."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def write_files(page: str, folder: Path, **replaced: str) -> list[str]:
    """Write the blocks that begin with a file's name; returns the other blocks."""
    others = []
    for block in blocks_of(page):
        found = re.match(r"# ([\w/]+\.py)\n", block)
        if found is None:
            others.append(block)
            continue
        file = folder / found[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        for name, new in replaced.items():
            block = block.replace(name.replace("__", "."), new)
        file.write_text(block)
    return others
