"""Collects the pages of the site in ``build/docs``: those of ``docs/`` and some of the repository's own.

``python -m docs.code.gather`` does it. Links from page to page are turned to where the pages go, pictures come along. A
link to a file that is on no page of the site is shown as the file's name; one to nothing at all is an error.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "docs"
OWN: Final = {  # pages that have their place elsewhere in the repository
    "architecture.md": ROOT / "ARCHITECTURE.md",
    "benchmarks.md": ROOT / "benchmarks" / "README.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "examples.md": ROOT / "examples" / "README.md",
}
PICTURES: Final = (".png", ".svg", ".webp")
_LINK: Final = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")


class BrokenLink(Exception):
    """A page links to a file that is not there."""


def pages() -> dict[str, Path]:
    """The files of the site by their names on it."""
    return {file.name: file for file in sorted((ROOT / "docs").glob("*.md"))} | OWN


class Gathering:
    """One collection into a folder."""

    def __init__(self, build: Path) -> None:
        self.build = build
        self.names = {file: name for name, file in pages().items()}

    def run(self) -> None:
        """Make the folder anew. Raises BrokenLink."""
        shutil.rmtree(self.build, ignore_errors=True)
        self.build.mkdir(parents=True)
        for file, name in self.names.items():
            (self.build / name).write_text("".join(self._turned(file)))

    def _turned(self, file: Path) -> Iterator[str]:
        """The page with its links turned; blocks of code are left alone."""
        for number, part in enumerate(re.split(r"(^```.*?^```$)", file.read_text(), flags=re.DOTALL | re.MULTILINE)):
            yield part if number % 2 else _LINK.sub(lambda match: self._link(file, match), part)

    def _link(self, file: Path, match: re.Match[str]) -> str:
        text, target, anchor = match["text"], match["target"], match["anchor"] or ""
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        found = Path(os.path.normpath(file.parent / target))
        if not found.exists():
            raise BrokenLink(f"{file.relative_to(ROOT)}: {match[0]}")
        if found in self.names:
            return f"[{text}]({self.names[found]}{anchor})"
        if found.suffix in PICTURES:
            return f"{match['picture']}[{text}]({self._taken_along(found)})"
        path = f"`{found.relative_to(ROOT)}`"
        return path if text.strip("`/") in path else f"{text} ({path})"

    def _taken_along(self, picture: Path) -> str:
        place = picture.relative_to(ROOT / "docs" if picture.is_relative_to(ROOT / "docs") else ROOT)
        (self.build / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, self.build / place)
        return str(place)


def main() -> None:
    """Collect the pages."""
    Gathering(BUILD).run()


if __name__ == "__main__":
    main()
