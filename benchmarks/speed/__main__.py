"""``python -m benchmarks.speed``: us and the bare limit, with ``--peers`` beside nine other task queues.

Prints what must be reached and the figures side by side. A run of all (without ``--only`` and ``--quick``) is kept in
benchmarks/results/ as JSON, as a page and as pictures.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.peers.rig import OURS
from benchmarks.speed import plots, report
from benchmarks.speed.cell import QUICK, Effort
from benchmarks.speed.results import Results
from benchmarks.speed.run import MILLION, Plan, Run
from benchmarks.speed.systems import SYSTEMS, missing_on_this_machine

QUICK_MAP: Final = 20_000


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="all peers as well")
    parser.add_argument("--only", help=f"some of {','.join(SYSTEMS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long each workload takes")
    parser.add_argument("--million", action="store_true", help=f"a map of {MILLION:,} calls as well")
    parser.add_argument("--large-map", type=int, default=0, metavar="CALLS", help="a map of so many instead")
    parser.add_argument("--quick", action="store_true", help="a try in tiny sizes; its figures mean nothing")
    parser.add_argument("--profile", action="store_true", help="no figures: profiles of client and worker instead")
    parser.add_argument("--output", type=Path, help=f"where to keep it; a run of all: {report.FOLDER.name}/")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    if options.profile:
        from benchmarks.speed import profile

        profile.main(options.output or report.FOLDER)
        return
    only = options.only.split(",") if options.only else list(SYSTEMS) if options.peers else [OURS]
    if set(only) - set(SYSTEMS):
        parser.error(f"unknown: {', '.join(sorted(set(only) - set(SYSTEMS)))}; known: {', '.join(SYSTEMS)}")
    missing = missing_on_this_machine()
    if set(only) <= missing.keys():
        parser.error("; ".join(f"{name}: {missing[name]}" for name in only))
    effort = QUICK if options.quick else Effort(seconds=options.seconds)
    plan = Plan(
        systems=only,
        rounds=1 if options.quick else options.rounds,
        effort=effort,
        large_map=options.large_map or (0 if not options.million else QUICK_MAP if options.quick else MILLION),
    )
    results = Run(plan)()
    folder = options.output or (None if options.quick or options.only else report.FOLDER)
    _show(results)
    if folder:
        keep(results, folder, "speed_peers" if options.peers else "speed_us")


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show(results: Results) -> None:
    parts = (report.machine(results), report.reached(results), report.wide(results))
    print("\n\n".join(parts))
    for text in results.facts["missing"]:
        print(f"not measured: {text}")


def keep(results: Results, folder: Path, name: str) -> None:
    """Write JSON, page and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(results.as_json())
    pictures = plots.draw(results, folder) if name == "speed_peers" else []
    (folder / f"{name}.md").write_text(report.page(results, pictures))
    print(f"\nkept in {folder}/{name}.json and .md" + (f", pictures: {', '.join(pictures)}" if pictures else ""))


if __name__ == "__main__":
    main()
