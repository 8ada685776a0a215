"""A light worker: imports app modules and works on their calls until its standard input ends.

``python -m tests.support.light_worker tests.support.apps.basics --queues default --threads 2``

It is a real process, with the slots and the chores of a real worker and without its supervisor, so that a module of
tests can have one in half a second. It ends by itself when the tests are gone.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from orchestrator.client.fleet import current_fleet
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("apps", nargs="+")
    parser.add_argument("--queues", default="default")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for app in options.apps:
        importlib.import_module(app)
    fleet = current_fleet()
    workers = LocalWorkers(fleet, SlotsOptions(tuple(options.queues.split(",")), options.threads))
    print("ready", flush=True)  # before it starts: the first call may be the end of it
    workers.start()
    sys.stdin.read()
    workers.stop(1.0)
    fleet.close()


if __name__ == "__main__":
    main()
