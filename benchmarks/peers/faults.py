"""``python -m benchmarks.peers.faults``: three faults, put to every peer and to us; prints the table, and keeps it.

Each cell has a private server, workers and a client of its own, on this machine; several cells run at a time, for most
of the time is waiting. See docs/peers.md for what is asked and how to read the answers.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.peers import report
from benchmarks.peers.environments import FAULTS_ASKED, PEERS, versions_of
from benchmarks.peers.questions import QUESTIONS, Answer, ask
from benchmarks.peers.rig import OURS, Rig, System, server_version, stopping

SYSTEMS: Final = (
    System(OURS, "documented"),
    *(System(name, settings) for name in FAULTS_ASKED for settings in ("documented", "tuned")),
)
MOST_SECONDS: Final = 12 * 60
AT_A_TIME: Final = 5
LONGEST_FIRST: Final = ("cut", "kill", "poison")


def main() -> None:
    """Ask, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.faults", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join((OURS, *FAULTS_ASKED))}")
    parser.add_argument("--question", choices=tuple(QUESTIONS), help="one of them")
    parser.add_argument("--at-a-time", type=int, default=AT_A_TIME, help="cells that run at a time")
    parser.add_argument("--output", type=Path, help=f"where to keep the answers; all of them: {report.RESULTS.name}")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else [OURS, *FAULTS_ASKED]
    unknown = set(only) - {OURS, *FAULTS_ASKED}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    systems = [system for system in SYSTEMS if system.name in only]
    questions = [options.question] if options.question else list(LONGEST_FIRST)
    signal.signal(signal.SIGTERM, _stop)
    facts = {**_facts(systems), "cells_at_a_time": options.at_a_time}
    answers = _ask_all(systems, questions, options.at_a_time)
    found = {**facts, "answers": [answer._asdict() for answer in answers]}
    print(report.as_markdown(found))
    output = options.output or (None if options.only or options.question else report.RESULTS)
    if output:
        output.parent.mkdir(exist_ok=True)
        output.write_text(report.as_json(found))
        print(f"\nkept in {output}; `python -m benchmarks.peers.report` puts it into docs/peers.md")
    if len(answers) < len(systems) * len(questions):
        raise SystemExit(1)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _facts(systems: list[System]) -> report.Facts:
    """Makes the environments, and describes what is in them."""
    versions = {OURS: {OURS: importlib.metadata.version(OURS)}}
    for name in {system.name for system in systems} - {OURS}:
        versions[name] = versions_of(PEERS[name])
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "server": server_version(),
        "python": platform.python_version(),
        "versions": versions,
        "settings": [[*system, _settings_of(system)] for system in systems],
    }


def _settings_of(system: System) -> str:
    with Rig(system) as rig:
        return str(rig.client.ask("settings"))


def _ask_all(systems: list[System], questions: list[str], at_a_time: int) -> list[Answer]:
    cells = [(system, question) for question in questions for system in systems]
    watchdog = threading.Timer(MOST_SECONDS, stopping.set)
    watchdog.daemon = True
    watchdog.start()
    begun = time.monotonic()
    answers: dict[tuple[System, str], Answer] = {}
    with ThreadPoolExecutor(at_a_time) as pool:
        asked: dict[tuple[System, str], Future[Answer]] = {cell: pool.submit(ask, *cell) for cell in cells}
        try:
            for cell, future in asked.items():
                answers.update(_answered(cell, future, begun))
        finally:
            stopping.set()  # on Ctrl-C too: every cell ends what it has started
            watchdog.cancel()
            pool.shutdown(cancel_futures=True)
    return [answers[cell] for system in systems for cell in cells if cell[0] == system and cell in answers]


def _answered(cell: tuple[System, str], future: Future[Answer], begun: float) -> dict[tuple[System, str], Answer]:
    system, question = cell
    try:
        answer = future.result()
    except Exception as error:
        print(f"{system.name}, {system.settings}, {question}: no answer: {error}", file=sys.stderr, flush=True)
        return {}
    after = time.monotonic() - begun
    print(f"[{after:4.0f} s] {system.name}, {system.settings}: {report.told(answer)}", file=sys.stderr, flush=True)
    return {cell: answer}


if __name__ == "__main__":
    main()
