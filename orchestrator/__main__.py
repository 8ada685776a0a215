"""``python -m orchestrator``: a knock on the door of the command line, which lives upstairs.

Found by its entry point, because this floor knows nothing of the one above it.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points


def main() -> None:
    """Run the console script ``orchestrator``."""
    doors = list(entry_points(group="console_scripts", name="orchestrator"))
    if not doors:
        sys.exit("the command line of orchestrator is not installed: pip install orchestrator")
    doors[0].load()()


if __name__ == "__main__":
    main()
