"""A process that fires schedules and does nothing else, for tests that kill some of these."""

from __future__ import annotations

import sys

from orchestrator.client.fleet import current_fleet
from orchestrator.maintenance.ticker import Ticker


def main() -> None:
    ticker = Ticker(current_fleet())
    ticker.start()
    print("ready", flush=True)
    sys.stdin.read()  # until whoever started it closes the pipe
    ticker.stop()


if __name__ == "__main__":
    main()
