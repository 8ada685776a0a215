"""Profiles of us at work, by whatever profiler is installed: py-spy looks at the real processes, pyinstrument at one
thread that is client and worker in turn (see ``benchmarks.stepwise``).
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from benchmarks.peers.rig import OURS
from benchmarks.speed import cell
from benchmarks.speed.proc import resident_mb
from benchmarks.speed.systems import Contestant, start_server

SECONDS: Final = 5
CALLS: Final = 5_000


def main(folder: Path, seconds: int = SECONDS, calls: int = CALLS) -> None:
    """Write the profiles into a folder and say where they are.

    Raises:
        SystemExit: no profiler is installed, or it may not look at processes.
    """
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    instrument = importlib.util.find_spec("pyinstrument") is not None
    if not spy and not instrument:
        raise SystemExit("no profiler is installed: .venv/bin/pip install py-spy (or pyinstrument)")
    folder.mkdir(parents=True, exist_ok=True)
    written = _by_py_spy(spy, folder, seconds, calls) if spy else []
    written += [_by_pyinstrument(folder, calls)] if instrument else []
    for file in written:
        print(f"written: {file}")


def _by_py_spy(spy: str, folder: Path, seconds: int, calls: int) -> list[Path]:
    server = start_server()
    try:
        with Contestant(OURS, server) as ours:
            ours.start_workers(cell.WORKERS)
            cell.wait_for_processes(ours, cell.WORKERS)
            child = max(ours.worker_processes()[1:], key=lambda pid: max(resident_mb([pid]), default=0.0))
            over = threading.Event()
            work = threading.Thread(target=_fan_out_until, args=(ours, calls, over))
            work.start()
            try:
                return _recorded(spy, {"client": ours.client.pid, "worker": child}, folder, seconds)
            finally:
                over.set()
                work.join()
    finally:
        server.close()


def _fan_out_until(ours: Contestant, calls: int, over: threading.Event) -> None:
    while not over.is_set():
        ours.ask("fan_out", calls)


def _recorded(spy: str, pids: dict[str, int], folder: Path, seconds: int) -> list[Path]:
    """Flame graphs of these processes, all at once."""
    files = {name: folder / f"profile_{name}.svg" for name in pids}
    running = [
        subprocess.Popen(
            [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--output", str(files[name])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, pid in pids.items()
    ]
    told = [process.communicate()[1] for process in running]
    for process, words in zip(running, told, strict=True):
        if process.returncode:
            raise SystemExit(f"py-spy could not look at a process: {words.strip()}")
    return list(files.values())


def _by_pyinstrument(folder: Path, calls: int) -> Path:
    from pyinstrument import Profiler

    from benchmarks.stepwise import Stepwise
    from benchmarks.tasks import noop
    from orchestrator.testing.throwaway import throwaway_fleet

    server, profiler = start_server(), Profiler(interval=0.0005)
    try:
        with throwaway_fleet(redis_url=f"{server.tcp_url}/0") as fleet:
            steps = Stepwise(fleet)
            with profiler:
                futures = noop.map(range(calls))
                steps.run(calls)
                steps.resolve(futures)
                futures.result()
    finally:
        server.close()
    file = folder / "profile_stepwise.html"
    file.write_text(profiler.output_html())
    return file
