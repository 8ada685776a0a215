"""The sending side of the benchmarks for queues of Node, with an app whose calls are done by timers of its process."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.systems import APPS

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not on this machine")
APP = """
const off = Number(process.env.OFF ?? 0);
const tasks = { noop: (x) => x + off, echo: (data) => data.length, pause: () => process.pid };
export const settings = () => "timers";
export const worker = (processes) => Array(processes).fill(["a", "worker"]);
export async function send(name, ...args) {
  const handle = { ready: false };
  handle.end = new Promise((done) => setTimeout(() => { handle.ready = true; done(tasks[name](...args)); }, 5));
  return handle;
}
export const sendMany = (name, rows) => Promise.all(rows.map((row) => send(name, ...row)));
export const collect = (handles) => Promise.all(handles.map(result));
export const result = (handle) => handle.end;
export const isReady = async (handle) => handle.ready;
"""


def asked(folder: Path, *questions: list[Any], off: int = 0) -> list[Any]:
    """The answers of one client."""
    (folder / "app.mjs").write_text(APP)
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(APPS / "client.mjs"), str(folder / "app")],
        input="".join(json.dumps(question) + "\n" for question in questions),
        env={"OFF": str(off)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_question_has_an_answer_of_its_kind(tmp_path: Path) -> None:
    before = time.monotonic()
    settings, worker, handlers, one_by_one, nothing, drained, fan_out, payloads, processes, trips = asked(
        tmp_path,
        ["settings"],
        ["worker", 2, False],
        ["handlers"],
        ["one_by_one", 10],
        ["queue_map", 500],
        ["drained"],
        ["fan_out", 300],
        ["fan_out", 5, 1000],
        ["processes", 0.01, 4],
        ["round_trips", 7],
    )
    assert (settings, worker, handlers) == ("timers", [["a", "worker"]] * 2, ["asyncio"])
    assert nothing is None
    assert before < drained < time.monotonic(), "the clock of the harness"
    assert min(one_by_one, fan_out, payloads, *trips) > 0
    assert (len(processes), len(trips)) == (1, 7)


def test_each_handler_sends_its_share(tmp_path: Path) -> None:
    (seconds, sent), _ = asked(tmp_path, ["from_handlers", 100, 8, "asyncio"], ["drained"])
    assert (seconds > 0, sent) == (True, 96)


def test_results_are_checked_and_errors_are_answers(tmp_path: Path) -> None:
    answers = asked(tmp_path, ["fan_out", 20], ["queue_map", 3], ["drained"], ["no_such_question"], ["handlers"], off=1)
    assert answers[0] == {"error": "Error: a result is 1, not 0"}
    assert answers[2] == {"error": "Error: a result is 1, not 0"}
    assert answers[3]["error"].startswith("TypeError")
    assert answers[4] == ["asyncio"]
