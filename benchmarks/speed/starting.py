"""What a process pays before its first line of work: importing us, and the command line's help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

IMPORT: Final = "import time; begun = time.perf_counter(); import orchestrator; print(time.perf_counter() - begun)"


def measure(times: int) -> dict[str, float]:
    """Medians in seconds: the import inside a fresh interpreter, ``--help`` as a whole process."""
    command = str(Path(sys.executable).with_name("orchestrator"))
    _seconds_of([command, "--help"])  # fills the caches of the file system
    imports, helps = [], []
    for _ in range(times):
        imports.append(float(subprocess.check_output([sys.executable, "-c", IMPORT], text=True)))
        helps.append(_seconds_of([command, "--help"]))
    return {"import_s": statistics.median(imports), "help_s": statistics.median(helps)}


def _seconds_of(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun
