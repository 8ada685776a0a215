"""How long the dashboard's pages take with a million stored runs: ``python -m benchmarks.dashboard --runs 1000000``.

A private server is filled by scripts (no worker runs anything), with a tenth failed, twenty tasks, four queues, tags,
flow runs, and one map of 100,000. Then the app is served in this process and asked over HTTP, each address several
times; the table has the median and the slowest answer. The index's build time and size are printed, too.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgpack
import uvicorn

from brokers.messages import Ack, Envelope, routes_of
from brokers.private_server import EmbeddedServer
from orchestrator import serializers
from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.runs.run_ids import new_run_id
from orchestrator.serializers.outcomes import enclosed, pack_outcome
from orchestrator.server import make_app
from orchestrator.settings import Settings, use
from orchestrator.submission.signed_calls import call_context

TASKS = [f"shop.{area}.{name}" for area in ("orders", "mail", "reports", "stock") for name in "abcde"]
QUEUES = ("default", "mail", "slow", "rare")
TAGS = ("nightly", "customer", "import", "vip")
SLICE = 500
TIMES = 7
LIMIT_SECONDS = 0.150


def fill(fleet: Fleet, runs: int) -> None:
    """Submit and end so many runs; a thousandth stays queued."""
    dice, routes = random.Random(1), routes_of(list(QUEUES), "s")
    flows = [new_run_id() for _ in range(max(2, runs // 5000))]
    for flow in flows:
        facts = {"flow": "nightly", "name": f"nightly-{flow[-4:]}", "type": "COMPLETED", "state": "Completed"}
        fleet.broker.flow_runs.write(flow, {**facts, "at": f"{time.time():.3f}", "runs": "1"})
    done = 0
    while done < runs:
        in_map = done < runs // 10  # the first flow run is one large map
        flow = flows[0] if in_map else dice.choice(flows[1:]) if dice.random() < 0.5 else None
        some = min(SLICE, runs - done)
        fleet.broker.runs.submit([_envelope(fleet, dice, flow, in_map) for _ in range(some)])
        done += some
        _end(fleet, dice, routes, some if done < runs - runs // 1000 else 0)


def _envelope(fleet: Fleet, dice: random.Random, flow: str | None, in_map: bool) -> Envelope:
    run_id, task = new_run_id(), TASKS[0] if in_map else dice.choice(TASKS)
    meta = {"g": [dice.choice(TAGS)]} if dice.random() < 0.3 else {}
    packed = msgpack.packb(meta) if meta else None
    body, _ = serializers.pack_call(
        (dice.randrange(10**6),), {}, context=lambda: call_context(task, run_id, packed), limits=fleet.limits
    )
    queue = dice.choices(QUEUES, (80, 15, 5, 0.1))[0]
    return Envelope(run_id, task, f"{queue}:ds", body, flow, None, packed)


def _end(fleet: Fleet, dice: random.Random, routes: list[str], want: int) -> None:
    while want > 0:
        taken = fleet.broker.deliveries.fetch("filler", routes, min(want, SLICE))[0]
        if not taken:
            return
        want -= len(taken)
        acks = []
        for delivery in taken:
            now, failed = time.time(), dice.random() < 0.1
            how, message = ("F", f"ValueError: order {dice.randrange(10**6)} is wrong") if failed else ("C", None)
            worker = f"worker-{dice.randrange(8)}"
            outcome = pack_outcome(None, message, now - 0.02, now, 1, None, worker)
            stored = enclosed(delivery.run_id, how, outcome)
            acks.append(Ack(delivery.ticket, delivery.run_id, how, stored, 86_400_000))
        fleet.broker.deliveries.complete("filler", acks)


@contextmanager
def served(fleet: Fleet) -> Iterator[tuple[str, object]]:
    """The app on a free port."""
    app, listener = make_app(fleet), socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def questions(client: httpx.Client) -> list[tuple[str, str, dict[str, object] | None]]:
    """What is asked: name, address, body."""
    listed = client.post("/api/task_runs/filter", json={"limit": 1}).json()[0]["id"]
    flows = client.post("/api/flow_runs/filter", json={"limit": 200}).json()
    large = max(flows, key=lambda flow: sum(flow["task_run_counts"].values()))["id"]
    failed = {"state": {"type": {"any_": ["FAILED"]}}}

    def runs(**wanted: object) -> dict[str, object]:
        return {"task_runs": wanted}

    return [
        ("page: overview", "/", None),
        ("page: runs", "/runs", None),
        ("page: runs, failed", "/runs?state=FAILED", None),
        ("page: runs, text in 100,000 messages", "/runs?text=order+77", None),
        ("page: a run", f"/runs/{listed}", None),
        ("page: flow runs", "/flows", None),
        ("page: a flow run with a large map", f"/flows/{large}", None),
        ("page: queues", "/queues", None),
        ("page: dead letters", "/dead", None),
        ("page: scheduled", "/scheduled", None),
        ("api: newest", "/api/task_runs/filter", {}),
        ("api: failed", "/api/task_runs/filter", runs(**failed)),
        ("api: pending (few)", "/api/task_runs/filter", runs(state={"type": {"any_": ["PENDING"]}})),
        ("api: one task", "/api/task_runs/filter", runs(name={"any_": [TASKS[7]]})),
        ("api: one task, failed", "/api/task_runs/filter", runs(name={"any_": [TASKS[7]]}, **failed)),
        ("api: tasks by pattern, failed", "/api/task_runs/filter", runs(name={"any_": ["shop.mail.*"]}, **failed)),
        ("api: a rare queue", "/api/task_runs/filter", runs(queue={"any_": ["rare"]})),
        ("api: a tag", "/api/task_runs/filter", runs(tags={"all_": ["vip"]})),
        ("api: a tag, failed, one task", "/api/task_runs/filter",
         runs(tags={"all_": ["vip"]}, name={"any_": [TASKS[3]]}, **failed)),
        ("api: a worker, failed", "/api/task_runs/filter", runs(worker={"any_": ["worker-3"]}, **failed)),
        ("api: a text that few have", "/api/task_runs/filter", runs(text="order 77777")),
        ("api: a text that none has", "/api/task_runs/filter", runs(text="no such text")),
        ("api: a run by how its id begins", "/api/task_runs/filter", runs(text=listed[:18])),
        ("api: the large map", "/api/task_runs/filter", runs(flow_run_id={"any_": [large]})),
        ("api: the large map, failed", "/api/task_runs/filter", runs(flow_run_id={"any_": [large]}, **failed)),
        ("api: a run", f"/api/task_runs/{listed}", None),
        ("api: a flow run with a large map", f"/api/flow_runs/{large}", None),
        ("api: flow runs", "/api/flow_runs/filter", {}),
        ("api: count of a text", "/api/task_runs/count", runs(text="order 7")),
        ("api: overview", "/api/overview", None),
        ("api: chart of a day", "/api/chart?minutes=1440", None),
    ]  # fmt: skip


def ask(client: httpx.Client, path: str, body: dict[str, object] | None) -> float:
    """Seconds until the whole answer is there."""
    began = time.perf_counter()
    answer = client.get(path) if body is None else client.post(path, json=body)
    took = time.perf_counter() - began
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text[:200]}")
    return took


def deep(client: httpx.Client) -> float:
    """The slowest of ten pages in the middle of all runs."""
    middle = client.post("/api/task_runs/filter", json={"limit": 1}).headers["x-next-cursor"]
    slowest = 0.0
    for _ in range(10):
        began = time.perf_counter()
        answer = client.post("/api/task_runs/filter", json={"before": middle, "limit": 200})
        slowest = max(slowest, time.perf_counter() - began)
        middle = answer.headers.get("x-next-cursor", middle)
    return slowest


def report(fleet: Fleet) -> int:
    """Ask everything and print the table; how many answers were slower than they may be."""
    slow = 0
    began = time.perf_counter()
    with served(fleet) as (url, app), httpx.Client(base_url=url, timeout=120, follow_redirects=True) as client:
        index = app.state.queries.index  # type: ignore[attr-defined]
        client.get("/api/ready")
        while not client.post("/api/task_runs/filter", json={}).json():
            time.sleep(0.02)
        print(f"the newest runs were there after {time.perf_counter() - began:.2f} s")
        while not index.state().complete:
            time.sleep(0.1)
        state, took = index.state(), time.perf_counter() - began
        print(f"index of {state.runs:,} runs: {took:.1f} s, {state.bytes / 1e6:,.0f} MB\n")
        print(f"{'':48}{'median':>9}{'slowest':>9}  (ms)")
        for name, path, body in questions(client):
            times = [ask(client, path, body) for _ in range(TIMES)]
            over = statistics.median(times) > LIMIT_SECONDS
            slow += over
            mark = "  over 150 ms" if over else ""
            print(f"{name:48}{statistics.median(times) * 1000:9.1f}{max(times) * 1000:9.1f}{mark}")
        print(f"{'api: ten further pages of 200':48}{'':9}{deep(client) * 1000:9.1f}")
    return slow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    home = Path(tempfile.mkdtemp(prefix="orc-dash-"))
    server = EmbeddedServer(home)
    settings = Settings(redis_url=server.ensure(), namespace="bench", command_timeout_seconds=30)
    fleet = Fleet(settings)
    use_fleet(fleet)
    try:
        with use(settings):
            began = time.perf_counter()
            fill(fleet, options.runs)
            print(f"{options.runs:,} runs stored in {time.perf_counter() - began:.0f} s")
            slow = report(fleet)
    finally:
        fleet.close()
        server.release()
        shutil.rmtree(home, ignore_errors=True)
    print(f"\n{slow} of the answers took longer than {LIMIT_SECONDS * 1000:.0f} ms")


if __name__ == "__main__":
    main()
