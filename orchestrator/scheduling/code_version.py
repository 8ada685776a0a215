"""Which of two versions of an app's code is the newer one, so that in a rolling deployment the newer one decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

from packaging.version import Version

from orchestrator.scheduling.declarations import Declaration, version_of


class CodeVersion(NamedTuple):
    """The version of the code that declares schedules.

    Attributes:
        version: the highest one that its declarations name; ``None``: they name none.
        newest_file_ms: when the newest file of the app was written, in unix milliseconds.
    """

    version: str | None
    newest_file_ms: int

    def is_newer_than(self, other: CodeVersion) -> bool:
        """By the versions if both are named and differ, else by the files.

        >>> CodeVersion("2.10", 1).is_newer_than(CodeVersion("2.9", 5))
        True
        >>> CodeVersion(None, 1).is_newer_than(CodeVersion("2.9", 5))
        False
        """
        mine, others = _comparable(self.version), _comparable(other.version)
        if mine is not None and others is not None and mine != others:
            return mine > others
        return self.newest_file_ms > other.newest_file_ms

    def __str__(self) -> str:
        return f"version {self.version}" if self.version else f"files of {self.newest_file_ms} (unix ms)"


def version_here(module: str, declared: Iterable[Declaration]) -> CodeVersion:
    """The version of a module's code in this process."""
    versions = {version: parsed for one in declared if (parsed := version_of(version := one.version)) is not None}
    highest = max(versions, key=lambda text: versions[text], default=None)
    root = root_of(module)
    names = [name for name in list(sys.modules) if root_of(name) == root]
    return CodeVersion(highest, max((_written_ms(name) for name in names), default=0))


def root_of(module: str) -> str:
    """The outermost package of a module, which stands for its app.

    >>> root_of("shop.mails.weekly")
    'shop'
    """
    return module.partition(".")[0]


def _written_ms(module: str) -> int:
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return int(os.stat(file).st_mtime * 1000) if file else 0
    except OSError:
        return 0


def _comparable(text: str | None) -> Version | None:
    try:
        return version_of(text)
    except ValueError:  # written by somebody else
        return None
