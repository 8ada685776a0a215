"""``python -m chaos``."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.faults import DECK, Driver
from chaos.judge import HEADER, Judgement, table
from chaos.load import Load
from chaos.site import SETTINGS, Site
from chaos.ticks import Ticks
from orchestrator import settings as all_settings
from orchestrator.client import fleet as fleets
from orchestrator.client.fleet import Fleet
from orchestrator.futures import wait
from orchestrator.settings import Settings


def arguments() -> argparse.Namespace:
    """Flags; each has a variable, for `make chaos`."""

    def default(name: str, value: str) -> str:
        return os.environ.get(f"CHAOS_{name}", value)

    parser = argparse.ArgumentParser(prog="python -m chaos", description="a soak under faults, and its table")
    parser.add_argument("--calls", type=int, default=default("CALLS", "20000"), help="CHAOS_CALLS; default 20000")
    parser.add_argument(
        "--seconds", type=float, default=default("SECONDS", "60"), help="CHAOS_SECONDS: length of the load; default 60"
    )
    parser.add_argument(
        "--pause", type=float, default=default("PAUSE", "1"), help="CHAOS_PAUSE: seconds between faults; default 1"
    )
    parser.add_argument(
        "--patience", type=float, default=default("PATIENCE", "60"), help="CHAOS_PATIENCE: for the rest; default 60"
    )
    seed = default("SEED", str(random.SystemRandom().randrange(1_000_000)))
    parser.add_argument("--seed", type=int, default=seed, help="CHAOS_SEED")
    parser.add_argument("--keep", action="store_true", help="keep logs and notes, and say where")
    return parser.parse_args()


def soak(options: argparse.Namespace, folder: Path) -> int:
    """The whole thing; returns the number of violations."""
    begun = time.monotonic()
    with Site(folder) as site:
        settings = Settings(redis_url=site.server.url, namespace=site.namespace, **SETTINGS)
        with all_settings.use(settings):
            fleet = Fleet(settings)
            fleets.use_fleet(fleet)
            site.wait_ready()
            ticks = Ticks(fleet, options.seconds)
            load = Load(options.seed, ticks.deploy)
            driver = Driver(site, options.seed, options.seconds, options.pause)
            driver.start()
            load.run(options.calls, options.seconds)
            sent = time.monotonic()
            driver.join()
            settled = wait([sent.future for sent in load.sent], timeout=options.patience)
            ticks.wait(options.patience)
            done = time.monotonic()
            exits = site.stop_workers()
            judgement = Judgement(site, load, driver, ticks, fleet.broker, len(settled.not_done))
            judgement.totals["workers that did not end in peace"] = sum(code != 0 for code in exits)
            fleet.close()
            report(judgement, driver, load, ticks)
            print(f"{sent - begun:.0f} s of sending, {done - sent:.0f} s until all had ended, ", end="")
            print(f"{time.monotonic() - begun:.0f} s in all; seed {options.seed}")
            return judgement.violations


def report(judgement: Judgement, driver: Driver, load: Load, ticks: Ticks) -> None:
    """Print the tables."""
    rows = [list(HEADER), *([str(cell) for cell in row] for row in table(judgement))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    print()
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells))
    print("\nfaults: " + ", ".join(f"{kind} {driver.done[kind]}" for kind in dict.fromkeys(DECK)))
    print(f"sent again because a confirmation was lost or refused: {load.resent}")
    made = " + ".join(f"{len(one.fired)} runs and {one.missed} missed" for one in ticks.found)
    print(f"ticks of schedules that were written {ticks.deployed} times: {made}")
    print(f"overlapping attempts explained by a worker that was cut off: {judgement.explained_overlaps}")
    print(f"children killed for a cancelled call that did not stop: {judgement.killed_for_cancel}")
    print(
        f"calls that a supervisor took back from a child that seemed stuck: {judgement.handed_back_for_stuck}, ", end=""
    )
    print(f"starts beyond take-overs: {judgement.starts_beyond}")
    for name, count in judgement.totals.items():
        print(f"{name}: {count}")
    for example in judgement.examples:
        print("  " + example[:400])
    print(f"violations: {judgement.violations}")


def main() -> int:
    options = arguments()
    print(f"{options.calls} calls in {options.seconds:g} s, a fault about every {options.pause:g} s, ", end="")
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        return 1 if soak(options, folder) else 0
    finally:
        if options.keep:
            print(f"logs and notes: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
