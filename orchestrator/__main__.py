"""``python -m orchestrator``: a knock on the door of the command line, which lives upstairs.

Found by its entry point, because this floor knows nothing of the one above it.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the console script ``orchestrator``. Ctrl-C while it is being looked for ends it without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from importlib.metadata import entry_points

    doors = list(entry_points(group="console_scripts", name="orchestrator"))
    if not doors:
        sys.exit("the command line of orchestrator is not installed: pip install orchestrator")
    run = doors[0].load()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
