"""Runs every example in the docstrings of the source: ``python -m tests.support.docstring_examples``.

Exits with 1 if one is not true, after a report of each; writes how many there are. A process of its own, since examples
define tasks and schedules.
"""

from __future__ import annotations

import doctest
import importlib
import sys
from types import ModuleType

from tests.support import house


def run_examples_of(module: ModuleType) -> doctest.TestResults:
    """As if they were typed into a shell: flows that they define are in no file."""
    around = {name: value for name, value in vars(module).items() if name != "__file__"}
    return doctest.testmod(module, globs=around)


def main() -> int:
    attempted = failed = 0
    for name, path in sorted(house.modules().items()):
        if ">>> " in path.read_text():
            done = run_examples_of(importlib.import_module(name))
            attempted, failed = attempted + done.attempted, failed + done.failed
    print(f"{attempted} examples, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
